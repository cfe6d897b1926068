"""Sentences about flows and policies: for the annotation on a policy, and for the rows of the status."""

from __future__ import annotations

from collections.abc import Sequence

from appconnectivity.core import api
from appconnectivity.core.findings import Finding, Reason
from appconnectivity.core.intent import Intent
from appconnectivity.core.policy import Addresses, Everyone, Peer, Pods, Rule
from appconnectivity.core.selectors import EVERYTHING, Selector

# A description is for people: past this many peers it counts the rest.
_NAMED_PEERS = 4


def half(
    policy_type: api.PolicyType, subject: Selector, rules: Sequence[Rule], *, object_name: str, flow_name: str
) -> str:
    """What one policy of a flow allows, in English."""
    openings: dict[str, list[str]] = {}
    for rule in rules:
        openings.setdefault(str(rule.ports), []).append(_peer(rule.peer))
    said = "; ".join(f"{_some(peers)} on {ports}" for ports, peers in sorted(openings.items()))
    verb = "accept connections from" if policy_type is api.PolicyType.INGRESS else "open connections to"
    return f"{_pods(subject)} may {verb} {said} (flow {flow_name} of AppConnectivity {object_name})."


def expired(flow: api.Flow) -> Finding:
    return Finding(Reason.EXPIRED, f"closed since {_moment(flow)}; remove the flow or set a later expirationTime")


def expiring(flow: api.Flow) -> Finding:
    return Finding(Reason.EXPIRING, f"will be closed at {_moment(flow)}")


def not_governed(intent: Intent) -> Finding:
    types = ", ".join(sorted(t.value for t in intent.governed))
    return Finding(Reason.NOT_GOVERNED, f"policyTypes is [{types}], which leaves this flow's direction as it is")


def awaiting_grant(flow: api.Flow, *, missing: int, request: str) -> Finding:
    end = flow.from_ if flow.from_.namespace or flow.from_.namespace_selector else flow.to
    where = f"namespace {end.namespace}" if end.namespace else f"{missing} of the namespaces that match"
    return Finding(Reason.AWAITING_GRANT, f"an AppConnectivity in {where} must declare: {request}")


def awaiting_service(flow: api.Flow, *, request: str) -> Finding:
    return Finding(
        Reason.AWAITING_GRANT,
        f"an AppConnectivity in namespace {flow.to.namespace} must declare: {request};"
        f" or there is no Service {flow.to.service} with these ports. Until then nothing new is opened here",
    )


def _moment(flow: api.Flow) -> str:
    return flow.expiration_time.isoformat().replace("+00:00", "Z") if flow.expiration_time else ""


def _some(peers: Sequence[str]) -> str:
    distinct = sorted(set(peers))
    more = len(distinct) - _NAMED_PEERS
    return ", ".join(distinct[:_NAMED_PEERS]) + (f" and {more} more" if more > 0 else "")


def _peer(peer: Peer) -> str:
    match peer:
        case Everyone():
            return "anyone"
        case Addresses():
            return f"{peer.cidr} except {', '.join(peer.excluded)}" if peer.excluded else peer.cidr
        case Pods():
            text = _pods(peer.pods or EVERYTHING).lower()
            return text if peer.namespaces is None else f"{text} of namespaces with {peer.namespaces}"


def _pods(selector: Selector) -> str:
    return "Every pod" if selector == EVERYTHING else f"Pods with {selector}"
