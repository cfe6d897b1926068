"""Taking keys from a queue and making passes over them, one at a time, however these end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from appconnectivity.cluster import errors
from appconnectivity.controller.metrics import Metrics
from appconnectivity.controller.queue import WorkQueue

logger = logging.getLogger(__name__)

_SHORT, _LONGEST_REST = 0.1, 1.0


@dataclass(frozen=True)
class Result:
    """How a pass ended: whether all was done, and in how many seconds to look again at the latest (None: no need)."""

    complete: bool
    look_again_seconds: float | None = None


@dataclass(frozen=True)
class Worker:
    """``what`` names a key's kind in logs. A ``restful`` worker rests after a long pass for as long as it took, and at
    most a second: what happens meanwhile is taken together.
    """

    what: str
    queue: WorkQueue
    reconcile: Callable[[str], Awaitable[Result]]
    metrics: Metrics
    restful: bool = False

    async def run(self) -> None:
        """Until the queue is closed."""
        while (key := await self.queue.get()) is not None:
            start = asyncio.get_running_loop().time()
            try:
                await self._pass(key)
                took = asyncio.get_running_loop().time() - start
                if self.restful and took > _SHORT:
                    await asyncio.sleep(min(_LONGEST_REST, took))
            finally:
                self.queue.done(key)

    async def _pass(self, key: str) -> None:
        try:
            with self.metrics.duration.time():
                result = await self.reconcile(key)
        except errors.NamespaceGone:
            self.queue.succeed(key)
            return
        except errors.ClusterError as error:
            self._failed(key, reason=type(error).__name__, said=str(error))
            return
        except Exception as error:  # one key's trouble must not end the worker
            logger.exception("pass over %s %s", self.what, key)
            self._failed(key, reason="InternalError", said=str(error))
            return
        if not result.complete:
            self._failed(key, reason="Incomplete", said="some writes were refused; see the conditions")
        else:
            self.queue.succeed(key)
            self.metrics.reconciles.labels("ok").inc()
        if result.look_again_seconds is not None:
            self.queue.add_after(key, result.look_again_seconds)

    def _failed(self, key: str, *, reason: str, said: str) -> None:
        pause = self.queue.retry(key)
        self.metrics.reconciles.labels("error").inc()
        self.metrics.errors.labels(reason).inc()
        logger.warning("%s %s: %s (again in %.1f s)", self.what, key, said, pause)
