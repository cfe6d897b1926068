"""One pass over one namespace: observe, compile, plan, apply, report. By what was heard; and once more by what there is
now, where anything is to be taken away, opened or repaired."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from appconnectivity.cluster import errors
from appconnectivity.cluster.apply import Applied, Applier
from appconnectivity.cluster.observe import Observation, Observer
from appconnectivity.cluster.reads import Reads
from appconnectivity.cluster.report import Reporter
from appconnectivity.controller.announce import Untold, announce
from appconnectivity.controller.brake import Brake
from appconnectivity.controller.decision import Decision
from appconnectivity.controller.metrics import Metrics
from appconnectivity.controller.triggers import Triggers
from appconnectivity.controller.worker import Result
from appconnectivity.core import api, changes, drift, status
from appconnectivity.core.compile import Compiled, Compiler
from appconnectivity.core.drift import Drift, RepairLog
from appconnectivity.core.earlier import Earlier
from appconnectivity.core.facts import Options
from appconnectivity.core.findings import Finding, Reason
from appconnectivity.core.plan import plan
from appconnectivity.core.policy import is_ours
from appconnectivity.core.transition import Transition, transition

logger = logging.getLogger(__name__)

Body = Mapping[str, Any]


# An object that a template is about to put back is not taken for gone: a look at it this much later is soon enough.
REPAIR_SECONDS = 0.5


@dataclass
class Reconciler:
    """Brings one namespace at a time to what its objects say. ``clock`` is UTC, ``monotonic`` seconds.

    ``disturbed`` tells whether an object that a template keeps in the namespace is not as the template wrote it.
    """

    observer: Observer
    applier: Applier
    reporter: Reporter
    triggers: Triggers
    metrics: Metrics
    options: Options
    brake: Brake
    monotonic: Callable[[], float]
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    disturbed: Callable[[str, Iterable[Body]], bool] = lambda *_: False
    _written: dict[str, dict[str, str]] = field(default_factory=dict)
    _repairs: dict[str, RepairLog] = field(default_factory=dict)
    _doubted: set[str] = field(default_factory=set)
    _untold: Untold = field(default_factory=Untold)
    _earlier: Earlier = field(default_factory=Earlier)

    async def reconcile(self, namespace: str) -> Result:
        """One pass. Raises errors.Unavailable where something could not be read: then nothing was concluded."""
        decision = None
        if namespace not in self._doubted:
            decision = await self._decide(namespace, self.observer.recent)
        if decision is None or (isinstance(decision, Decision) and self._needs_proof(decision)):
            decision = await self._decide(namespace, self.observer.now)
        self._doubted.discard(namespace)
        if isinstance(decision, Decision):
            return await self._carry_out(self._braked(decision))
        return decision or self._forget(namespace)

    async def _decide(self, namespace: str, reads: Reads) -> Decision | Result | None:
        """What to do; a Result where that is nothing, None where there is no such namespace."""
        observation = await self._observe(namespace, reads)
        if observation is None:
            return None
        if self.disturbed(namespace, observation.bodies):
            return Result(complete=True, look_again_seconds=REPAIR_SECONDS)
        if _is_idle(observation):
            return self._forget(namespace)
        self.triggers.remember(namespace, observation.references)
        compiled = self._compile(observation)
        opening = self._transition(observation, compiled)
        steps = plan(compiled, observation.policies, transition=opening.policies, hold=self._held(namespace, compiled))
        return Decision(observation, compiled, opening, steps)

    def _needs_proof(self, decision: Decision) -> bool:
        """True for what is not done by what was only heard: where something goes, the namespace is opened, or something
        seems to have been changed or deleted by others (it may have been asked for, and that was not heard of yet)."""
        steps = decision.steps
        return steps.takes_away or bool(steps.transitions or self._drifts(decision))

    def _drifts(self, decision: Decision) -> tuple[Drift, ...]:
        return drift.find(decision.steps, written=self._written.get(decision.namespace, {}))

    def _braked(self, decision: Decision) -> Decision:
        """Without deletions that have to wait, and with how long."""
        steps, wait = self.brake.hold(
            decision.namespace,
            decision.steps,
            bodies=decision.observation.bodies,
            total=sum(map(len, self._written.values())),
            now=self.monotonic(),
        )
        self.metrics.held.set(self.brake.held)
        if wait:
            said = "objects are not listed any more, and nobody told that they were deleted: their policies stay"
            logger.warning("namespace %s: %s, and are looked at again in %.0f s", decision.namespace, said, wait)
        return replace(decision, steps=steps, wait=wait)

    async def _carry_out(self, decision: Decision) -> Result:
        drifts = self._drifts(decision)
        applied = await self.applier.apply(decision.steps, decision.compiled)
        self._record(decision, applied)
        await self._tell_of_drift(decision, applied, drifts)
        if applied.stale or not applied.conflicts <= decision.steps.conflicts:
            self._doubted.add(decision.namespace)  # it is not as it was heard of
        if applied.stale:
            return Result(complete=False)
        outcome = self._outcome(decision, applied)
        self._measure(decision, outcome)
        reported = await self._report(decision, outcome)
        # A name that was taken while we wrote is looked at again: by then the plan knows whose it is.
        is_judged = applied.conflicts <= decision.steps.conflicts
        is_complete = reported and is_judged and not applied.failures
        return Result(is_complete, look_again_seconds=self._look_again(decision))

    async def _observe(self, namespace: str, reads: Reads) -> Observation | None:
        try:
            return await self.observer.observe(namespace, reads, refer=self.triggers.remember)
        except errors.Forbidden as error:  # nothing can be concluded, and trying again won't mend it: somebody has to
            await self._tell_of_blindness(namespace, error)
            raise

    async def _tell_of_blindness(self, namespace: str, error: errors.Forbidden) -> None:
        finding = Finding(Reason.FORBIDDEN, f"{error}; what stands stays as it is until the operator may read this")
        for body in await self.observer.objects(namespace):
            now = self.clock().strftime("%Y-%m-%dT%H:%M:%SZ")
            wanted = status.unknown(body, finding, now=now)
            if wanted != body.get("status"):
                await self._write_status(body, wanted)

    def _compile(self, observation: Observation) -> Compiled:
        standing = {body["metadata"]["name"]: body for body in observation.policies if is_ours(body)}
        compiler = Compiler(
            facts=observation.facts,
            options=self.options,
            now=self.clock(),
            standing=standing,
            earlier=self._earlier.results(observation.facts),
        )
        compiled = compiler.compile(observation.intents)
        self._earlier.keep(observation.facts, compiled)
        return compiled

    def _transition(self, observation: Observation, compiled: Compiled) -> Transition:
        """What keeps the namespace open; not where its policies stood before, as far as we or a status know."""
        counts = [(body.get("status") or {}).get("policyCount", 0) for body in observation.bodies]
        return transition(
            compiled,
            observation.policies,
            namespace=observation.namespace,
            was_closed=bool(self._written.get(observation.namespace)) or any(counts),
            now=self.clock(),
            lasting=self.options.adoption,
        )

    def _held(self, namespace: str, compiled: Compiled) -> set[str]:
        """Names whose repair must wait. A changed intent never waits: only what we had written already."""
        log, now = self._log(namespace), self.monotonic()
        written = self._written.get(namespace, {})
        return {
            policy.name
            for policy in compiled.policies
            if log.wait(policy.name, now=now) > 0 and written.get(policy.name) == policy.digest
        }

    def _record(self, decision: Decision, applied: Applied) -> None:
        """Remembers what we know to stand now, to tell drift from a changed intent in the next pass."""
        namespace = decision.namespace
        self._written[namespace] = {
            policy.name: policy.digest
            for policy in decision.compiled.policies
            if policy.name not in {*applied.failures, *applied.conflicts, *applied.stale}
        }
        for name, version in applied.versions.items():
            self.triggers.expect("networkpolicies", namespace, name, version)
        for step in applied.written:
            logger.info("%s NetworkPolicy %s/%s", step.action.value, namespace, step.name)

    def _measure(self, decision: Decision, outcome: status.Outcome) -> None:
        compiled = decision.compiled
        flows = (flow for result in compiled.objects for flow in status.flows_as_written(result, outcome))
        self.metrics.observe_namespace(
            decision.namespace,
            policies=len(compiled.policies) + len(compiled.kept) - len(outcome.conflicts),
            conflicts=len(outcome.conflicts),
            states=(flow.state.value for flow in flows),
        )

    async def _tell_of_drift(self, decision: Decision, applied: Applied, drifts: tuple[Drift, ...]) -> None:
        repaired = {step.name for step in applied.written}
        owners = {policy.name: policy.owners[0].name for policy in decision.compiled.policies}
        for found in drifts:
            if found.name not in repaired:
                continue
            self._log(decision.namespace).record(found.name, now=self.monotonic())
            self.metrics.observe_drift(found.manager)
            logger.warning("%s, in namespace %s", found.sentence, decision.namespace)
            finding = Finding(Reason.DRIFT_REPAIRED, found.sentence)
            await self._event(decision.bodies[owners[found.name]], finding, warning=True)

    def _outcome(self, decision: Decision, applied: Applied) -> status.Outcome:
        return decision.outcome(applied, repairs=self._log(decision.namespace), now=self.monotonic())

    async def _report(self, decision: Decision, outcome: status.Outcome) -> bool:
        """Writes every status that has changed; True where all could be written."""
        written = await asyncio.gather(
            *(self._report_one(body, wanted) for body, wanted in decision.changed(outcome, now=self.clock())),
            return_exceptions=True,  # no write may still be under way when the next pass begins
        )
        for end in written:
            if isinstance(end, BaseException):
                raise end
        return all(written)

    async def _report_one(self, body: Body, wanted: Mapping[str, Any]) -> bool:
        is_written = await self._write_status(body, wanted)
        news = changes.worth_telling(body.get("status") or {}, wanted)
        for finding, warning in self._untold.of(body, news, is_written=is_written):
            await self._event(body, finding, warning=warning)
        return is_written

    async def _write_status(self, body: Body, wanted: Mapping[str, Any]) -> bool:
        metadata = body["metadata"]
        try:
            applied = await self.reporter.status(body, wanted)
        except errors.NotFound:  # deleted meanwhile
            return True
        except errors.Unavailable:
            raise
        except errors.ClusterError as error:
            self.metrics.errors.labels("StatusWrite").inc()
            logger.warning("status of %s/%s: %s", metadata["namespace"], metadata["name"], error)
            return isinstance(error, errors.NamespaceGone)
        if applied.get("generation") == metadata.get("generation"):  # else its event tells of a changed spec, too
            version = applied["resourceVersion"]
            self.triggers.expect(api.PLURAL, metadata["namespace"], metadata["name"], version)
        return True

    async def _event(self, body: Body, finding: Finding, *, warning: bool) -> None:
        await announce(body, finding, warning=warning, reporter=self.reporter, metrics=self.metrics)

    def _look_again(self, decision: Decision) -> float | None:
        repairs, now = self._log(decision.namespace), self.monotonic()
        repairs.forget_idle(now=now)
        return decision.look_again_seconds(repairs=repairs, now=now, clock=self.clock())

    def _log(self, namespace: str) -> RepairLog:
        return self._repairs.setdefault(namespace, RepairLog())

    def _forget(self, namespace: str) -> Result:
        self.triggers.forget(namespace)
        self._repairs.pop(namespace, None)
        self._earlier.forget(namespace)
        self.brake.forget(namespace)
        self.metrics.held.set(self.brake.held)
        if self._written.pop(namespace, None) is not None:
            self.metrics.forget_namespace(namespace)
        return Result(complete=True)


def _is_idle(observation: Observation) -> bool:
    return not observation.intents and not any(is_ours(body) for body in observation.policies)
