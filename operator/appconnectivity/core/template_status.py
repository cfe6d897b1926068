"""The status of a template: how far it is rolled out, and which namespaces it could not serve."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from appconnectivity.core import status
from appconnectivity.core.findings import Finding, Reason
from appconnectivity.core.rollout import Action, Rollout, Step, is_judged

MAX_FAILURES = 64
MAX_FAILURE_MESSAGE = 256
_NAMED = 4
_NONE = "no namespace that could be served has the labels that namespaceSelector asks for"

Body = Mapping[str, Any]
Failures = Mapping[str, Finding]


def build(
    rollout: Rollout | None, failures: Failures, *, refusal: Finding | None, body: Body, now: str
) -> dict[str, Any]:
    """The whole status of the template that ``body`` is. Without a rollout it is not known which namespaces it selects:
    what was known of them stays, but with a ``refusal`` none of them is up to date.

    ``failures`` are namespaces that could not be written. ``now`` is RFC 3339.
    """
    previous, generation = body.get("status") or {}, body["metadata"]["generation"]
    counts = _counts(rollout, failures) if rollout else _kept(previous)
    if refusal is not None:  # what stands is not of this version
        none = f"0/{counts.get('selectedCount', 0)}"
        counts |= {"updatedCount": 0, "readyCount": 0, "readyNamespaces": none}
    protected = rollout.protected if rollout else ()
    conditions = [
        status.make_condition(kind, value, finding, generation=generation, previous=previous, now=now)
        for kind, value, finding in _conditions(counts, protected, refusal=refusal)
    ]
    return {"conditions": conditions, "observedGeneration": generation, **counts}


def cut(finding: Finding) -> str:
    """What a row of ``failures`` says of it."""
    return status.cut(finding.message, MAX_FAILURE_MESSAGE)


def _counts(rollout: Rollout, failures: Failures) -> dict[str, Any]:
    failed = {step.namespace: finding for step in rollout.steps if (finding := _failure(step, failures))}
    ready = [step for step in rollout.selected if _is_ready(step)]
    selected = len(rollout.selected)
    return {
        "selectedCount": selected,
        "updatedCount": len([step for step in rollout.selected if step.action is Action.KEEP]),
        "readyCount": len(ready),
        "failedCount": len(failed),
        "readyNamespaces": f"{len(ready)}/{selected}",
        "failures": [_row(name, failed[name]) for name in sorted(failed)[:MAX_FAILURES]],
    }


def _kept(previous: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in previous.items() if key not in ("conditions", "observedGeneration")}


def _failure(step: Step, failures: Failures) -> Finding | None:
    """Why the namespace is not served; the object's own reason where it stands and is not ready."""
    if step.namespace in failures or step.finding is not None:
        return failures.get(step.namespace, step.finding)
    if step.action is not Action.KEEP or step.observed is None or not is_judged(step.observed):
        return None
    ready = _ready(step)
    reason = next((known for known in Reason if known == ready.get("reason")), None)
    if ready.get("status") == "True" or reason in (
        None,
        Reason.ADOPTING,
    ):  # a word of nobody's, or of another version's
        return None
    return Finding(reason, ready.get("message", ""))


def _is_ready(step: Step) -> bool:
    is_judged_keep = step.action is Action.KEEP and step.observed is not None and is_judged(step.observed)
    return is_judged_keep and _ready(step).get("status") == "True"


def _ready(step: Step) -> Mapping[str, Any]:
    return status.condition((step.observed or {}).get("status") or {}, "Ready")


def _conditions(
    counts: Mapping[str, Any], protected: Sequence[str], *, refusal: Finding | None
) -> Iterator[tuple[str, str, Finding]]:
    if refusal is not None:
        yield "Ready", "False", refusal
        yield "Accepted", "False", refusal
        yield "Stalled", "True", refusal
        return
    ready = _summary(counts, protected)
    yield "Ready", "True" if ready.reason is Reason.ROLLED_OUT else "False", ready
    yield "Accepted", "True", Finding(Reason.ACCEPTED, "the template is understood")


def _summary(counts: Mapping[str, Any], protected: Sequence[str]) -> Finding:
    said = f"{counts['readyNamespaces']} namespaces are ready" if counts["selectedCount"] else _NONE
    named = [f"{row['namespace']}: {row['message']}" for row in counts["failures"][:_NAMED]]
    more = counts["failedCount"] - len(named)
    rest = [f"and {more} more"] if more else []
    left = [f"{', '.join(protected)}: protected, and left alone"] if protected else []
    whole = "; ".join([said, *named, *rest, *left])
    if counts["readyCount"] == counts["selectedCount"] and not named:
        return Finding(Reason.ROLLED_OUT, whole)
    is_moving = counts["readyCount"] + counts["failedCount"] < counts["selectedCount"]
    return Finding(Reason.ROLLING_OUT if is_moving else Reason.NAMESPACES_FAILED, whole)


def _row(namespace: str, finding: Finding) -> dict[str, Any]:
    return {"namespace": namespace, "reason": finding.reason.value, "message": cut(finding)}
