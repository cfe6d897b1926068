"""A work queue with the semantics of client-go's: each key at most once waiting and at most once being worked on.

A key that is added while it is being worked on runs again afterwards, so no change is lost and none is done twice.
First come, first served, and a key stands in line only once: no namespace can starve another.
"""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict
from dataclasses import dataclass, field

# So many keys come before a patient one at the most: not even events without end may keep a sweep from its work.
URGENT_IN_A_ROW = 8
FIRST_RETRY_SECONDS = 0.2
LAST_RETRY_SECONDS = 300.0


@dataclass
class WorkQueue:
    """Keys are namespaces. Must be used within one running event loop."""

    _urgent: OrderedDict[str, float] = field(default_factory=OrderedDict)
    _patient: OrderedDict[str, float] = field(default_factory=OrderedDict)
    _processing: set[str] = field(default_factory=set)
    _again: set[str] = field(default_factory=set)
    _failures: dict[str, int] = field(default_factory=dict)
    _timers: dict[str, asyncio.TimerHandle] = field(default_factory=dict)
    _filled: asyncio.Event = field(default_factory=asyncio.Event)
    _emptied: asyncio.Event = field(default_factory=asyncio.Event)
    _closed: bool = False
    _urgent_in_a_row: int = 0

    def add(self, key: str, *, patient: bool = False) -> None:
        """Queues the key. ``patient`` ones (a sweep's) let others go first."""
        if key in self._processing:
            self._again.add(key)
        elif key in self._patient and not patient:
            self._urgent[key] = self._patient.pop(key)
        elif key not in self._urgent and key not in self._patient:
            (self._patient if patient else self._urgent)[key] = _now()
        self._filled.set()
        self._emptied.clear()

    def add_after(self, key: str, seconds: float) -> None:
        """Queues the key later; of several such calls the earliest moment counts."""
        due = _now() + seconds
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= due:
                return
            timer.cancel()
        self._timers[key] = asyncio.get_running_loop().call_at(due, self._ring, key)

    def retry(self, key: str) -> float:
        """Queues the key with back-off (doubling, with jitter); returns the pause in seconds."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        pause = min(LAST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2.0 ** min(failures - 1, 20)) * random.uniform(0.8, 1.2)
        self.add_after(key, pause)
        return pause

    def succeed(self, key: str) -> None:
        """Forgets the key's failures."""
        self._failures.pop(key, None)

    async def get(self) -> str | None:
        """The next key, which is being worked on until ``done``; None once the queue is closed."""
        while not (self._closed or self._urgent or self._patient):
            self._filled.clear()
            await self._filled.wait()
        if self._closed:
            return None
        key, _ = self._line().popitem(last=False)
        self._processing.add(key)
        return key

    def done(self, key: str) -> None:
        self._processing.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)
        if not (self._urgent or self._patient or self._processing):
            self._emptied.set()

    async def emptied(self) -> None:
        """Returns when no key waits or is worked on."""
        if self._urgent or self._patient or self._processing:
            await self._emptied.wait()

    def close(self) -> None:
        """Hands out no more keys, and cancels what is due later."""
        self._closed = True
        self._filled.set()
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    @property
    def depth(self) -> int:
        return len(self._urgent) + len(self._patient)

    @property
    def oldest_seconds(self) -> float:
        """How long the key that came first has been waiting."""
        waiting = [*self._urgent.values(), *self._patient.values()]
        return _now() - min(waiting) if waiting else 0.0

    def _line(self) -> OrderedDict[str, float]:
        """The line whose turn it is; at least one of the two is not empty."""
        is_urgent = bool(self._urgent) and not (self._patient and self._urgent_in_a_row >= URGENT_IN_A_ROW)
        self._urgent_in_a_row = self._urgent_in_a_row + 1 if is_urgent else 0
        return self._urgent if is_urgent else self._patient

    def _ring(self, key: str) -> None:
        self._timers.pop(key, None)
        self.add(key)


def _now() -> float:
    return asyncio.get_running_loop().time()
