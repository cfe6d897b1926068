"""``python -m appconnectivity``: the same program as the console script."""

from appconnectivity.cli.main import main

raise SystemExit(main())
