"""Memory that the process needs no more: looked for seldom, and given back to the machine."""

from __future__ import annotations

import ctypes
import gc

# Every answer is thousands of small containers, nearly none of them garbage in cycles. By default Python looks through
# all that lives again and again meanwhile, which took a quarter of the operator's time where much has changed. But what
# kopf makes of an event is such garbage, the event's object with it: what is new is looked through after so many.
_COLLECTED = (10_000, 50, 40)


def collect_seldom() -> None:
    """From now on; ``give_back`` finds the rest."""
    gc.set_threshold(*_COLLECTED)


def give_back() -> None:
    """All that is garbage by now, in a fraction of a second."""
    gc.collect()
    # What is freed stays in glibc's heap, between what still stands: a megabyte more with each minute of many changes.
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):  # other C libraries need none
        trim(0)
