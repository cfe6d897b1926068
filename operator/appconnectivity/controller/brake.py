"""Deletions on a large scale that nobody is known to have asked for wait, and are looked at twice.

A server that once answers with an empty LIST, and says 200, must not cost a cluster its policies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from appconnectivity.core.plan import Action, Plan, Step
from appconnectivity.core.policy import owners_of

# Two looks with the same result, so far apart, are believed.
APART_SECONDS = 30.0
# So many policies, or this share of all, may go at once.
FREELY, SHARE = 10, 0.3

Body = Mapping[str, Any]


@dataclass(frozen=True)
class _Riddles:
    """So many policies of one namespace, to go since that time."""

    since: float
    count: int


@dataclass
class Brake:
    """Counts, over all namespaces, the policies that are to go since the objects that own them are not listed.

    ``is_gone`` tells whether the deletion of the object with that uid was heard of: such a policy is no riddle.
    """

    is_gone: Callable[[str], bool]
    _waiting: dict[str, _Riddles] = field(default_factory=dict)
    _released: list[_Riddles] = field(default_factory=list)

    @property
    def held(self) -> int:
        return sum(riddles.count for riddles in self._waiting.values())

    def hold(
        self, namespace: str, steps: Plan, *, bodies: Iterable[Body], total: int, now: float
    ) -> tuple[Plan, float]:
        """The plan as it may be carried out now, and in how many seconds to look again (0.0: no need).

        ``bodies`` are the objects that are listed, ``total`` is the number of all our policies, ``now`` in seconds.
        """
        listed = {body["metadata"]["uid"] for body in bodies}
        count = sum(step.action is Action.DELETE and self._is_riddle(step, listed) for step in steps.steps)
        before = self._waiting.pop(namespace, _Riddles(now, count))
        if not count:
            return steps, 0.0
        self._released = [riddles for riddles in self._released if now - riddles.since < APART_SECONDS]
        together = count + self.held + sum(riddles.count for riddles in self._released)
        wait = before.since + APART_SECONDS - now
        if wait <= 0 or together <= max(FREELY, SHARE * total):
            self._released.append(_Riddles(now, count))
            return steps, 0.0
        self._waiting[namespace] = _Riddles(before.since, count)
        return Plan(tuple(step for step in steps.steps if not _opens(step))), wait

    def _is_riddle(self, step: Step, listed: set[str]) -> bool:
        """An orphan is none: somebody has taken its owner from it."""
        uids = {owner.uid for owner in owners_of(step.observed)} if step.observed else set()
        return bool(uids) and uids.isdisjoint(listed) and not any(map(self.is_gone, uids))


def _opens(step: Step) -> bool:
    """Also what keeps a namespace open while its policies go has to wait."""
    return step.action is Action.DELETE or step.is_transition
