"""The controller: events in, passes over namespaces out. Wires the parts together, and starts and stops them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any

from appconnectivity.cluster import errors
from appconnectivity.cluster.apply import Applier
from appconnectivity.cluster.client import Client
from appconnectivity.cluster.kinds import (
    APP_CONNECTIVITY,
    ENDPOINT_SLICE,
    NAMESPACE,
    NETWORK_POLICY,
    SERVICE,
)
from appconnectivity.cluster.observe import Observer
from appconnectivity.cluster.report import Reporter
from appconnectivity.controller.metrics import Metrics
from appconnectivity.controller.probes import Probes, Watchdog
from appconnectivity.controller.queue import WorkQueue
from appconnectivity.controller.reconcile import Reconciler
from appconnectivity.controller.sweep import Ledger, Sweeper
from appconnectivity.controller.triggers import Triggers
from appconnectivity.settings import Settings

logger = logging.getLogger(__name__)

WATCHED = tuple(kind.plural for kind in (APP_CONNECTIVITY, NETWORK_POLICY, NAMESPACE, SERVICE, ENDPOINT_SLICE))

# A pass that has begun is given this long to end when the operator is stopped (the kubelet kills after 15 s).
STOP_SECONDS = 7.0


class Controller:
    """One running operator. ``notice`` is called for each event, from the same event loop."""

    def __init__(self, client: Client, *, settings: Settings, metrics: Metrics) -> None:
        options, dns = settings.options(), settings.dns_candidates()
        self._settings = settings
        self._metrics = metrics
        self._queue = WorkQueue()
        self._triggers = Triggers(dns_services=frozenset(dns))
        self._ledgers = {kind.plural: Ledger() for kind in (APP_CONNECTIVITY, NETWORK_POLICY)}
        self._sweeper = Sweeper(
            client=client,
            queue=self._queue,
            metrics=metrics,
            interval=settings.sweep_interval,
            clock=time.monotonic,
            ledgers=self._ledgers,
        )
        self._reconciler = Reconciler(
            observer=Observer(client, options=options, dns_services=dns),
            applier=Applier(client),
            reporter=Reporter(client),
            triggers=self._triggers,
            metrics=metrics,
            options=options,
            monotonic=time.monotonic,
        )
        watchdog = Watchdog(queue=self._queue, sweeper=self._sweeper, watched=WATCHED)
        self._probes = Probes(watchdog=watchdog, queue=self._queue, sweeper=self._sweeper, metrics=metrics)
        self._tasks: list[asyncio.Task[None]] = []

    def notice(self, plural: str, event_type: str | None, body: Mapping[str, Any]) -> None:
        """Takes an event (type None: from the first LIST of a watch) for a hint where to look."""
        if plural in self._ledgers:
            self._ledgers[plural].note(event_type, body)
        for namespace in self._triggers.concerned(plural, body):
            self._queue.add(namespace)

    async def start(self) -> None:
        await self._probes.start(host=self._settings.listen, port=self._settings.port)
        self._tasks = [asyncio.create_task(self._sweeper.run(), name="sweeper")]
        self._tasks += [asyncio.create_task(self._work(), name=f"worker {n}") for n in range(self._settings.workers)]

    async def stop(self) -> None:
        """Lets passes that have begun end, within STOP_SECONDS, and starts no more."""
        if not self._tasks:
            return
        self._queue.close()
        self._tasks[0].cancel()
        await asyncio.wait(self._tasks, timeout=STOP_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await self._probes.stop()

    async def _work(self) -> None:
        while (namespace := await self._queue.get()) is not None:
            try:
                await self._pass(namespace)
            finally:
                self._queue.done(namespace)

    async def _pass(self, namespace: str) -> None:
        try:
            with self._metrics.duration.time():
                result = await self._reconciler.reconcile(namespace)
        except errors.NamespaceGone:
            self._queue.succeed(namespace)
            return
        except errors.ClusterError as error:
            self._failed(namespace, reason=type(error).__name__, said=str(error))
            return
        except Exception as error:  # one namespace's trouble must not end the worker
            logger.exception("pass over namespace %s", namespace)
            self._failed(namespace, reason="InternalError", said=str(error))
            return
        if not result.complete:
            self._failed(namespace, reason="Incomplete", said="some writes were refused; see the objects' conditions")
        else:
            self._queue.succeed(namespace)
            self._metrics.reconciles.labels("ok").inc()
        if result.look_again_seconds is not None:
            self._queue.add_after(namespace, result.look_again_seconds)

    def _failed(self, namespace: str, *, reason: str, said: str) -> None:
        pause = self._queue.retry(namespace)
        self._metrics.reconciles.labels("error").inc()
        self._metrics.errors.labels(reason).inc()
        logger.warning("namespace %s: %s (again in %.1f s)", namespace, said, pause)
