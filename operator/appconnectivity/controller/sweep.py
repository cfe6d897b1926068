"""The sweep: looks at everything from time to time, and so heals whatever no event has told of.

A sweep that could not read everything concludes nothing.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from appconnectivity.cluster import errors
from appconnectivity.cluster.client import Client
from appconnectivity.cluster.kinds import (
    APP_CONNECTIVITY,
    ENDPOINT_SLICE,
    NAMESPACE,
    NETWORK_POLICY,
    SERVICE,
    TEMPLATE,
)
from appconnectivity.controller.metrics import Metrics
from appconnectivity.controller.queue import WorkQueue
from appconnectivity.core import naming
from appconnectivity.core.policy import is_marked, is_ours

logger = logging.getLogger(__name__)

Body = Mapping[str, Any]

# What a sweep sees before its event has arrived is no loss yet; after this many seconds it is.
GRACE_SECONDS = 60.0


@dataclass
class Ledger:
    """What the watches have told of one kind: the latest resourceVersion by uid, a deletion's too."""

    versions: dict[str, str] = field(default_factory=dict)
    _unlisted: set[str] = field(default_factory=set)

    def note(self, event_type: str | None, body: Body) -> None:
        metadata = body.get("metadata") or {}
        version = metadata.get("resourceVersion", "")
        self.versions[metadata.get("uid", "")] = f"deleted at {version}" if event_type == "DELETED" else version

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
    """Sweeps at the start and then every ``interval`` seconds (with jitter, so that many do not march in step)."""

    client: Client
    queue: WorkQueue
    templates: WorkQueue
    metrics: Metrics
    interval: float
    clock: Callable[[], float]
    ledgers: Mapping[str, Ledger]
    completed: int = 0
    last_success: float = 0.0
    api_is_down: bool = False
    has_ended: bool = False
    deaf_rounds: dict[str, int] = field(default_factory=dict)
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
        return pause

    async def sweep(self) -> None:
        """One look at everything: queues each namespace that has objects, or policies of ours that may be left over,
        and each template, also one that is gone and may have left an object."""
        objects, policies = await asyncio.gather(self.client.list(APP_CONNECTIVITY), self.client.list(NETWORK_POLICY))
        templates = await self._templates()
        # Of these their version alone: passes read nothing older after it.
        await asyncio.gather(*(self.client.list(kind, name="none") for kind in (NAMESPACE, SERVICE, ENDPOINT_SLICE)))
        for template in sorted({body["metadata"]["name"] for body in templates} | _templates_of(objects)):
            self.templates.add(template, patient=True)
        ours = [body for body in policies if is_ours(body) or is_marked(body)]
        for namespace in sorted({body["metadata"]["namespace"] for body in (*objects, *ours)}):
            self.queue.add(namespace, patient=True)
        self.completed += 1
        self.last_success = self.clock()
        self.api_is_down = False
        self.metrics.last_sweep.set_to_current_time()
        for kind, bodies in ((APP_CONNECTIVITY, objects), (NETWORK_POLICY, policies), (TEMPLATE, templates)):
            self._suspect(kind.plural, bodies)

    async def _templates(self) -> list[dict[str, Any]]:
        """Without them (their CRD is not there, say) the rest is swept all the same."""
        try:
            return await self.client.list(TEMPLATE)
        except errors.ClusterError as error:
            logger.warning("sweep of templates: %s; nothing is concluded from it", error)
            return []

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
