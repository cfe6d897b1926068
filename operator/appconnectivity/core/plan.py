"""Desired against observed: what to write, in which order, as a value. No I/O, and nothing of ours is missed or
anything of others touched.

| the name is desired | a live policy has it | it is ours | it says the same | action          |
|---------------------|----------------------|------------|------------------|-----------------|
| yes                 | no                   |            |                  | CREATE          |
| yes                 | yes                  | no         |                  | CONFLICT        |
| yes                 | yes                  | yes        | no               | UPDATE (or HOLD)|
| yes                 | yes                  | yes        | yes              | KEEP            |
| no                  | yes                  | yes        |                  | DELETE          |
| no, but kept        | yes                  | yes        |                  | KEEP            |
| no                  | yes                  | no         |                  | (left out)      |
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from appconnectivity.core import api, naming
from appconnectivity.core.compile import Compiled
from appconnectivity.core.policy import Policy, Role, is_ours, matches, owners_of


class Action(StrEnum):
    """What is to be done about one name; KEEP, CONFLICT and HOLD write nothing."""

    CREATE = "create"
    UPDATE = "update"
    KEEP = "keep"
    DELETE = "delete"
    CONFLICT = "conflict"
    HOLD = "hold"


@dataclass(frozen=True)
class Step:
    """One name's action, with the policy that should stand and the one that does, as far as there are any."""

    action: Action
    name: str
    policy: Policy | None = None
    observed: Mapping[str, Any] | None = None

    @property
    def is_deny(self) -> bool:
        if self.policy is not None:
            return self.policy.role is Role.DENY
        labels = self.observed["metadata"].get("labels") or {} if self.observed else {}
        return labels.get(naming.ROLE_LABEL) == Role.DENY.value or self.name == naming.DEFAULT_DENY

    @property
    def is_transition(self) -> bool:
        return self.policy is not None and self.policy.role is Role.TRANSITION

    @property
    def is_touch(self) -> bool:
        """True where what stands opens and closes what it should, keeps an owner, and only gets another one or text."""
        if self.policy is None or self.observed is None:
            return False
        keeps_owner = not set(self.policy.owners).isdisjoint(owners_of(self.observed))
        return keeps_owner and bool(self.observed.get("spec") == self.policy.spec)

    @property
    def flow(self) -> str:
        """The fingerprint of the flow that the policy belongs to; empty where it is not a flow's."""
        if self.policy is not None:
            return self.policy.fingerprint
        annotations = self.observed["metadata"].get("annotations") or {} if self.observed else {}
        return naming.flow_of(annotations.get(naming.FINGERPRINT_ANNOTATION, ""))


@dataclass(frozen=True)
class Plan:
    """Steps in batches: a batch begins when the one before it is done. What opens comes first, what closes last; on
    the way out what closes goes first.

    The namespace's DNS-allow does both: it selects, and so isolates, every pod. Where the namespace's egress is not
    closed anyway it therefore comes and goes with the deny. What keeps the namespace open meanwhile comes before all.
    """

    steps: tuple[Step, ...]

    @property
    def transitions(self) -> tuple[Step, ...]:
        """What keeps all of the namespace open while the rest is written."""
        return tuple(step for step in self._writes() if step.is_transition)

    @property
    def allows(self) -> tuple[Step, ...]:
        """What opens: all that is to be written and closes nothing."""
        return tuple(step for step in self._writes() if not self._isolates(step) and not step.is_transition)

    @property
    def denies(self) -> tuple[Step, ...]:
        """What closes, to be written one after the other: the DNS-allow before the deny."""
        found = (step for step in self._writes() if self._isolates(step))
        return tuple(sorted(found, key=lambda step: (step.is_deny, step.name)))

    @property
    def deny_deletions(self) -> tuple[Step, ...]:
        """What has closed, to be deleted one after the other: the DNS-allow after the deny."""
        found = (step for step in self._of(Action.DELETE) if self._isolates(step))
        return tuple(sorted(found, key=lambda step: (not step.is_deny, step.name)))

    @property
    def allow_deletions(self) -> tuple[Step, ...]:
        return tuple(step for step in self._of(Action.DELETE) if not self._isolates(step))

    @property
    def conflicts(self) -> frozenset[str]:
        return frozenset(step.name for step in self._of(Action.CONFLICT))

    @property
    def held(self) -> frozenset[str]:
        return frozenset(step.name for step in self._of(Action.HOLD))

    @property
    def takes_away(self) -> bool:
        return bool(self._of(Action.DELETE))

    @property
    def deletions(self) -> frozenset[str]:
        return frozenset(step.name for step in self._of(Action.DELETE))

    @property
    def closes(self) -> bool:
        """True where something isolates pods that was not there, or not so."""
        return not all(step.is_touch for step in self.denies)

    @property
    def is_empty(self) -> bool:
        return not any(step.action in (Action.CREATE, Action.UPDATE, Action.DELETE) for step in self.steps)

    def _isolates(self, step: Step) -> bool:
        """True for a deny, and for the namespace's DNS-allow that comes or goes while no deny closes egress anyway."""
        if step.is_deny:
            return True
        return step.name == naming.ALLOW_DNS and step.action is not Action.UPDATE and not self._egress_stays_closed

    @property
    def _egress_stays_closed(self) -> bool:
        deny = next((step for step in self.steps if step.name == naming.DEFAULT_DENY), None)
        if deny is None or deny.observed is None or deny.action in (Action.DELETE, Action.CONFLICT):
            return False
        specs = [deny.observed["spec"], *([deny.policy.spec] if deny.policy else [])]
        return all(api.PolicyType.EGRESS in spec.get("policyTypes", ()) for spec in specs)

    def _writes(self) -> list[Step]:
        return [*self._of(Action.CREATE), *self._of(Action.UPDATE)]

    def _of(self, action: Action) -> list[Step]:
        return [step for step in self.steps if step.action is action]


def plan(
    compiled: Compiled,
    observed: Iterable[Mapping[str, Any]],
    *,
    transition: Iterable[Policy] = (),
    hold: Collection[str] = (),
) -> Plan:
    """What brings ``observed`` (a complete, consistent LIST of one namespace, but for what objects have that were left
    out of the compilation) to what was compiled.

    ``transition`` are policies that keep the namespace open for a while. ``hold`` names policies whose repair has to
    wait, because somebody keeps changing them.
    """
    live = {body["metadata"]["name"]: body for body in observed}
    desired = {policy.name: policy for policy in (*compiled.policies, *transition)}
    steps = [_wanted(policy, live.get(name), hold=hold) for name, policy in desired.items()]
    for name, body in live.items():
        if name not in desired and is_ours(body):
            steps.append(Step(Action.KEEP if name in compiled.kept else Action.DELETE, name, observed=body))
    return Plan(steps=tuple(sorted(steps, key=lambda step: step.name)))


def _wanted(policy: Policy, body: Mapping[str, Any] | None, *, hold: Collection[str]) -> Step:
    if body is None:
        return Step(Action.HOLD if policy.name in hold else Action.CREATE, policy.name, policy)
    if not is_ours(body):
        return Step(Action.CONFLICT, policy.name, policy, body)
    if matches(policy, body):
        return Step(Action.KEEP, policy.name, policy, body)
    return Step(Action.HOLD if policy.name in hold else Action.UPDATE, policy.name, policy, body)
