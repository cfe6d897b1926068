"""Memory that the process needs no more: looked for seldom, and given back to the machine."""

from __future__ import annotations

import ctypes
import gc
from functools import cache

# Every answer is thousands of small containers, none of them garbage in cycles. By default Python looks through all
# that lives again and again meanwhile, which took a quarter of the operator's time where much has changed.
_COLLECTED = (50_000, 20, 20)


def collect_seldom() -> None:
    """From now on; ``give_back`` finds the rest."""
    gc.set_threshold(*_COLLECTED)


def give_back() -> None:
    """All that is garbage by now, in a fraction of a second."""
    gc.collect()
    # What is freed stays in the heap, between what still stands: a megabyte more with each minute of many changes.
    if trim := getattr(_c_library(), "malloc_trim", None):
        trim(0)


@cache
def _c_library() -> ctypes.CDLL:
    """glibc's has malloc_trim(3), others need none."""
    return ctypes.CDLL(None)
