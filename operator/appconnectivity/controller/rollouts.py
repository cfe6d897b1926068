"""One pass over one template: what it selects, what stands there, what is to be done, and how far it is."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from appconnectivity.cluster import errors
from appconnectivity.cluster.report import Reporter
from appconnectivity.cluster.rollout import Onboarder, View, Written
from appconnectivity.controller.announce import Untold, announce
from appconnectivity.controller.metrics import Metrics
from appconnectivity.controller.worker import Result
from appconnectivity.core import api, changes, drift, rollout, template_status
from appconnectivity.core.drift import Drift
from appconnectivity.core.findings import Finding, Reason
from appconnectivity.core.rollout import Action, Rollout, Step, Stood, Template
from appconnectivity.core.template import KIND, Renderings, TemplateSpec, doubt, parse

logger = logging.getLogger(__name__)

Body = Mapping[str, Any]

# A template that has not put its object back by then can't: its rendering fails, or the API server refuses it.
REPAIRED_SECONDS = 10.0
# What takes longer holds up no other namespace of a rollout.
ON_THEIR_WAY_SECONDS = 60.0
TELLING_SECONDS = 5.0
# Whoever edits an object all the time is told of as often as this, though each edit is undone.
TOLD_SECONDS = 10.0


@dataclass(frozen=True)
class _Meaning:
    """What a version of a template (its uid and generation) means; where that is nothing, by ``refusal``, what the
    version before it meant holds on, as far as this process has known it. ``doubt`` counts while no namespace is
    selected."""

    version: tuple[str, int]
    renderings: Renderings | None
    refusal: Finding | None = None
    doubt: Finding | None = None


@dataclass
class Rollouts:
    """Brings one template at a time to its namespaces. ``clock`` is UTC, ``monotonic`` seconds.

    Repairs are not spaced out as those of policies are: whoever keeps changing an object must not get it switched off.
    """

    onboarder: Onboarder
    reporter: Reporter
    metrics: Metrics
    protected: frozenset[str]
    monotonic: Callable[[], float]
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    _standing: dict[str, dict[str, Stood]] = field(default_factory=dict)
    _on_their_way: dict[str, dict[str, float]] = field(default_factory=dict)
    _meanings: dict[str, _Meaning] = field(default_factory=dict)
    _reported: dict[str, Body] = field(default_factory=dict)
    _disturbed_since: dict[tuple[str, str], float] = field(default_factory=dict)
    _told: dict[tuple[str, str], float] = field(default_factory=dict)
    _complained: dict[str, dict[str, str]] = field(default_factory=dict)
    _untold: Untold = field(default_factory=Untold)

    @property
    def names(self) -> Collection[str]:
        """The templates that are known."""
        return self._standing.keys()

    def has_seen(self, template: Body) -> bool:
        """True where a pass has been made over this version of the template's spec, and the status is its own."""
        metadata = template["metadata"]
        known = self._meanings.get(metadata["name"])
        is_known = known is not None and known.version == (metadata["uid"], metadata.get("generation"))
        return is_known and template.get("status") == self._reported.get(metadata["name"])

    def stands(self, body: Body) -> bool:
        """True where an object has the spec that its template has written: only its status, or a label, is another."""
        metadata = body["metadata"]
        known = self._standing.get(metadata["name"], {}).get(metadata["namespace"])
        return known is not None and known.digest == rollout.digest(body)

    def disturbed(self, namespace: str, objects: Iterable[Body]) -> bool:
        """True where an object that a template keeps in the namespace is not there as it was written.

        Then it is about to be put back, and what it has closed must not be opened for that moment. But no longer: the
        namespace has objects of its team, too.
        """
        found = {body["metadata"]["name"]: body for body in objects}
        told = [self._is_disturbed(name, namespace, found.get(name)) for name in self._standing]
        return any(told)

    def _is_disturbed(self, name: str, namespace: str, body: Body | None) -> bool:
        known, key = self._standing[name].get(namespace), (name, namespace)
        if known is None or (body is not None and known.digest == rollout.digest(body)):
            self._disturbed_since.pop(key, None)
            return False
        return self.monotonic() - self._disturbed_since.setdefault(key, self.monotonic()) < REPAIRED_SECONDS

    async def reconcile(self, name: str) -> Result:
        """One pass. Raises errors.ClusterError where something could not be read: then nothing was concluded."""
        standing = self._standing.setdefault(name, {})
        view, plan, refusal = await self._decide(name, recent=True)
        if plan is not None and plan.takes_away:
            view, plan, refusal = await self._decide(name, recent=False)
        if plan is None:
            await self._report(view, None, {}, refusal=refusal)
            return Result(complete=True)
        # Said before it is written, so that its event finds it known.
        self._standing[name] = standing | _digests(plan.of(Action.CREATE, Action.UPDATE))
        written = Written()
        try:
            written = await self.onboarder.apply(plan)
        finally:
            self._standing[name] = _standing(plan, written, before=standing)
        self._note_progress(name, plan, written)
        news = [*self._news(name, written, is_gone=view.template is None), *self._complaints(name, plan, view.template)]
        if view.template is None and not plan.steps:
            self._standing.pop(name)
            self._meanings.pop(name, None)
            self._reported.pop(name, None)
            self._on_their_way.pop(name, None)
            self._complained.pop(name, None)
        try:
            await self._report(view, plan, written.failures, refusal=refusal)
        finally:
            await self._tell(news)
        return Result(complete=not written.failures and not written.stale)

    async def _decide(self, name: str, *, recent: bool) -> tuple[View, Rollout | None, Finding | None]:
        view = await self.onboarder.observe(name, recent=recent)
        # In a thread: with many namespaces and a large template it takes seconds, in which others are to be served.
        return view, *await asyncio.to_thread(self._plan, name, view)

    def _plan(self, name: str, view: View) -> tuple[Rollout | None, Finding | None]:
        """What is to be done (None: nothing may be concluded), and why the template as it is means nothing."""
        meaning = self._meaning_of(view.template) if view.template else _Meaning(("", 0), None)
        if meaning.refusal and meaning.renderings is None:
            return None, meaning.refusal
        if meaning.renderings:
            meaning.renderings.keep({body["metadata"]["name"] for body in view.namespaces})
        plan = rollout.plan(
            Template(name, meaning.version[0], meaning.renderings),
            namespaces=view.namespaces,
            objects=view.objects,
            protected=self.protected,
            written=self._standing[name],
            behind=self._behind(name),
        )
        return plan, meaning.refusal or (None if plan.selected else meaning.doubt)

    def _behind(self, name: str) -> set[str]:
        now = self.monotonic()
        return {at for at, since in self._on_their_way.get(name, {}).items() if now - since > ON_THEIR_WAY_SECONDS}

    def _note_progress(self, name: str, plan: Rollout, written: Written) -> None:
        """Since when each namespace is on its way; one that was refused is behind at once."""
        before, now = self._on_their_way.get(name, {}), self.monotonic()
        moving = [step for step in plan.of(Action.KEEP) if not rollout.is_judged(step.observed or {})]
        found = {step.namespace: before.get(step.namespace, now) for step in (*moving, *written.steps)}
        self._on_their_way[name] = found | dict.fromkeys(written.failures, -math.inf)

    def _meaning_of(self, template: Body) -> _Meaning:
        metadata = template["metadata"]
        version, known = (metadata["uid"], metadata["generation"]), self._meanings.get(metadata["name"])
        if known is not None and known.version == version:
            return known
        parsed = parse(template.get("spec"))
        if isinstance(parsed, TemplateSpec):
            meaning = _Meaning(version, Renderings(parsed), doubt=doubt(parsed))
        else:
            is_same = known is not None and known.version[0] == metadata["uid"]
            meaning = _Meaning(version, known.renderings if known and is_same else None, parsed)
        self._meanings[metadata["name"]] = meaning
        return meaning

    def _news(self, name: str, written: Written, *, is_gone: bool) -> Iterator[tuple[Body, Finding]]:
        """What the teams have to know of what was written: repairs, and that what closed their namespaces goes."""
        for step in written.steps:
            logger.info("%s AppConnectivity %s/%s of a template", step.action.value, step.namespace, name)
            self._disturbed_since.pop((name, step.namespace), None)
            if step.is_repair and step.action in (Action.CREATE, Action.UPDATE):
                yield from self._repair(name, step, written.bodies[step.namespace])
            if step.action is Action.RETIRE:
                why = "is gone" if is_gone else "does not select this namespace any more"
                said = f"{KIND} {name} {why}: first the policies go, then this object"
                yield written.bodies[step.namespace], Finding(Reason.AUDIT, said)

    def _repair(self, name: str, step: Step, body: Body) -> Iterator[tuple[Body, Finding]]:
        manager = drift.last_manager(step.observed) if step.observed else ""
        self.metrics.observe_drift(manager)
        key, now = (name, step.namespace), self.monotonic()
        if now - self._told.get(key, -TOLD_SECONDS) < TOLD_SECONDS:
            return
        self._told = {at: told for at, told in self._told.items() if now - told < TOLD_SECONDS} | {key: now}
        change = "changed" if step.action is Action.UPDATE else "deleted"
        sentence = f"{Drift(name, change, manager, api.KIND).sentence}, as its template says"
        logger.warning("%s, in namespace %s", sentence, step.namespace)
        yield body, Finding(Reason.DRIFT_REPAIRED, sentence)

    def _complaints(self, name: str, plan: Rollout, template: Body | None) -> Iterator[tuple[Body, Finding]]:
        """Why there is not what the template says in a namespace: for its team, once."""
        found = {step.namespace: template_status.cut(step.finding) for step in plan.steps if step.finding}
        known = self._complained.get(name)
        if known is None:  # a new process: what the status says, or has no room for, was told by the one before
            rows = ((template or {}).get("status") or {}).get("failures") or ()
            known = dict(found) if len(rows) >= template_status.MAX_FAILURES else {}
            known |= {row.get("namespace", ""): row.get("message", "") for row in rows}
        self._complained[name] = found
        for step in plan.steps:
            if step.finding and known.get(step.namespace) != found[step.namespace]:
                missing = {"metadata": {"name": name, "namespace": step.namespace, "uid": ""}}
                yield step.observed or missing, Finding(step.finding.reason, f"{KIND} {name}: {step.finding.message}")

    async def _tell(self, news: Iterable[tuple[Body, Finding]]) -> None:
        """By Events, side by side, and for some seconds at most: they must not hold up what templates have to do."""
        telling = [asyncio.create_task(self._event(body, finding, warning=True)) for body, finding in news]
        _, late = await asyncio.wait(telling, timeout=TELLING_SECONDS) if telling else ((), ())
        for event in late:
            event.cancel()
            self.metrics.event_failures.inc()

    async def _report(
        self, view: View, plan: Rollout | None, failures: Mapping[str, Finding], *, refusal: Finding | None
    ) -> None:
        if view.template is None:
            return
        now = self.clock().strftime("%Y-%m-%dT%H:%M:%SZ")
        wanted = template_status.build(plan, failures, refusal=refusal, body=view.template, now=now)
        previous = view.template.get("status") or {}
        self._reported[view.template["metadata"]["name"]] = wanted
        if wanted == previous:
            return
        refused: errors.Rejected | None = None
        try:
            await self.reporter.status(view.template, wanted)
        except (errors.NotFound, errors.Conflict):  # deleted or made anew meanwhile
            return
        except errors.Rejected as error:  # one of an older CRD, of which no write is taken: then an Event tells
            refused = error
        turns = self._untold.of(view.template, changes.turns(previous, wanted), is_written=refused is None)
        for finding, warning in turns:
            await self._event(view.template, finding, warning=warning)
        if refused:
            raise refused

    async def _event(self, body: Body, finding: Finding, *, warning: bool) -> None:
        await announce(body, finding, warning=warning, reporter=self.reporter, metrics=self.metrics)


def _standing(plan: Rollout, written: Written, *, before: Mapping[str, Stood]) -> dict[str, Stood]:
    """What stands now, by namespace; where nothing could be done, what stood before."""
    ours = {step.namespace for step in plan.selected if step.action is not Action.CONFLICT}
    kept = {namespace: stood for namespace, stood in before.items() if namespace in ours}
    return kept | _digests([*plan.of(Action.KEEP), *written.steps])


def _digests(steps: Iterable[Step]) -> dict[str, Stood]:
    return {step.namespace: step.stands for step in steps if step.stands and step.action is not Action.RELEASE}
