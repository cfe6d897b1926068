"""Closing an open namespace, and opening a closed one, without cutting what is declared on the way.

Every policy isolates the pods that it selects. So between the first write and the last some pod has one of its allows
and not yet the next; and enforcers on many nodes are never all as far as each other. While a namespace goes from no
policies at all to ours, or from ours to none, policies that open everything stand beside them: for a time that is
written on them. They open nothing that was closed: the namespace was open before, or is to be open afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from appconnectivity.core import api, naming
from appconnectivity.core.compile import Compiled
from appconnectivity.core.policy import Everyone, Owner, Policy, Role, Rule, allow_spec, is_ours
from appconnectivity.core.ports import ALL_PORTS
from appconnectivity.core.selectors import EVERYTHING

_NAMES = frozenset(map(naming.transition_policy, api.PolicyType))

Body = Mapping[str, Any]


@dataclass(frozen=True)
class Transition:
    """The policies that keep the namespace open, and until when. None, most of the time."""

    policies: tuple[Policy, ...] = ()
    until: datetime | None = None

    @property
    def until_text(self) -> str:
        return _text(self.until) if self.until else ""


def transition(
    compiled: Compiled,
    observed: Sequence[Body],
    *,
    namespace: str,
    was_closed: bool,
    now: datetime,
    lasting: timedelta,
) -> Transition:
    """What has to keep the namespace open now, given all policies that stand in it and all that should.

    Never beside policies of anybody else, never for longer than ``lasting``, and never again where ours isolated before
    (``was_closed``): that they are gone is then the work of somebody else.
    """
    standing = [body for body in observed if body["metadata"]["name"] in _NAMES and is_ours(body)]
    others = [body for body in observed if body not in standing]
    until = _until(standing, now=now, lasting=lasting)
    is_entering = bool(compiled.policies) and not others and not was_closed
    is_leaving = bool(others) and not compiled.policies and not compiled.kept
    if until is None and lasting and (is_entering or is_leaving):
        until = (now + lasting).replace(microsecond=0)
    if until is None or not all(map(is_ours, others)):
        return Transition()
    specs = [policy.spec for policy in compiled.policies] or [body["spec"] for body in (*others, *standing)]
    types = sorted({api.PolicyType(value) for spec in specs for value in spec.get("policyTypes", ())})
    owners = {owner for policy in compiled.policies for owner in policy.owners}
    policies = (_policy(policy_type, namespace=namespace, owners=owners, until=until) for policy_type in types)
    return Transition(policies=tuple(policies), until=until)


def _until(standing: Iterable[Body], *, now: datetime, lasting: timedelta) -> datetime | None:
    """The time that is written on those that stand, while it lasts; one that lasts longer than ours was not written
    by us."""
    texts = {(body["metadata"].get("annotations") or {}).get(naming.UNTIL_ANNOTATION, "") for body in standing}
    moments = [moment for moment in map(_moment, texts) if now < moment <= now + lasting]
    return min(moments, default=None)


def _policy(policy_type: api.PolicyType, *, namespace: str, owners: Iterable[Owner], until: datetime) -> Policy:
    return Policy(
        namespace=namespace,
        name=naming.transition_policy(policy_type),
        role=Role.TRANSITION,
        spec=allow_spec(subject=EVERYTHING, policy_type=policy_type, rules=[Rule(Everyone(), ALL_PORTS)]),
        owners=tuple(sorted(owners, key=lambda owner: (owner.name, owner.uid))),
        description=f"Every pod stays open until {_text(until)}, so that nothing declared is cut meanwhile.",
        until=_text(until),
    )


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return datetime.min.replace(tzinfo=UTC)


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
