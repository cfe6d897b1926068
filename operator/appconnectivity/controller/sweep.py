"""The sweep: looks at everything from time to time, and so heals whatever no event has told of.

A sweep that could not read everything concludes nothing.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
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
from appconnectivity.cluster.reads import Memory
from appconnectivity.cluster.store import Store, version_of
from appconnectivity.controller import garbage
from appconnectivity.controller.metrics import Metrics
from appconnectivity.controller.queue import WorkQueue
from appconnectivity.core import naming
from appconnectivity.core.policy import is_marked, is_ours

logger = logging.getLogger(__name__)

Body = Mapping[str, Any]

# What a sweep sees before its event has arrived is no loss yet; after this many seconds it is.
GRACE_SECONDS = 60.0
UNDISTURBED_SECONDS = 10.0
# A watch that has listed may do so again at once, and others may. Where that goes on, not more than a tenth of the time
# goes by looking at everything.
GAP_SECONDS, GAP_TIMES = 5.0, 10
AFTER_FAILURE_SECONDS = 10.0
# An event that tells of an end may be so late.
AGAIN_SECONDS = 1.0
_ENDED = "deleted at "
# What passes know from memory; not EndpointSlices, which grow with the number of Pods.
REMEMBERED = (APP_CONNECTIVITY, NETWORK_POLICY, NAMESPACE, SERVICE)


@dataclass
class Ledger:
    """What the watches have told of one kind: the latest resourceVersion by uid, a deletion's too."""

    versions: dict[str, str] = field(default_factory=dict)
    _unlisted: set[str] = field(default_factory=set)

    def note(self, event_type: str | None, body: Body) -> None:
        metadata = body.get("metadata") or {}
        version = metadata.get("resourceVersion", "")
        is_ending = event_type == "DELETED" or metadata.get("deletionTimestamp")
        self.versions[metadata.get("uid", "")] = f"{_ENDED}{version}" if is_ending else version

    def has_heard_end(self, uid: str) -> bool:
        return self.versions.get(uid, "").startswith(_ENDED)

    def forget(self, store: Store) -> None:
        """What two LISTs in a row do not have."""
        unlisted = self.versions.keys() - store.versions.keys()
        for uid in unlisted & self._unlisted:
            del self.versions[uid]
        self._unlisted = unlisted

    def missing(self, store: Store) -> dict[str, str]:
        """What a LIST has and was not told of as it is."""
        listed = {uid: str(version) for uid, version in store.versions.items()}
        return {u: version for u, version in listed.items() if self.versions.get(u) not in (version, _ENDED + version)}

    def still_missing(self, suspects: Mapping[str, str], *, before: Mapping[str, str]) -> int:
        """Suspects of which nothing has been heard since ``before`` was taken."""
        return sum(self.versions.get(uid) == before.get(uid) for uid in suspects)


@dataclass
class Sweeper:
    """Sweeps at the start, again whenever a watch has begun by a list, and every ``interval`` seconds (with jitter, so
    that many do not march in step). Each puts the ``memory`` right by which passes are made, and then calls
    ``before_passes``."""

    client: Client
    queue: WorkQueue
    templates: WorkQueue
    metrics: Metrics
    interval: float
    clock: Callable[[], float]
    ledgers: Mapping[str, Ledger]
    memory: Memory
    before_passes: Callable[[], None]
    first: asyncio.Event = field(default_factory=asyncio.Event)
    completed: int = 0
    judged: int = 0
    last_success: float = 0.0
    api_is_down: bool = False
    trouble: str = ""
    has_ended: bool = False
    deaf_rounds: dict[str, int] = field(default_factory=dict)
    _due: float = float("-inf")
    _gap: asyncio.Event = field(default_factory=asyncio.Event)
    _took: float = 0.0
    _shown: dict[str, int] = field(default_factory=dict)
    _checks: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self) -> None:
        """Until it is cancelled; then the checks that still wait are ended too, so that nothing holds up the stop."""
        try:
            while True:
                until = await self._try()
                await self._begin_watching()
                await self._rest(until)
        finally:
            self.has_ended = True
            for check in self._checks:
                check.cancel()

    def expect_gap(self) -> None:
        """A watch has listed: what has gone since the last sweep it will never tell."""
        self._gap.set()

    async def _rest(self, until: float) -> None:
        """Until then, or until there has to be a sweep sooner."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self._gap.wait()
                await asyncio.sleep(max(GAP_SECONDS, GAP_TIMES * self._took))
        self._gap.clear()

    async def _begin_watching(self) -> None:
        """After the first sweep, when the passes that it has asked for are done: undisturbed for some time."""
        if self.completed and not self.first.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(UNDISTURBED_SECONDS):
                    await self.queue.emptied()
            self.first.set()

    async def _try(self) -> float:
        """Sweeps, if the API server lets it; returns when to do so again, by the loop's time. Watches are judged when
        that is due, however often they have listed meanwhile."""
        now = asyncio.get_running_loop().time
        began = now()
        is_due = began >= self._due
        try:
            await self.sweep(judges=is_due)
            garbage.give_back()
        except errors.ClusterError as error:
            self.api_is_down = isinstance(error, errors.Unavailable)
            self.trouble = str(error)
            logger.warning("sweep: %s; nothing is concluded from it", error)
            return now() + min(self.interval, AFTER_FAILURE_SECONDS)
        except Exception:  # sweeps must go on: without them nothing heals what no event has told of
            logger.exception("sweep; nothing is concluded from it")
            return now() + min(self.interval, AFTER_FAILURE_SECONDS)
        self._took = now() - began
        if is_due:
            pause = self.interval * random.uniform(0.9, 1.1)
            self._due = now() + (pause if self.judged > 1 else min(pause, GRACE_SECONDS))
        return self._due

    async def sweep(self, *, judges: bool = True) -> None:
        """One look at everything: queues each namespace that has objects, or policies of ours that may be left over,
        and each template, also one that is gone and may have left an object. ``judges`` whether watches are deaf: not
        when these have only begun."""
        seen = await self._look()
        for kind in REMEMBERED:
            self.memory.settle(kind, seen[kind])
        self.before_passes()
        for kind, listing in seen.items():
            if kind.plural in self.ledgers:
                self.ledgers[kind.plural].forget(listing.store)
        self._queue_all({kind: listing.store for kind, listing in seen.items()})
        self._shown = {kind.plural: listing.version for kind, listing in seen.items()} if self.completed < 2 else {}
        self.completed += 1
        self.last_success = self.clock()
        self.api_is_down = False
        self.trouble = ""
        self.metrics.last_sweep.set_to_current_time()
        if judges:
            self._judge(seen)

    def _judge(self, seen: Mapping[Kind, Listing]) -> None:
        self.judged += 1
        for kind, listing in seen.items():
            if kind.plural in self.ledgers:
                self._suspect(kind.plural, listing.store)

    def has_shown(self, plural: str, body: Body) -> bool:
        """True where one of the first two sweeps has seen this object as it is here, or newer, and there was no other
        yet: that the watches, which begin then, list it too is no news."""
        return 0 < version_of(body) <= self._shown.get(plural, 0)

    async def _look(self) -> dict[Kind, Listing]:
        """What there is. Without templates (their CRD is not there, say) the rest is swept all the same."""
        seen = dict(zip(REMEMBERED, await asyncio.gather(*map(self._all, REMEMBERED)), strict=True))
        # Their version alone: passes read nothing older after it.
        seen[ENDPOINT_SLICE] = await self.client.everything(ENDPOINT_SLICE, name="none")
        try:
            seen[TEMPLATE] = await self.client.everything(TEMPLATE)
        except errors.ClusterError as error:
            logger.warning("sweep of templates: %s; nothing is concluded from it", error)
        return seen

    async def _all(self, kind: Kind) -> Listing:
        """What there is of a kind. A LIST that lacks what no event has told the end of is not believed alone: until the
        next sweep whoever asks for a grant would not find it."""
        listing = await self.client.everything(kind)
        if self.memory.unlisted(kind, None, listing):
            await asyncio.sleep(AGAIN_SECONDS)
            if self.memory.unlisted(kind, None, listing):
                return await self.client.everything(kind)
        return listing

    def _queue_all(self, found: Mapping[Kind, Store]) -> None:
        objects, policies = found[APP_CONNECTIVITY], found[NETWORK_POLICY]
        templates = found[TEMPLATE].bodies() if TEMPLATE in found else []
        for template in sorted({body["metadata"]["name"] for body in templates} | _templates_of(objects)):
            self.templates.add(template, patient=True)
        without = {*policies.namespaces} - {*objects.namespaces}
        left_over = {name for name in without if any(map(_may_be_ours, policies.bodies(name)))}
        for namespace in sorted({*objects.namespaces, *left_over}):
            self.queue.add(namespace, patient=True)

    def _suspect(self, plural: str, store: Store) -> None:
        ledger = self.ledgers[plural]
        suspects = ledger.missing(store)
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


def _may_be_ours(policy: Body) -> bool:
    return is_ours(policy) or is_marked(policy)


def _templates_of(objects: Store) -> set[str]:
    """The templates that objects say they are of."""
    maybe = objects.saying(naming.TEMPLATE_LABEL)
    return {name for body in maybe if (name := (body["metadata"].get("labels") or {}).get(naming.TEMPLATE_LABEL))}
