"""``make bench``: measures, prints a table, and writes it to docs/benchmarks/onboarding.md."""

from __future__ import annotations

import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

from bench import onboarding

TABLE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks" / "onboarding.md"
_HEAD = """# Onboarding, measured

Written by `make bench`. The bare writes are the same objects, written by the same client with nothing read and nothing
decided, on the same control plane in the same run: only the ratio says something, the times are the machine's.

"""


def main() -> int:
    rows = [("what", "operator", "bare writes", "ratio", "at most"), ("---",) * 5, *onboarding.measure().rows()]
    table = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    machine = f"\nOn {datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, {platform.machine()}.\n"
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text(_HEAD + table + machine)
    print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
