"""``make bench``: measures, prints tables, and writes them to docs/benchmarks. ``WHAT=onboarding`` or scale: a part."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench import onboarding, scale
from bench.plot import bars

DIRECTORY = Path(__file__).resolve().parents[2] / "docs" / "benchmarks"
_HEAD = """# {title}, measured

Written by `make bench`. The bare writes are the same objects, written by the same client with nothing read and nothing
decided, on the same control plane in the same run. Where there is a ratio, only that says something: times are the
machine's.
The operator runs with `--adoption-seconds 0`: by default a namespace that had no policies is kept open for ten seconds
before it is Ready.

"""


def main() -> int:
    what = os.environ.get("WHAT", "onboarding scale").split()
    DIRECTORY.mkdir(exist_ok=True)
    if "onboarding" in what:
        _onboarding()
    if "scale" in what:
        _scale()
    return 0


def _onboarding() -> None:
    rows = [("what", "operator", "bare writes", "ratio", "at most"), ("---",) * 5, *onboarding.measure().rows()]
    _write("onboarding.md", "Onboarding", rows)


def _scale() -> None:
    found = scale.measure()
    head = ("what", "operator", "beside", "ratio", "wanted", "")
    lines = [
        (r.what, r.measured, r.beside, r.ratio, r.wanted, "met" if r.is_met else "**not met**") for r in found.rows
    ]
    _write("scale.md", "Many objects", [head, ("---",) * 6, *lines], more="\n![cost of an object](growth.svg)\n")
    times = {f"{count} objects": 1000 * seconds for count, seconds in found.growth.items()}
    (DIRECTORY / "growth.svg").write_text(bars("from create to Ready, ms an object", times))


def _write(name: str, title: str, rows: Sequence[tuple[str, ...]], *, more: str = "") -> None:
    table = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    machine = f"\nOn {datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, {platform.machine()}.\n"
    (DIRECTORY / name).write_text(_HEAD.format(title=title) + table + more + machine)
    print(table)


if __name__ == "__main__":
    sys.exit(main())
