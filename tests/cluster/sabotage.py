"""The operator's own program, in which at a signal (SIGUSR1), or at once, something is wrong that nobody can do from
outside.

``python -m cluster.sabotage NAME run ...``. What it would wait for a minute takes a second here.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from appconnectivity import handlers
from appconnectivity.cli.main import main
from appconnectivity.cluster import configuration
from appconnectivity.controller import probes, sweep
from appconnectivity.core import isolation

MINUTE_SECONDS = 1.0
STALL_SECONDS = 10.0
# The object on which the compiler breaks.
POISON = "poison"


def _nothing() -> None:
    """It is only in a hurry."""


def _lose_a_watcher() -> None:
    """kopf's watcher of policies ends, as its own timer can make it, and nothing starts it again."""
    for task in asyncio.all_tasks():
        if task.get_name().startswith("watcher for networkpolicies."):
            task.cancel()


def _stand_still() -> None:
    """The event loop does nothing else."""
    time.sleep(STALL_SECONDS)


def _break_the_compiler() -> None:
    compiled = isolation.object_policies

    def broken(intent: Any, **more: Any) -> Any:
        return 1 // 0 if intent.name == POISON else compiled(intent, **more)

    isolation.object_policies = broken


def _lose_patience() -> None:
    """With watches, which take their seconds when they begin."""
    handlers.WATCH_SECONDS, handlers.LATE_SECONDS = 2, 1


SABOTAGES: dict[str, Callable[[], None]] = {
    "hurry": _nothing,
    "impatient": _lose_patience,
    "watcher": _lose_a_watcher,
    "stall": _stand_still,
    "compiler": _break_the_compiler,
}
AT_ONCE = ("impatient",)


def _hurry() -> None:
    configuration.TOKEN_SECONDS = MINUTE_SECONDS
    probes.WATCHER_GRACE_SECONDS = MINUTE_SECONDS
    sweep.GRACE_SECONDS = MINUTE_SECONDS


if __name__ == "__main__":
    name, *words = sys.argv[1:]
    _hurry()
    if name in AT_ONCE:
        SABOTAGES[name]()
    signal.signal(signal.SIGUSR1, lambda *_: SABOTAGES[name]())
    raise SystemExit(main(words))
