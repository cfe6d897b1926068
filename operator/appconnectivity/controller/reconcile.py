"""One pass over one namespace: observe, compile, plan, apply, report. Everything is read anew in each pass; and once
more, as it is now, where anything is to be taken away."""

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
from appconnectivity.cluster.report import Reporter
from appconnectivity.controller.announce import announce
from appconnectivity.controller.metrics import Metrics
from appconnectivity.controller.triggers import Triggers
from appconnectivity.controller.worker import Result
from appconnectivity.core import api, changes, drift, status
from appconnectivity.core.compile import Compiled, Compiler, ObjectResult
from appconnectivity.core.drift import Drift, RepairLog
from appconnectivity.core.facts import Options
from appconnectivity.core.findings import Finding, Reason
from appconnectivity.core.plan import Action, Plan, plan
from appconnectivity.core.policy import is_ours, owners_of
from appconnectivity.core.transition import Transition, transition

logger = logging.getLogger(__name__)

Body = Mapping[str, Any]


# An object that a template is about to put back is not taken for gone: a look at it this much later is soon enough.
REPAIR_SECONDS = 0.5


@dataclass(frozen=True)
class _Decision:
    """What a pass has seen, and what it will do about it."""

    observation: Observation
    compiled: Compiled
    opening: Transition
    steps: Plan

    @property
    def needs_proof(self) -> bool:
        """True where something goes, or the namespace is opened: this is not done by what was only heard."""
        return self.steps.takes_away or bool(self.steps.transitions)


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
    monotonic: Callable[[], float]
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    disturbed: Callable[[str, Iterable[Body]], bool] = lambda *_: False
    _written: dict[str, dict[str, str]] = field(default_factory=dict)
    _repairs: dict[str, RepairLog] = field(default_factory=dict)

    async def reconcile(self, namespace: str) -> Result:
        """One pass. Raises errors.Unavailable where something could not be read: then nothing was concluded."""
        decision = await self._decide(namespace, recent=True)
        if isinstance(decision, _Decision) and decision.needs_proof:
            decision = await self._decide(namespace, recent=False)
        return await self._carry_out(decision) if isinstance(decision, _Decision) else decision

    async def _decide(self, namespace: str, *, recent: bool) -> _Decision | Result:
        observation = await self._observe(namespace, recent=recent)
        if observation is None and recent:  # it may have been made just now, and no event of it would concern anybody
            observation = await self._observe(namespace, recent=False)
        if observation is not None and self.disturbed(namespace, observation.bodies):
            return Result(complete=True, look_again_seconds=REPAIR_SECONDS)
        if observation is None or _is_idle(observation):
            self._forget(namespace)
            return Result(complete=True)
        self.triggers.remember(namespace, observation.references)
        compiled = self._compile(observation)
        opening = self._transition(observation, compiled)
        steps = plan(compiled, observation.policies, transition=opening.policies, hold=self._held(namespace, compiled))
        return _Decision(observation, compiled, opening, steps)

    async def _carry_out(self, decision: _Decision) -> Result:
        observation, compiled, steps = decision.observation, decision.compiled, decision.steps
        namespace = observation.namespace
        drifts = drift.find(steps, written=self._written.get(namespace, {}))
        applied = await self.applier.apply(steps, compiled)
        self._record(observation, compiled, applied)
        await self._tell_of_drift(observation, compiled, applied, drifts)
        if applied.stale:
            return Result(complete=False)
        outcome = self._outcome(observation, compiled, steps, applied)
        outcome = replace(outcome, open_until=decision.opening.until_text)
        self._measure(namespace, compiled, outcome)
        reported = await self._report(observation, compiled, outcome)
        # A name that was taken while we wrote is looked at again: by then the plan knows whose it is.
        is_judged = applied.conflicts <= steps.conflicts
        return Result(
            complete=reported and is_judged and not applied.failures,
            look_again_seconds=self._look_again(namespace, compiled, steps, until=decision.opening.until),
        )

    async def _observe(self, namespace: str, *, recent: bool) -> Observation | None:
        try:
            return await self.observer.observe(namespace, recent=recent, refer=self.triggers.remember)
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
        compiler = Compiler(facts=observation.facts, options=self.options, now=self.clock(), standing=standing)
        return compiler.compile(observation.intents)

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

    def _record(self, observation: Observation, compiled: Compiled, applied: Applied) -> None:
        """Remembers what we know to stand now, to tell drift from a changed intent in the next pass."""
        namespace = observation.namespace
        self._written[namespace] = {
            policy.name: policy.digest
            for policy in compiled.policies
            if policy.name not in {*applied.failures, *applied.conflicts, *applied.stale}
        }
        for name, version in applied.versions.items():
            self.triggers.expect("networkpolicies", namespace, name, version)
        for step in applied.written:
            logger.info("%s NetworkPolicy %s/%s", step.action.value, namespace, step.name)

    def _measure(self, namespace: str, compiled: Compiled, outcome: status.Outcome) -> None:
        flows = (flow for result in compiled.objects for flow in status.flows_as_written(result, outcome))
        self.metrics.observe_namespace(
            namespace,
            policies=len(compiled.policies) + len(compiled.kept) - len(outcome.conflicts),
            conflicts=len(outcome.conflicts),
            states=(flow.state.value for flow in flows),
        )

    async def _tell_of_drift(
        self, observation: Observation, compiled: Compiled, applied: Applied, drifts: tuple[Drift, ...]
    ) -> None:
        repaired = {step.name for step in applied.written}
        owners = {policy.name: policy.owners[0].name for policy in compiled.policies}
        bodies = {body["metadata"]["name"]: body for body in observation.bodies}
        for found in drifts:
            if found.name not in repaired:
                continue
            self._log(observation.namespace).record(found.name, now=self.monotonic())
            self.metrics.observe_drift(found.manager)
            logger.warning("%s, in namespace %s", found.sentence, observation.namespace)
            finding = Finding(Reason.DRIFT_REPAIRED, found.sentence)
            await self._event(bodies[owners[found.name]], finding, warning=True)

    def _outcome(self, observation: Observation, compiled: Compiled, steps: Plan, applied: Applied) -> status.Outcome:
        log, now = self._log(observation.namespace), self.monotonic()
        managers = {body["metadata"]["name"]: drift.last_manager(body) for body in observation.policies}
        return status.Outcome(
            conflicts=frozenset(applied.conflicts),
            failures=applied.failures,
            contended={
                policy.name: managers.get(policy.name, "")
                for policy in compiled.policies
                if log.is_contended(policy.name, now=now)
            },
            undeleted={
                owner: applied.failures[step.name]
                for step in (*steps.deny_deletions, *steps.allow_deletions)
                if step.name in applied.failures and step.observed
                for owner in owners_of(step.observed)
            },
        )

    async def _report(self, observation: Observation, compiled: Compiled, outcome: status.Outcome) -> bool:
        """Writes every status that has changed; True where all could be written."""
        bodies = {body["metadata"]["name"]: body for body in observation.bodies}
        written = await asyncio.gather(
            *(self._report_one(bodies[result.intent.name], result, compiled, outcome) for result in compiled.objects),
            return_exceptions=True,  # no write may still be under way when the next pass begins
        )
        for end in written:
            if isinstance(end, BaseException):
                raise end
        return all(written)

    async def _report_one(self, body: Body, result: ObjectResult, compiled: Compiled, outcome: status.Outcome) -> bool:
        previous = body.get("status") or {}
        now = self.clock().strftime("%Y-%m-%dT%H:%M:%SZ")
        wanted = status.build(result, outcome, compiled=compiled, previous=previous, now=now)
        if wanted == previous:
            return True
        is_written = await self._write_status(body, wanted)
        for finding, warning in changes.worth_telling(previous, wanted):
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

    def _look_again(self, namespace: str, compiled: Compiled, steps: Plan, *, until: datetime | None) -> float | None:
        log, now = self._log(namespace), self.monotonic()
        log.forget_idle(now=now)
        waits = [log.wait(step.name, now=now) for step in steps.steps if step.action is Action.HOLD]
        waits += [drift.QUIET_SECONDS] if any(log.is_contended(p.name, now=now) for p in compiled.policies) else []
        moments = [moment for moment in (compiled.next_change, until) if moment is not None]
        waits += [(moment - self.clock()).total_seconds() for moment in moments]
        return max(0.0, min(waits)) if waits else None

    def _log(self, namespace: str) -> RepairLog:
        return self._repairs.setdefault(namespace, RepairLog())

    def _forget(self, namespace: str) -> None:
        self.triggers.forget(namespace)
        self._repairs.pop(namespace, None)
        if self._written.pop(namespace, None) is not None:
            self.metrics.forget_namespace(namespace)


def _is_idle(observation: Observation) -> bool:
    return not observation.intents and not any(is_ours(body) for body in observation.policies)
