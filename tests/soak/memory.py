"""Memory of a process over time, and whether it is flat.

The first quarter of the samples is a warm-up. Of the rest the median of the last third is held against that of the
first: what is kept for each object, policy or namespace that was deleted adds up between them.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

# Between two medians so far apart nothing but noise may lie.
MOST_GROWTH = 1.03
# In less time nothing is judged: it has not come to rest by then.
LEAST_MINUTES = 8


def resident_mb(pid: int) -> float:
    """The resident set of a process, in MB (Linux)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))


def growth(samples: Sequence[float]) -> float:
    """By how much it has grown after the warm-up, as a factor."""
    warm = samples[len(samples) // 4 :]
    third = len(warm) // 3
    return statistics.median(warm[-third:]) / statistics.median(warm[:third])
