"""One pass over one namespace: observe, compile, plan, apply, report. By what was heard; and once more by what there is
now, where anything is to be taken away, opened or repaired."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from appconnectivity.cluster import errors
from appconnectivity.cluster.apply import Applied, Applier
from appconnectivity.cluster.observe import Observation, Observer
from appconnectivity.cluster.reads import Reads
from appconnectivity.cluster.store import number, version_of
from appconnectivity.controller.brake import Brake
from appconnectivity.controller.decision import Decision
from appconnectivity.controller.metrics import Metrics
from appconnectivity.controller.telling import Teller, Version
from appconnectivity.controller.triggers import Triggers
from appconnectivity.controller.worker import Result
from appconnectivity.core import drift, status
from appconnectivity.core.compile import Compiled, Compiler
from appconnectivity.core.drift import Drift, RepairLog
from appconnectivity.core.facts import Options
from appconnectivity.core.findings import Finding, Reason
from appconnectivity.core.plan import plan
from appconnectivity.core.policy import is_ours
from appconnectivity.core.settled import NONE_SETTLED, Settled
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
    teller: Teller
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
    _settled: dict[str, Settled] = field(default_factory=dict)

    async def reconcile(self, namespace: str) -> Result:
        """One pass. Raises errors.Unavailable where something could not be read: then nothing was concluded."""
        decision, settled = None, self._settled
        if namespace not in self._doubted:
            decision = await self._decide(namespace, self.observer.recent)
        if decision is None or (isinstance(decision, Decision) and self._needs_proof(decision)):
            decision = await self._decide(namespace, self.observer.now)
        self._doubted.discard(namespace)
        if isinstance(decision, Decision):
            return await self._carry_out(self._braked(decision), settled)
        return decision or self._forget(namespace)

    def look_at_all(self) -> None:
        """The next pass over each namespace leaves no object out, also where one is under way."""
        self._settled = {}

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
        if not observation.settled.may_be_left_out_of(steps):
            self._settled.pop(namespace, None)
            return await self._decide(namespace, reads)
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

    async def _carry_out(self, decision: Decision, settled: dict[str, Settled]) -> Result:
        """``settled`` is told of what has; nothing in the namespace, where this ends by an error."""
        settled.pop(decision.namespace, None)
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
        told = await self.teller.tell(decision, outcome)
        if outcome.is_clean and not decision.steps.held:
            settled[decision.namespace] = _settled(decision, applied, told)
        # A name that was taken while we wrote is looked at again: by then the plan knows whose it is.
        is_judged = applied.conflicts <= decision.steps.conflicts
        is_complete = None not in told.values() and is_judged and not applied.failures
        return Result(is_complete, look_again_seconds=self._look_again(decision))

    async def _observe(self, namespace: str, reads: Reads) -> Observation | None:
        try:
            settled = self._settled.get(namespace, NONE_SETTLED) if self._log(namespace).is_empty else NONE_SETTLED
            return await self.observer.observe(namespace, reads, refer=self.triggers.remember, settled=settled)
        except errors.Forbidden as error:  # nothing can be concluded, and trying again won't mend it: somebody has to
            await self._tell_of_blindness(namespace, error)
            raise

    async def _tell_of_blindness(self, namespace: str, error: errors.Forbidden) -> None:
        finding = Finding(Reason.FORBIDDEN, f"{error}; what stands stays as it is until the operator may read this")
        for body in await self.observer.objects(namespace):
            await self.teller.unknown(body, finding)

    def _compile(self, observation: Observation) -> Compiled:
        standing = {body["metadata"]["name"]: body for body in observation.policies if is_ours(body)}
        compiler = Compiler(
            facts=observation.facts,
            options=self.options,
            now=self.clock(),
            standing=standing,
            others=observation.settled.wants,
        )
        return compiler.compile(observation.intents)

    def _transition(self, observation: Observation, compiled: Compiled) -> Transition:
        """What keeps the namespace open; not where its policies stood before, as far as we or a status know. Nor where
        an object was left out: then it is neither closed nor opened as a whole, whatever the others come to."""
        if observation.settled.objects:
            return Transition()
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
        others, before = decision.observation.settled.policies, self._written.get(namespace, {})
        self._written[namespace] = {name: digest for name, digest in before.items() if name in others} | {
            policy.name: policy.digest
            for policy in decision.compiled.policies
            if policy.name not in {*applied.failures, *applied.conflicts, *applied.stale}
        }
        for name, version in applied.versions.items():
            self.triggers.expect("networkpolicies", namespace, name, version)
        for step in applied.written:
            logger.info("%s NetworkPolicy %s/%s", step.action.value, namespace, step.name)

    def _measure(self, decision: Decision, outcome: status.Outcome) -> None:
        compiled, settled = decision.compiled, decision.observation.settled
        flows = (flow for result in compiled.objects for flow in status.flows_as_written(result, outcome))
        policies = len(compiled.policies) + len(compiled.kept) + len(settled.policies)
        self.metrics.observe_namespace(
            decision.namespace,
            policies=policies - len(outcome.conflicts),
            conflicts=len(outcome.conflicts),
            states=(state.value for state in (*settled.states, *(flow.state for flow in flows))),
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
            await self.teller.event(decision.bodies[owners[found.name]], finding, warning=True)

    def _outcome(self, decision: Decision, applied: Applied) -> status.Outcome:
        return decision.outcome(applied, repairs=self._log(decision.namespace), now=self.monotonic())

    def _look_again(self, decision: Decision) -> float | None:
        repairs, now = self._log(decision.namespace), self.monotonic()
        repairs.forget_idle(now=now)
        return decision.look_again_seconds(repairs=repairs, now=now, clock=self.clock())

    def _log(self, namespace: str) -> RepairLog:
        return self._repairs.setdefault(namespace, RepairLog())

    def _forget(self, namespace: str) -> Result:
        self.triggers.forget(namespace)
        self._repairs.pop(namespace, None)
        self._settled.pop(namespace, None)
        self.brake.forget(namespace)
        self.metrics.held.set(self.brake.held)
        if self._written.pop(namespace, None) is not None:
            self.metrics.forget_namespace(namespace)
        return Result(complete=True)


def _settled(decision: Decision, applied: Applied, told: Mapping[str, Version]) -> Settled:
    """What has settled, all policies being written; an object whose status is not as it should be has no version."""
    observation = decision.observation
    return observation.settled.and_all_of(
        decision.compiled,
        facts=observation.facts,
        bodies=_versions(observation.bodies) | {name: version or 0 for name, version in told.items()},
        policies=_versions(observation.policies) | {name: number(text) for name, text in applied.versions.items()},
    )


def _versions(bodies: Iterable[Body]) -> dict[str, int]:
    return {body["metadata"]["name"]: version_of(body) for body in bodies}


def _is_idle(observation: Observation) -> bool:
    return not observation.bodies and not any(is_ours(body) for body in observation.policies)
