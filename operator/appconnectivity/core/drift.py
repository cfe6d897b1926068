"""Drift: when a policy of ours was changed or removed behind our back, who did it, and how often to put it back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from appconnectivity.core.plan import Action, Plan, Step
from appconnectivity.core.policy import FIELD_MANAGER

# Five repairs in a row are an accident; more are a fight, and a fight at full speed only burns both sides.
FREE_REPAIRS = 5
LONGEST_PAUSE_SECONDS = 60.0
QUIET_SECONDS = 120.0


@dataclass(frozen=True)
class Drift:
    """One object found other than it was written. ``manager`` is empty where the API server kept no trace of who."""

    name: str
    change: str
    manager: str = ""
    kind: str = "NetworkPolicy"

    @property
    def sentence(self) -> str:
        who = f"by {self.manager}" if self.manager else "(the API server's audit log says by whom)"
        return f"{self.kind} {self.name} was {self.change} {who} and has been put back"


def find(plan: Plan, *, written: Mapping[str, str]) -> tuple[Drift, ...]:
    """The steps that repair drift rather than follow a changed intent.

    ``written`` holds, by name, the digests of the bodies that stood at the end of the last pass. Only where the same
    body is desired again can somebody else have made the difference. Right after a start nothing is known: then
    managedFields speak.
    """
    return tuple(drift for step in plan.steps if (drift := _judge(step, written=written)))


def last_manager(body: Mapping[str, Any]) -> str:
    """The field manager other than ours that wrote last, and since we did; empty where there is none."""
    entries = [e for e in body["metadata"].get("managedFields") or () if not e.get("subresource")]
    ours = max((e.get("time") or "" for e in entries if e.get("manager") == FIELD_MANAGER), default="")
    others = [(e.get("time") or "", e["manager"]) for e in entries if e.get("manager") not in (None, FIELD_MANAGER)]
    return max((entry for entry in others if entry[0] >= ours), default=("", ""))[1]


def _judge(step: Step, *, written: Mapping[str, str]) -> Drift | None:
    if step.policy is None or step.action not in (Action.CREATE, Action.UPDATE, Action.HOLD):
        return None
    was_desired = written.get(step.name) == step.policy.digest
    if step.observed is None:
        return Drift(step.name, "deleted") if was_desired else None
    manager = last_manager(step.observed)
    if was_desired or (step.name not in written and manager):
        return Drift(step.name, "changed", manager)
    return None


@dataclass
class RepairLog:
    """How often each policy was repaired of late, to space repairs out. Times are seconds of a monotonic clock."""

    _repairs: dict[str, tuple[int, float]] = field(default_factory=dict)

    def record(self, name: str, *, now: float) -> None:
        count, last = self._repairs.get(name, (0, now))
        self._repairs[name] = (1 if now - last > QUIET_SECONDS else count + 1, now)

    def wait(self, name: str, *, now: float) -> float:
        """Seconds until the next repair of ``name`` may be made; 0.0 where it may be made at once."""
        count, last = self._repairs.get(name, (0, now))
        if count < FREE_REPAIRS:
            return 0.0
        pause = min(LONGEST_PAUSE_SECONDS, 2.0 ** min(count - FREE_REPAIRS + 1, 10))  # a long fight must not overflow
        return max(0.0, last + pause - now)

    def is_contended(self, name: str, *, now: float) -> bool:
        """True while somebody has been changing ``name`` again and again."""
        count, last = self._repairs.get(name, (0, now))
        return count >= FREE_REPAIRS and now - last <= QUIET_SECONDS

    @property
    def is_empty(self) -> bool:
        return not self._repairs

    def forget_idle(self, *, now: float) -> None:
        """Drops names that have been quiet, so that the log does not grow with the past."""
        self._repairs = {name: entry for name, entry in self._repairs.items() if now - entry[1] <= QUIET_SECONDS}
