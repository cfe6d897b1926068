"""The controller: events in, passes over namespaces and templates out. Wires, starts and stops the parts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from appconnectivity.cluster.apply import Applier
from appconnectivity.cluster.client import Client
from appconnectivity.cluster.kinds import (
    APP_CONNECTIVITY,
    ENDPOINT_SLICE,
    NAMESPACE,
    NETWORK_POLICY,
    SERVICE,
    TEMPLATE,
)
from appconnectivity.cluster.observe import Observer
from appconnectivity.cluster.reads import Memory, Now, Recent
from appconnectivity.cluster.report import Reporter
from appconnectivity.cluster.rollout import Onboarder
from appconnectivity.controller.brake import Brake
from appconnectivity.controller.metrics import Metrics
from appconnectivity.controller.probes import Probes, Watchdog
from appconnectivity.controller.queue import WorkQueue
from appconnectivity.controller.reconcile import Reconciler
from appconnectivity.controller.rollouts import Rollouts
from appconnectivity.controller.sweep import REMEMBERED, Ledger, Sweeper
from appconnectivity.controller.telling import Teller
from appconnectivity.controller.triggers import Triggers, templates_concerned
from appconnectivity.controller.worker import Result, Worker
from appconnectivity.settings import Settings

_WATCHED = tuple(
    kind.plural for kind in (APP_CONNECTIVITY, TEMPLATE, NETWORK_POLICY, NAMESPACE, SERVICE, ENDPOINT_SLICE)
)
# A pass that has begun is given this long to end when the operator is stopped (the kubelet kills after 15 s).
STOP_SECONDS = 7.0
# An object of a template that got another status is news for the template's status only, which may be so much late.
PROGRESS_SECONDS = 1.0


class Controller:
    """One running operator. ``notice`` is called for each event, from the same event loop."""

    def __init__(self, client: Client, *, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._client = client
        self._queue, self._templates = WorkQueue(), WorkQueue()
        self._triggers = Triggers(dns_services=frozenset(settings.dns_candidates()))
        self._ledgers = {kind.plural: Ledger() for kind in (*REMEMBERED, TEMPLATE)}
        self._memory = Memory(otherwise=Recent(client))
        client.wrote = self._memory.note
        self._rollouts = self._make_rollouts(metrics)
        self._reconciler = self._make_reconciler(metrics)
        self._sweeper = Sweeper(
            client=client,
            queue=self._queue,
            templates=self._templates,
            metrics=metrics,
            interval=settings.sweep_interval,
            clock=time.monotonic,
            ledgers=self._ledgers,
            memory=self._memory,
            before_passes=self._reconciler.look_at_all,
        )
        over_namespaces = Worker("namespace", self._queue, self._pass, metrics)
        # A pass over a template reads every namespace, so it should not be made for each of them.
        over_templates = Worker("template", self._templates, self._rollouts.reconcile, metrics, restful=True)
        self._workers = [over_templates, *[over_namespaces] * settings.workers]
        watchdog = Watchdog(queue=self._queue, templates=self._templates, sweeper=self._sweeper, watched=_WATCHED)
        self._probes = Probes(watchdog=watchdog, queue=self._queue, sweeper=self._sweeper, metrics=metrics)
        self._tasks: list[asyncio.Task[None]] = []

    def _make_rollouts(self, metrics: Metrics) -> Rollouts:
        return Rollouts(
            onboarder=Onboarder(self._client, recent=self._memory),
            reporter=Reporter(self._client),
            metrics=metrics,
            protected=self._settings.options().protected_namespaces,
            monotonic=time.monotonic,
        )

    def _make_reconciler(self, metrics: Metrics) -> Reconciler:
        options = self._settings.options()
        return Reconciler(
            observer=Observer(
                now=Now(self._client, self._memory),
                recent=self._memory,
                options=options,
                dns_services=self._settings.dns_candidates(),
                clock=time.monotonic,
            ),
            applier=Applier(self._client),
            teller=Teller(Reporter(self._client), self._triggers, metrics),
            triggers=self._triggers,
            metrics=metrics,
            options=options,
            brake=Brake(is_gone=self._ledgers[APP_CONNECTIVITY.plural].has_heard_end),
            monotonic=time.monotonic,
            disturbed=self._rollouts.disturbed,
        )

    def notice(self, plural: str, event_type: str | None, body: Mapping[str, Any]) -> None:
        """Takes an event (type None: from a LIST with which a watch begins) for a hint where to look."""
        self._client.versions.note(plural, body)
        self._memory.note(plural, event_type, body)
        if plural in self._ledgers:
            self._ledgers[plural].note(event_type, body)
        if plural in (SERVICE.plural, ENDPOINT_SLICE.plural):
            self._reconciler.observer.forget_dns(body)
        if event_type is None and self._sweeper.has_shown(plural, body):
            return
        is_there = event_type != "DELETED" and not (body.get("metadata") or {}).get("deletionTimestamp")
        for template in templates_concerned(plural, body, known=self._rollouts.names):
            if plural == TEMPLATE.plural and is_there and self._rollouts.has_seen(body):
                continue
            if plural == APP_CONNECTIVITY.plural and is_there and self._rollouts.stands(body):
                self._templates.add_after(template, PROGRESS_SECONDS)
            else:
                self._templates.add(template)
        for namespace in self._triggers.concerned(plural, body):
            self._queue.add(namespace)

    def listed(self) -> None:
        """A watch begins, or begins anew: what has gone since the last sweep it will never tell."""
        self._sweeper.expect_gap()

    async def _pass(self, namespace: str) -> Result:
        self._triggers.begin(namespace)
        try:
            return await self._reconciler.reconcile(namespace)
        finally:
            if self._triggers.end(namespace):
                self._queue.add(namespace)

    @property
    def swept(self) -> asyncio.Event:
        """Set when the first sweep is complete."""
        return self._sweeper.first

    async def listen(self) -> None:
        """Answers probes from now on. Raises OSError where it can't."""
        await self._probes.start(host=self._settings.listen, port=self._settings.port)

    def stand_by(self, is_well: Callable[[], bool]) -> None:
        """Until ``start`` it is ready if this says so."""
        self._probes.stands_by = is_well

    async def start(self) -> None:
        """Takes up its work."""
        self._probes.stands_by = None
        self._tasks = [asyncio.create_task(self._sweeper.run(), name="sweeper")]
        self._tasks += [asyncio.create_task(worker.run(), name=f"{worker.what} worker") for worker in self._workers]

    async def stop(self) -> None:
        """Lets passes that have begun end, within STOP_SECONDS, and starts no more."""
        for queue in (self._queue, self._templates):
            queue.close()
        if self._tasks:
            self._tasks[0].cancel()
            await asyncio.wait(self._tasks, timeout=STOP_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await self._probes.stop()
