"""The sweep: looks at everything from time to time, and so heals whatever no event has told of.

A sweep that could not read everything concludes nothing.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from appconnectivity.cluster import errors
from appconnectivity.cluster.client import Client, Listing
from appconnectivity.cluster.kinds import (
    APP_CONNECTIVITY,
    ENDPOINT_SLICE,
    NAMESPACE,
    NETWORK_POLICY,
    SERVICE,
    TEMPLATE,
    Kind,
)
from appconnectivity.cluster.reads import Live, Memory, Reads, Snapshot
from appconnectivity.controller.metrics import Metrics
from appconnectivity.controller.queue import WorkQueue
from appconnectivity.core import naming
from appconnectivity.core.policy import is_marked, is_ours

logger = logging.getLogger(__name__)

Body = Mapping[str, Any]

# What a sweep sees before its event has arrived is no loss yet; after this many seconds it is.
GRACE_SECONDS = 60.0
_ENDED = "deleted at "
_READ = (APP_CONNECTIVITY, NETWORK_POLICY, NAMESPACE, SERVICE)


@dataclass
class Ledger:
    """What the watches have told of one kind: the latest resourceVersion by uid, a deletion's too."""

    versions: dict[str, str] = field(default_factory=dict)
    _unlisted: set[str] = field(default_factory=set)

    def note(self, event_type: str | None, body: Body) -> None:
        metadata = body.get("metadata") or {}
        version = metadata.get("resourceVersion", "")
        self.versions[metadata.get("uid", "")] = f"{_ENDED}{version}" if event_type == "DELETED" else version

    def has_heard_end(self, uid: str) -> bool:
        return self.versions.get(uid, "").startswith(_ENDED)

    def missing(self, bodies: list[dict[str, Any]]) -> dict[str, str]:
        """What is in a LIST and was not told of as it is. What two LISTs in a row do not have is forgotten."""
        listed = {body["metadata"]["uid"]: body["metadata"]["resourceVersion"] for body in bodies}
        unlisted = self.versions.keys() - listed.keys()
        for uid in unlisted & self._unlisted:
            del self.versions[uid]
        self._unlisted = unlisted
        return {uid: version for uid, version in listed.items() if self.versions.get(uid) != version}

    def still_missing(self, suspects: Mapping[str, str], *, before: Mapping[str, str]) -> int:
        """Suspects of which nothing has been heard since ``before`` was taken."""
        return sum(self.versions.get(uid) == before.get(uid) for uid in suspects)


@dataclass
class Sweeper:
    """Sweeps at the start, again when the watches have begun, and then every ``interval`` seconds (with jitter, so that
    many do not march in step).

    ``is_settled`` makes a pass over a namespace by what was seen, if that has nothing to write. What passes remember of
    namespaces and Services is put right.
    """

    client: Client
    queue: WorkQueue
    templates: WorkQueue
    metrics: Metrics
    interval: float
    clock: Callable[[], float]
    ledgers: Mapping[str, Ledger]
    memory: Memory
    is_settled: Callable[[str, Reads], Awaitable[bool]]
    first: asyncio.Event = field(default_factory=asyncio.Event)
    completed: int = 0
    last_success: float = 0.0
    api_is_down: bool = False
    has_ended: bool = False
    deaf_rounds: dict[str, int] = field(default_factory=dict)
    _shown: dict[str, int] = field(default_factory=dict)
    _checks: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self) -> None:
        """Until it is cancelled; then the checks that still wait are ended too, so that nothing holds up the stop."""
        try:
            while True:
                pause = await self._try()
                await asyncio.sleep(pause)
        finally:
            self.has_ended = True
            for check in self._checks:
                check.cancel()

    async def _try(self) -> float:
        """Sweeps, if the API server lets it; returns the seconds until the next time."""
        pause = self.interval * random.uniform(0.9, 1.1)
        try:
            await self.sweep()
        except errors.ClusterError as error:
            self.api_is_down = isinstance(error, errors.Unavailable)
            logger.warning("sweep: %s; nothing is concluded from it", error)
            return min(pause, 10.0)
        except Exception:  # sweeps must go on: without them nothing heals what no event has told of
            logger.exception("sweep; nothing is concluded from it")
            return min(pause, 10.0)
        return pause if self.completed > 1 else min(pause, GRACE_SECONDS)

    async def sweep(self) -> None:
        """One look at everything: queues each namespace that has objects, or policies of ours that may be left over,
        unless nothing is to be done in it; and each template, also one that is gone and may have left an object."""
        seen = await self._look()
        for kind in (NAMESPACE, SERVICE):
            self.memory.settle(kind, seen[kind])
        objects, policies = seen[APP_CONNECTIVITY].bodies, seen[NETWORK_POLICY].bodies
        templates = seen[TEMPLATE].bodies if TEMPLATE in seen else []
        for template in sorted({body["metadata"]["name"] for body in templates} | _templates_of(objects)):
            self.templates.add(template, patient=True)
        ours = [body for body in policies if is_ours(body) or is_marked(body)]
        snapshot = Snapshot({kind: seen[kind].bodies for kind in _READ}, otherwise=Live(self.client, recent=False))
        for namespace in sorted({body["metadata"]["namespace"] for body in (*objects, *ours)}):
            await self._inspect(namespace, snapshot)
        self._shown = {} if self.completed else {k.plural: f.version for k, f in seen.items() if f.version is not None}
        self.completed += 1
        self.first.set()
        self.last_success = self.clock()
        self.api_is_down = False
        self.metrics.last_sweep.set_to_current_time()
        for kind, bodies in ((APP_CONNECTIVITY, objects), (NETWORK_POLICY, policies), (TEMPLATE, templates)):
            self._suspect(kind.plural, bodies)

    def has_shown(self, plural: str, body: Body) -> bool:
        """True where the first sweep has seen this object as it is here, or newer, and there was no other sweep yet:
        that the watches, which begin then, list it too is no news."""
        version = (body.get("metadata") or {}).get("resourceVersion", "")
        return version.isdecimal() and int(version) <= self._shown.get(plural, -1)

    async def _look(self) -> dict[Kind, Listing]:
        """What there is. Without templates (their CRD is not there, say) the rest is swept all the same."""
        seen = dict(zip(_READ, await asyncio.gather(*map(self.client.everything, _READ)), strict=True))
        # Of these their version alone: passes read nothing older after it.
        seen[ENDPOINT_SLICE] = await self.client.everything(ENDPOINT_SLICE, name="none")
        try:
            seen[TEMPLATE] = await self.client.everything(TEMPLATE)
        except errors.ClusterError as error:
            logger.warning("sweep of templates: %s; nothing is concluded from it", error)
        return seen

    async def _inspect(self, namespace: str, snapshot: Snapshot) -> None:
        await asyncio.sleep(0)  # events and passes go on meanwhile
        if self.queue.claim(namespace):
            try:
                with suppress(Exception):  # a pass over it will meet the same, and tell
                    if await self.is_settled(namespace, snapshot):
                        self.metrics.reconciles.labels("ok").inc()
                        return
            finally:
                self.queue.done(namespace)
        self.queue.add(namespace, patient=True)

    def _suspect(self, plural: str, bodies: list[dict[str, Any]]) -> None:
        ledger = self.ledgers[plural]
        suspects = ledger.missing(bodies)
        if not suspects:
            self.deaf_rounds[plural] = 0
            return
        before = {uid: ledger.versions[uid] for uid in suspects if uid in ledger.versions}
        check = asyncio.create_task(self._verdict(plural, suspects, before), name=f"check of {plural}")
        self._checks.add(check)
        check.add_done_callback(self._checks.discard)

    async def _verdict(self, plural: str, suspects: Mapping[str, str], before: Mapping[str, str]) -> None:
        await asyncio.sleep(GRACE_SECONDS)
        missed = self.ledgers[plural].still_missing(suspects, before=before)
        self.deaf_rounds[plural] = self.deaf_rounds.get(plural, 0) + 1 if missed else 0
        if missed:
            self.metrics.missed.labels(plural).inc(missed)
            logger.warning("no watch has told of %d %s", missed, plural)


def _templates_of(objects: list[dict[str, Any]]) -> set[str]:
    """The templates that objects say they are of."""
    return {name for body in objects if (name := (body["metadata"].get("labels") or {}).get(naming.TEMPLATE_LABEL))}
