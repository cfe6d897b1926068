"""What a pass has seen, what it will do about it, and what is to be said of that. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from appconnectivity.cluster.apply import Applied
from appconnectivity.cluster.observe import Observation
from appconnectivity.core import drift, status
from appconnectivity.core.compile import Compiled
from appconnectivity.core.drift import RepairLog
from appconnectivity.core.plan import Action, Plan
from appconnectivity.core.policy import owners_of
from appconnectivity.core.transition import Transition

Body = Mapping[str, Any]


@dataclass(frozen=True)
class Decision:
    """Of one pass over one namespace; ``wait``: in how many seconds deletions that are held are looked at again."""

    observation: Observation
    compiled: Compiled
    opening: Transition
    steps: Plan
    wait: float = 0.0

    @property
    def namespace(self) -> str:
        return self.observation.namespace

    @cached_property
    def bodies(self) -> dict[str, Body]:
        """The objects by name."""
        return {body["metadata"]["name"]: body for body in self.observation.bodies}

    def outcome(self, applied: Applied, *, repairs: RepairLog, now: float) -> status.Outcome:
        """What came of it; ``now`` in seconds, as in ``repairs``."""
        live = {body["metadata"]["name"]: body for body in self.observation.policies}
        contended = [policy.name for policy in self.compiled.policies if repairs.is_contended(policy.name, now=now)]
        return status.Outcome(
            conflicts=frozenset(applied.conflicts),
            failures=applied.failures,
            contended={name: drift.last_manager(live[name]) if name in live else "" for name in contended},
            undeleted={
                owner: applied.failures[step.name]
                for step in (*self.steps.deny_deletions, *self.steps.allow_deletions)
                if step.name in applied.failures and step.observed
                for owner in owners_of(step.observed)
            },
            open_until=self.opening.until_text,
        )

    def changed(self, outcome: status.Outcome, *, now: datetime) -> list[tuple[Body, dict[str, Any]]]:
        """The objects whose status does not say what came of it, each with the one that does."""
        found, text = [], now.strftime("%Y-%m-%dT%H:%M:%SZ")
        for result in self.compiled.objects:
            body = self.bodies[result.intent.name]
            previous = body.get("status") or {}
            wanted = status.build(result, outcome, compiled=self.compiled, previous=previous, now=text)
            if wanted != previous:
                found.append((body, wanted))
        return found

    def look_again_seconds(self, *, repairs: RepairLog, now: float, clock: datetime) -> float | None:
        """When to make another pass at the latest, though nothing happens; None: no need."""
        compiled = self.compiled
        waits = [repairs.wait(step.name, now=now) for step in self.steps.steps if step.action is Action.HOLD]
        if any(repairs.is_contended(policy.name, now=now) for policy in compiled.policies):
            waits.append(drift.QUIET_SECONDS)
        if self.wait:
            waits.append(self.wait)
        moments = (compiled.next_change, self.opening.until)
        waits += [(moment - clock).total_seconds() for moment in moments if moment is not None]
        return max(0.0, min(waits)) if waits else None
