"""Deletions that nobody is known to have asked for wait, and are looked at twice.

A server that once answers with an empty LIST, and says 200, must not cost a cluster its policies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from appconnectivity.core.plan import Action, Plan, Step
from appconnectivity.core.policy import owners_of

# Two looks with the same result, so far apart, are believed: where it is only a few policies, and where it is more than
# so many, or than this share of all.
SOON_SECONDS, APART_SECONDS = 1.0, 30.0
FREELY, SHARE = 10, 0.3

Body = Mapping[str, Any]


@dataclass
class Brake:
    """Counts, over all namespaces, the policies that are to go since the objects that own them are not listed.

    ``is_gone`` tells whether the deletion of the object with that uid was heard of: such a policy is no riddle.
    """

    is_gone: Callable[[str], bool]
    _waiting: dict[str, dict[str, float]] = field(default_factory=dict)
    _released: list[tuple[float, int]] = field(default_factory=list)

    @property
    def held(self) -> int:
        return sum(map(len, self._waiting.values()))

    def forget(self, namespace: str) -> None:
        self._waiting.pop(namespace, None)

    def hold(
        self, namespace: str, steps: Plan, *, bodies: Iterable[Body], total: int, now: float
    ) -> tuple[Plan, float]:
        """The plan as it may be carried out now, and in how many seconds to look again (0.0: no need).

        ``bodies`` are the objects that are listed, ``total`` is the number of all our policies, ``now`` in seconds.
        """
        listed = {body["metadata"]["uid"] for body in bodies}
        riddles = {s.name for s in steps.steps if s.action is Action.DELETE and self._is_riddle(s, listed)}
        before = self._waiting.pop(namespace, {})
        since = {name: before.get(name, now) for name in riddles}
        self._released = [(at, count) for at, count in self._released if now - at < APART_SECONDS]
        together = len(since) + self.held + sum(count for _, count in self._released)
        apart = SOON_SECONDS if together <= max(FREELY, SHARE * total) else APART_SECONDS
        waiting = {name: at for name, at in since.items() if now - at < apart}
        if released := len(since) - len(waiting):
            self._released.append((now, released))
        if not waiting:
            return steps, 0.0
        self._waiting[namespace] = waiting
        going = (
            s for s in steps.steps if s.name not in waiting and not (s.is_transition and s.action is Action.CREATE)
        )
        return Plan(tuple(going)), min(waiting.values()) + apart - now

    def _is_riddle(self, step: Step, listed: set[str]) -> bool:
        """An orphan is none: somebody has taken its owner from it."""
        uids = {owner.uid for owner in owners_of(step.observed)} if step.observed else set()
        return bool(uids) and uids.isdisjoint(listed) and not any(map(self.is_gone, uids))
