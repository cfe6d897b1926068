"""/healthz, /readyz and /metrics, and the judgement behind them.

Health goes red when the operator is deaf or stuck, so that it is restarted. It stays green when only the API server is
down: a restart would not help, and would come at the worst moment.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from appconnectivity.controller.metrics import Metrics
from appconnectivity.controller.queue import WorkQueue
from appconnectivity.controller.sweep import Sweeper

logger = logging.getLogger(__name__)

OLDEST_QUEUED_SECONDS = 900.0
SWEEPS_MISSED = 3
# Two sweeps in a row that find changes which a watch has not told of: the watch is deaf, not slow.
DEAF_ROUNDS = 2
WATCHER_GRACE_SECONDS = 60.0


@dataclass
class Watchdog:
    """Says what is wrong with the operator; empty where nothing is."""

    queue: WorkQueue
    templates: WorkQueue
    sweeper: Sweeper
    watched: tuple[str, ...]
    _silent_since: float | None = None

    def complaints(self) -> list[str]:
        now = self.sweeper.clock()
        found = [f"deaf to {plural}" for plural, rounds in self.sweeper.deaf_rounds.items() if rounds >= DEAF_ROUNDS]
        for what, queue in (("namespace", self.queue), ("template", self.templates)):
            if queue.oldest_seconds > OLDEST_QUEUED_SECONDS:
                found.append(f"a {what} has been waiting for {queue.oldest_seconds:.0f} s")
        is_overdue = now - self.sweeper.last_success > SWEEPS_MISSED * self.sweeper.interval + WATCHER_GRACE_SECONDS
        if self.sweeper.completed and is_overdue and not self.sweeper.api_is_down:
            found.append("no sweep has been completed for three intervals")
        if self.sweeper.has_ended:
            found.append("no more sweeps: their task has ended")
        return found + self._missing_watchers(now=now)

    def _missing_watchers(self, *, now: float) -> list[str]:
        """kopf's watchers are tasks with names; one that has died leaves the process alive and a kind unwatched."""
        if not self.sweeper.completed or self.sweeper.api_is_down:
            return []
        names = [task.get_name() for task in asyncio.all_tasks() if not task.done()]
        missing = [p for p in self.watched if not any(name.startswith(f"watcher for {p}.") for name in names)]
        if not missing:
            self._silent_since = None
            return []
        self._silent_since = now if self._silent_since is None else self._silent_since
        is_long = now - self._silent_since > WATCHER_GRACE_SECONDS
        return [f"no watcher for {', '.join(missing)}"] if is_long else []


@dataclass
class Probes:
    """The HTTP server. ``start`` returns the port that it listens on.

    ``stands_by`` is there while the replica does: it is ready then if that says so.
    """

    watchdog: Watchdog
    queue: WorkQueue
    sweeper: Sweeper
    metrics: Metrics
    stands_by: Callable[[], bool] | None = None
    _runner: web.AppRunner | None = None

    async def start(self, *, host: str, port: int) -> int:
        app = web.Application()
        app.add_routes(
            [web.get("/healthz", self._health), web.get("/readyz", self._ready), web.get("/metrics", self._metrics)]
        )
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        chosen = int(self._runner.addresses[0][1])
        logger.info("probes and metrics on port %d", chosen)
        return chosen

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _health(self, _: web.Request) -> web.Response:
        complaints = self.watchdog.complaints()
        return web.Response(status=500 if complaints else 200, text="; ".join(complaints) or "ok")

    async def _ready(self, _: web.Request) -> web.Response:
        if self.stands_by is not None:
            is_well = self.stands_by()
            said = "stands by" if is_well else "the Lease can't be read or taken; the log tells why"
            return web.Response(status=200 if is_well else 503, text=said)
        is_ready = self.sweeper.completed > 0
        trouble = f": {self.sweeper.trouble}" if self.sweeper.trouble else ""
        text = "ok" if is_ready else f"the first sweep is not complete{trouble}"
        return web.Response(status=200 if is_ready else 503, text=text)

    async def _metrics(self, _: web.Request) -> web.Response:
        self.metrics.queue_depth.set(self.queue.depth)
        self.metrics.queue_age.set(self.queue.oldest_seconds)
        return web.Response(body=self.metrics.text(), headers={"Content-Type": "text/plain; version=0.0.4"})
