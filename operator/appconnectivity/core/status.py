"""The status of an object: conditions, a row per flow, counts. Built from results, and only from results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from appconnectivity.core import api
from appconnectivity.core.compile import Compiled, FlowResult, ObjectResult
from appconnectivity.core.findings import Finding, FlowState, Reason
from appconnectivity.core.policy import Owner

MAX_ROWS = 64
MAX_ROW_MESSAGE = 256
MAX_MESSAGE = 4096

_OPEN_STATES = (FlowState.ACTIVE, FlowState.EXPIRING)
# What waiting does not mend. An InternalError is none of these: the next try may succeed.
_STALLING = (Reason.INVALID, Reason.INVALID_FLOW, Reason.UNSUPPORTED, Reason.NAMESPACE_PROTECTED)


@dataclass(frozen=True)
class Outcome:
    """What came of writing a namespace's plan, by policy name; ``undeleted``, what ought to be gone, by owner."""

    conflicts: frozenset[str] = frozenset()
    failures: Mapping[str, Finding] = field(default_factory=dict)
    contended: Mapping[str, str] = field(default_factory=dict)
    undeleted: Mapping[Owner, Finding] = field(default_factory=dict)
    open_until: str = ""

    @property
    def is_clean(self) -> bool:
        """True where all of the plan was written, and there is nothing to be said of that."""
        return self == Outcome()


def build(
    result: ObjectResult, outcome: Outcome, *, compiled: Compiled, previous: Mapping[str, Any], now: str
) -> dict[str, Any]:
    """The whole status of one of the compiled objects; ``now`` is RFC 3339.

    A condition's lastTransitionTime is kept from ``previous`` unless its status changes.
    """
    is_audit = _is_audit(result)
    flows = flows_as_written(result, outcome)
    names = _names(result, compiled)
    status: dict[str, Any] = {
        "conditions": [
            make_condition(kind, value, finding, generation=result.intent.generation, previous=previous, now=now)
            for kind, value, finding in _conditions(
                result, flows, outcome, names=names, dns_assumed=compiled.dns_assumed and _asks_for_dns(result)
            )
        ],
        "observedGeneration": result.intent.generation,
        "flows": [_row(flow) for flow in flows[:MAX_ROWS]],
        "flowsActive": f"{sum(flow.state in _OPEN_STATES for flow in flows)}/{len(flows)}",
        "policyCount": len(names - outcome.conflicts - outcome.failures.keys()),
    }
    if is_audit:
        status |= {"wouldWriteCount": len(result.would_write), "wouldWrite": [*result.would_write[:MAX_ROWS]]}
    return status


def unknown(body: Mapping[str, Any], finding: Finding, *, now: str) -> dict[str, Any]:
    """The status of an object that can't be judged just now: what was known stays, save that it still holds.

    Nor is it known to be Stalled any more: what can't be judged may have been mended.
    """
    previous, generation = body.get("status") or {}, body["metadata"].get("generation", 0)
    said = {
        kind: make_condition(kind, "Unknown", finding, generation=generation, previous=previous, now=now)
        for kind in ("Ready", "Programmed")
    }
    others = [entry for entry in previous.get("conditions") or () if entry.get("type") not in (*said, "Stalled")]
    return {**previous, "conditions": [*said.values(), *others]}


def flows_as_written(result: ObjectResult, outcome: Outcome) -> tuple[FlowResult, ...]:
    """The flows as they are in the cluster: one that could not be written is not active."""
    return tuple(_as_written(flow, outcome, is_audit=_is_audit(result)) for flow in result.flows)


def condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """The condition of that type, or an empty mapping."""
    found = (entry for entry in status.get("conditions") or () if entry.get("type") == kind)
    return next(found, {})


def _conditions(
    result: ObjectResult,
    flows: tuple[FlowResult, ...],
    outcome: Outcome,
    *,
    names: frozenset[str],
    dns_assumed: bool,
) -> list[tuple[str, str, Finding]]:
    accepted = _accepted(result, flows)
    resolved = _resolved(flows, dns_assumed=dns_assumed)
    programmed = _programmed(result, outcome, names=names)
    first_fault = next((f for status, f in (accepted, resolved, programmed) if status == "False"), None)
    if _is_audit(result) and accepted[0] == resolved[0] == "True":
        ready = ("True", programmed[1])
    else:
        ready = ("False", first_fault) if first_fault else ("True", Finding(Reason.READY, programmed[1].message))
    connected = _connected(flows, not_open=ready[1] if first_fault else None)
    found = {"Ready": ready, "Accepted": accepted, "ResolvedRefs": resolved, "Programmed": programmed}
    found |= {"Connected": connected} | _stalled(accepted)
    return [(kind, status, finding) for kind, (status, finding) in found.items()]


def _names(result: ObjectResult, compiled: Compiled) -> frozenset[str]:
    """The policies that stand for this object, shared ones included."""
    owner = Owner(result.intent.name, result.intent.uid)
    return compiled.names_by_owner.get(owner, frozenset()) | result.kept


def _accepted(result: ObjectResult, flows: tuple[FlowResult, ...]) -> tuple[str, Finding]:
    if result.refusal is not None:
        return "False", result.refusal
    invalid = [flow for flow in flows if flow.state is FlowState.INVALID]
    if not invalid:
        return "True", Finding(Reason.ACCEPTED, "the spec is understood")
    return "False", Finding(_summary({flow.finding.reason for flow in invalid}), _list(invalid))


def _summary(reasons: set[Reason]) -> Reason:
    """One word for why flows are invalid; what is only our own fault is not put down to them."""
    if reasons == {Reason.INTERNAL_ERROR}:
        return Reason.INTERNAL_ERROR
    return Reason.UNSUPPORTED if Reason.UNSUPPORTED in reasons else Reason.INVALID_FLOW


def _stalled(accepted: tuple[str, Finding]) -> dict[str, tuple[str, Finding]]:
    """Only there while it is True, as kstatus has it: then Flux and others give up at once instead of at a time-out."""
    status, finding = accepted
    return {"Stalled": ("True", finding)} if status == "False" and finding.reason in _STALLING else {}


def _resolved(flows: tuple[FlowResult, ...], *, dns_assumed: bool) -> tuple[str, Finding]:
    unresolved = [flow for flow in flows if flow.state is FlowState.UNRESOLVED]
    if unresolved:
        return "False", Finding(unresolved[0].finding.reason, _list(unresolved))
    if dns_assumed:
        return "True", Finding(
            Reason.DNS_ASSUMED,
            "no DNS Service (kube-system/kube-dns, openshift-dns/dns-default) was found;"
            " pods k8s-app=kube-dns in kube-system are allowed on port 53",
        )
    return "True", Finding(Reason.RESOLVED, "everything that the flows name was found")


def _programmed(result: ObjectResult, outcome: Outcome, *, names: frozenset[str]) -> tuple[str, Finding]:
    if result.refusal is not None:
        return "False", Finding(result.refusal.reason, "nothing new is written; see Accepted")
    if _is_audit(result):
        return "False", Finding(
            Reason.AUDIT, f"mode is Audit: nothing is written; {len(result.would_write)} policies would be"
        )
    mine = sorted(names)
    conflicts = [name for name in mine if name in outcome.conflicts]
    if conflicts:
        return "False", Finding(
            Reason.NAME_CONFLICT,
            f"NetworkPolicy {', '.join(conflicts)} is not ours and is left alone; rename or delete it",
        )
    failures = [outcome.failures[name] for name in mine if name in outcome.failures]
    if failures:  # the cause before those who wait for it
        return "False", min(failures, key=lambda failure: failure.reason is Reason.WAITING_FOR_ALLOWS)
    undeleted = outcome.undeleted.get(Owner(result.intent.name, result.intent.uid))
    if undeleted is not None:
        return "False", undeleted
    contended = {name: outcome.contended[name] for name in mine if name in outcome.contended}
    if contended:
        who = ", ".join(sorted({manager or "unknown" for manager in contended.values()}))
        return "False", Finding(
            Reason.CONTENDED,
            f"{who} keeps changing NetworkPolicy {', '.join(contended)}; stop it, repairs are spaced out",
        )
    if outcome.open_until and mine:
        return "False", Finding(
            Reason.ADOPTING,
            f"{len(mine)} policies stand; all of the namespace stays open until {outcome.open_until}, so that nothing"
            " declared is cut while the enforcers catch up",
        )
    return "True", Finding(Reason.PROGRAMMED, f"{len(mine)} policies stand")


def _connected(flows: tuple[FlowResult, ...], *, not_open: Finding | None) -> tuple[str, Finding]:
    """Unknown where our own halves do not stand: then there is nothing to be connected yet."""
    waiting = [flow for flow in flows if flow.state is FlowState.AWAITING_GRANT]
    if waiting:
        return "False", Finding(Reason.AWAITING_GRANT, _list(waiting))
    if not_open is not None:
        return "Unknown", Finding(not_open.reason, "not all flows of this object are open on this side; see Ready")
    return "True", Finding(Reason.CONNECTED, "no flow waits for another namespace")


def _list(flows: Iterable[FlowResult]) -> str:
    return "; ".join(f"flow {flow.name}: {flow.finding.message}" for flow in flows)


def _row(flow: FlowResult) -> dict[str, Any]:
    row = {"name": flow.name, "state": flow.state.value, "reason": flow.finding.reason.value}
    message = flow.finding.message
    return row | {"message": cut(message, MAX_ROW_MESSAGE)} if message else row


def _as_written(flow: FlowResult, outcome: Outcome, *, is_audit: bool) -> FlowResult:
    """The flow as it is in the cluster: what could not be written is not active."""
    names = sorted(policy.name for policy in flow.policies)
    taken = [name for name in names if name in outcome.conflicts]
    if taken:
        said = f"NetworkPolicy {', '.join(taken)} is not ours and is left alone; rename or delete it"
        return replace(flow, state=FlowState.CONFLICT, finding=Finding(Reason.NAME_CONFLICT, said))
    failure = next((outcome.failures[name] for name in names if name in outcome.failures), None)
    if failure is None and is_audit and flow.state in _OPEN_STATES:
        failure = Finding(Reason.AUDIT, flow.finding.message)
    return replace(flow, state=FlowState.NOT_WRITTEN, finding=failure) if failure else flow


def make_condition(
    kind: str, status: str, finding: Finding, *, generation: int, previous: Mapping[str, Any], now: str
) -> dict[str, Any]:
    before = condition(previous, kind)
    unchanged = before.get("status") == status
    return {
        "type": kind,
        "status": status,
        "reason": finding.reason.value,
        "message": cut(finding.message, MAX_MESSAGE),
        "observedGeneration": generation,
        "lastTransitionTime": before["lastTransitionTime"] if unchanged else now,
    }


def _is_audit(result: ObjectResult) -> bool:
    header = result.intent.header
    return result.refusal is None and header is not None and header.mode is api.Mode.AUDIT


def _asks_for_dns(result: ObjectResult) -> bool:
    header = result.intent.header
    return header is not None and header.dns is api.Dns.CLUSTER and api.PolicyType.EGRESS in header.policy_types


def cut(text: str, limit: int) -> str:
    """The text, of which so many characters may be shown."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
