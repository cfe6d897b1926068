"""One pass over one template: what it selects, what stands there, what is to be done, and how far it is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from appconnectivity.cluster import errors
from appconnectivity.cluster.report import Reporter
from appconnectivity.cluster.rollout import Onboarder, View, Written
from appconnectivity.controller.metrics import Metrics
from appconnectivity.controller.worker import Result
from appconnectivity.core import changes, drift, rollout, template_status
from appconnectivity.core.findings import Finding, Reason
from appconnectivity.core.rollout import Action, Rollout, Step, Template
from appconnectivity.core.template import Renderings, TemplateSpec, parse

logger = logging.getLogger(__name__)

Body = Mapping[str, Any]

# A template that has not put its object back by then can't: its rendering fails, or the API server refuses it.
REPAIRED_SECONDS = 10.0


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
    _standing: dict[str, dict[str, str]] = field(default_factory=dict)
    _renderings: dict[str, tuple[tuple[str, int], Renderings | Finding]] = field(default_factory=dict)
    _disturbed_since: dict[str, float] = field(default_factory=dict)

    @property
    def names(self) -> Collection[str]:
        """The templates that are known."""
        return self._standing.keys()

    def disturbed(self, namespace: str, objects: Iterable[Body]) -> bool:
        """True where an object that a template keeps in the namespace is not there as it was written.

        Then it is about to be put back, and what it has closed must not be opened for that moment. But no longer: the
        namespace has objects of its team, too.
        """
        found = {body["metadata"]["name"]: rollout.digest(body) for body in objects}
        if all(found.get(name) == known.get(namespace, found.get(name)) for name, known in self._standing.items()):
            self._disturbed_since.pop(namespace, None)
            return False
        return self.monotonic() - self._disturbed_since.setdefault(namespace, self.monotonic()) < REPAIRED_SECONDS

    async def reconcile(self, name: str) -> Result:
        """One pass. Raises errors.ClusterError where something could not be read: then nothing was concluded."""
        standing = self._standing.setdefault(name, {})
        view = await self.onboarder.observe(name)
        # In a thread: with many namespaces and a large template it takes seconds, in which others are to be served.
        plan = await asyncio.to_thread(self._plan, name, view)
        if isinstance(plan, Finding):
            await self._report(view, None, {}, refusal=plan)
            return Result(complete=True)
        # Said before it is written, so that its event finds it known.
        self._standing[name] = standing | _digests(plan.of(Action.CREATE, Action.UPDATE))
        written = await self.onboarder.apply(plan)
        self._standing[name] = _standing(plan, written, before=standing)
        await self._tell(name, written)
        if view.template is None and not plan.steps:
            self._standing.pop(name)
            self._renderings.pop(name, None)
        await self._report(view, plan, written.failures, refusal=None)
        return Result(complete=not written.failures and not written.stale)

    def _plan(self, name: str, view: View) -> Rollout | Finding:
        """What is to be done, or why the template means nothing."""
        renderings = self._renderings_of(view.template) if view.template else None
        if isinstance(renderings, Finding):
            return renderings
        return rollout.plan(
            Template(name, view.template["metadata"]["uid"] if view.template else "", renderings),
            namespaces=view.namespaces,
            objects=view.objects,
            protected=self.protected,
            written=self._standing[name],
        )

    def _renderings_of(self, template: Body) -> Renderings | Finding:
        metadata = template["metadata"]
        version = metadata["uid"], metadata["generation"]
        if self._renderings.get(metadata["name"], (None,))[0] != version:
            parsed = parse(template["spec"])
            self._renderings[metadata["name"]] = (
                version,
                Renderings(parsed) if isinstance(parsed, TemplateSpec) else parsed,
            )
        return self._renderings[metadata["name"]][1]

    async def _tell(self, name: str, written: Written) -> None:
        for step in written.steps:
            logger.info("%s AppConnectivity %s/%s of a template", step.action.value, step.namespace, name)
            if not step.is_repair:
                continue
            manager = drift.last_manager(step.observed) if step.observed else ""
            self.metrics.drift.labels(manager or "unknown").inc()
            how = "changed" if step.action is Action.UPDATE else "deleted"
            by = f"by {manager}" if manager else "(the API server's audit log says by whom)"
            sentence = f"AppConnectivity {name} was {how} {by} and has been put back, as its template says"
            logger.warning("%s, in namespace %s", sentence, step.namespace)
            await self._event(written.bodies[step.namespace], Finding(Reason.DRIFT_REPAIRED, sentence), warning=True)

    async def _report(
        self, view: View, plan: Rollout | None, failures: Mapping[str, Finding], *, refusal: Finding | None
    ) -> None:
        if view.template is None:
            return
        now = self.clock().strftime("%Y-%m-%dT%H:%M:%SZ")
        wanted = template_status.build(plan, failures, refusal=refusal, body=view.template, now=now)
        previous = view.template.get("status") or {}
        if wanted == previous:
            return
        try:
            await self.reporter.status(view.template, wanted)
        except (errors.NotFound, errors.Conflict):  # deleted or made anew meanwhile
            return
        for finding, warning in changes.turns(previous, wanted):
            await self._event(view.template, finding, warning=warning)

    async def _event(self, body: Body, finding: Finding, *, warning: bool) -> None:
        try:
            await self.reporter.event(body, finding, warning=warning)
        except errors.ClusterError as error:
            self.metrics.event_failures.inc()
            logger.warning("event for %s: %s", body["metadata"]["name"], error)


def _standing(plan: Rollout, written: Written, *, before: Mapping[str, str]) -> dict[str, str]:
    """The digests of what stands now, by namespace; where that can't be told, of what stood before."""
    untold = {*written.stale, *(step.namespace for step in plan.of(Action.FAIL, Action.WAIT) if step.is_selected)}
    kept = {namespace: digest for namespace, digest in before.items() if namespace in untold}
    stands = [*plan.of(Action.KEEP, Action.RELEASE), *(step for step in written.steps if step.is_selected)]
    return kept | _digests(stands)


def _digests(steps: Iterable[Step]) -> dict[str, str]:
    return {step.namespace: step.digest for step in steps if step.body}
