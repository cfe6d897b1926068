"""``make soak``: half an hour (SOAK_MINUTES), a line a minute; SOAK_SEED for the same changes once more."""

from __future__ import annotations

import os
import random
import sys

from cluster.controlplane import ControlPlane
from soak import memory
from soak.rounds import Round, Soak

_ROUND_SECONDS = 50.0


def main() -> int:
    minutes = int(os.environ.get("SOAK_MINUTES") or 30)
    seed = int(os.environ.get("SOAK_SEED") or random.randrange(10**6))
    print(f"{minutes} rounds of a minute, SOAK_SEED={seed}", flush=True)
    with ControlPlane() as plane:
        soak = Soak(plane, seed, round_seconds=_ROUND_SECONDS, restarted_rounds=minutes // 3)
        try:
            soak.run(minutes, told=lambda each: print(line(len(soak.rounds), each), flush=True))
        finally:
            soak.close()
    wrong = [text for each in soak.rounds for text in each.divergences]
    grown = memory.growth(soak.samples) if minutes >= memory.LEAST_MINUTES else None
    print(f"{sum(each.changes for each in soak.rounds)} changes, {len(wrong)} divergences, {_said(grown)}")
    return 1 if wrong or (grown or 0) > memory.MOST_GROWTH else 0


def line(number: int, each: Round) -> str:
    """A round as a line, with one more for each divergence."""
    said = (
        f"round {number}: {each.changes} changes ({each.deleted} objects deleted, {each.restarts} restarts),"
        f" quiet and looked at in {each.quiet_seconds:.1f} s, {len(each.divergences)} divergences,"
        f" RSS {each.resident_mb[-1]:.1f} MB"
    )
    return "\n".join([said, *(f"  {text}" for text in each.divergences)])


def _said(grown: float | None) -> str:
    if grown is None:
        return "too short to say whether the memory grows"
    return f"memory grew by {100 * (grown - 1):.1f} % (at most {100 * (memory.MOST_GROWTH - 1):.0f} %)"


if __name__ == "__main__":
    sys.exit(main())
