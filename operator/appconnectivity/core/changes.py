"""What changed between two statuses, as far as somebody should be told by an Event."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from appconnectivity.core.findings import Finding, FlowState, Reason
from appconnectivity.core.status import condition

Status = Mapping[str, Any]

_UNDER_WAY = (Reason.ADOPTING, Reason.ROLLING_OUT)
_CONNECTED_NEWS = ((None, "False"), ("True", "False"), ("Unknown", "False"), ("False", "True"))


def worth_telling(previous: Status, current: Status) -> list[tuple[Finding, bool]]:
    """Findings, each with whether it is a warning: turns of Ready and Connected, and flows about to close or closed."""
    return [*turns(previous, current), *_removals(previous, current), *_flows(previous, current)]


def turns(previous: Status, current: Status) -> Iterator[tuple[Finding, bool]]:
    """What became of Ready and Connected, as far as the object has them."""
    for kind in ("Ready", "Connected"):
        before, after = condition(previous, kind), condition(current, kind)
        statuses = (before.get("status"), after.get("status"))
        # Connected follows Ready into Unknown, and is no news at first: only what turns to or from False is.
        is_news = bool(before) or "False" in statuses if kind == "Ready" else statuses in _CONNECTED_NEWS
        if is_news and (before.get("status"), before.get("reason")) != (after["status"], after["reason"]):
            is_warning = after["status"] == "False" and after["reason"] not in _UNDER_WAY
            yield Finding(Reason(after["reason"]), after["message"]), is_warning


def _removals(previous: Status, current: Status) -> Iterator[tuple[Finding, bool]]:
    """Audit takes away what was enforced before: the one change of mode that opens pods, so nobody may overlook it."""
    gone = previous.get("policyCount", 0)
    if gone and condition(current, "Programmed")["reason"] == Reason.AUDIT:
        said = f"mode is Audit: the {gone} policies of this object were removed; what only they closed is open again"
        yield Finding(Reason.AUDIT, said), True


def _flows(previous: Status, current: Status) -> Iterator[tuple[Finding, bool]]:
    before = {row["name"]: row["state"] for row in previous.get("flows") or ()}
    for row in current["flows"]:
        if row["state"] in (FlowState.EXPIRING, FlowState.EXPIRED) and before.get(row["name"]) != row["state"]:
            yield Finding(Reason(row["reason"]), f"flow {row['name']}: {row.get('message', '')}"), True
