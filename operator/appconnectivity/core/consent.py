"""The other half of a flow: whether another namespace lets us in or out, and the words that ask it to.

Implication decides, not spelling: an object there counts when whatever our flow means, one of its flows means too.
No more about the other namespace comes out of here than whether it grants *us* this flow.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from appconnectivity.core import api
from appconnectivity.core.facts import Facts, Isolation, Options
from appconnectivity.core.findings import Finding
from appconnectivity.core.intent import Intent
from appconnectivity.core.policy import Everyone, Pods
from appconnectivity.core.ports import Ports
from appconnectivity.core.resolve import Resolved, Side, namespace_selector, resolve
from appconnectivity.core.selectors import EVERYTHING, Selector


@dataclass(frozen=True)
class Judge:
    """What is needed to judge grants: the facts, the settings, and the moment at which flows must not have expired."""

    facts: Facts
    options: Options
    now: datetime

    def ungranted(self, flow: api.Flow, resolved: Resolved) -> int:
        """In how many namespaces the other half is missing; 0 where the flow needs none elsewhere."""
        remote = remote_end(flow, resolved)
        if remote is None:
            return 0
        end, policy_type = remote
        where = namespace_selector(end, namespace=self.facts.namespace)
        names = [name for name, peer in self.facts.peers.items() if where.matches(peer.labels)]
        if end.namespace is not None and not names:
            return 1
        return sum(not self._grants(name, resolved=resolved, policy_type=policy_type) for name in names)

    def _grants(self, name: str, *, resolved: Resolved, policy_type: api.PolicyType) -> bool:
        peer = self.facts.peers[name]
        theirs = _local_side(resolved, policy_type)
        pods = (theirs.pods.pods if theirs.pods else None) or EVERYTHING
        if not is_isolated(pods, policy_type=policy_type, isolations=peer.isolations):
            return True
        return any(self._intent_grants(intent, resolved=resolved, policy_type=policy_type) for intent in peer.intents)

    def _intent_grants(self, intent: Intent, *, resolved: Resolved, policy_type: api.PolicyType) -> bool:
        if not intent.is_enforced or policy_type not in intent.governed:
            return False
        flows = [entry.flow for entry in intent.entries if entry.flow and not entry.has_expired(now=self.now)]
        there = Facts(namespace=intent.namespace, services=self.facts.services, api_server=self.facts.api_server)
        for flow in flows:
            theirs = resolve(
                flow, namespace=intent.namespace, app_label=intent.app_label, facts=there, options=self.options
            )
            if isinstance(theirs, Finding) or _local_side(theirs, policy_type).subject is None:
                continue
            if self._covers(theirs, resolved, their_namespace=intent.namespace):
                return True
        return False

    def _covers(self, theirs: Resolved, ours: Resolved, *, their_namespace: str) -> bool:
        """True where each end of ``theirs``, seen from its namespace, holds the same end of ``ours``."""
        places = self._places(their_namespace)
        return (
            _side_covers(theirs.source, ours.source, places=places)
            and _side_covers(theirs.destination, ours.destination, places=places)
            and _ports(theirs.destination).covers(_ports(ours.destination))
        )

    def _places(self, their_namespace: str) -> _Places:
        return _Places(
            own=self.facts.namespace,
            own_labels=self.facts.labels,
            other=their_namespace,
            other_labels=self.facts.peers[their_namespace].labels,
        )


def _local_side(resolved: Resolved, policy_type: api.PolicyType) -> Side:
    """The side at which a half of this direction is written: the destination's ingress, the source's egress."""
    return resolved.destination if policy_type is api.PolicyType.INGRESS else resolved.source


def remote_end(flow: api.Flow, resolved: Resolved) -> tuple[api.End, api.PolicyType] | None:
    """The end that is pods of other namespaces, and the direction in which these have to be open."""
    if resolved.source.subject is None and resolved.source.pods and flow.from_.is_pods:
        return flow.from_, api.PolicyType.EGRESS
    if resolved.destination.subject is None and resolved.destination.pods and flow.to.is_pods:
        return flow.to, api.PolicyType.INGRESS
    return None


def is_isolated(pods: Selector, *, policy_type: api.PolicyType, isolations: Iterable[Isolation]) -> bool:
    """True where some policy may select some of ``pods`` in this direction."""
    return any(
        policy_type.value in isolation.policy_types and not isolation.selector.disjoint(pods)
        for isolation in isolations
    )


def request(flow: api.Flow, *, namespace: str, app_label: str, default_app_label: str) -> str:
    """The flow as the other namespace has to declare it, ready to be pasted into an object's list of flows."""
    labels = (app_label, default_app_label)
    ends = [
        _mirrored(end, *labels) | ({"namespace": namespace} if end.is_in(namespace) else {})
        for end in (flow.from_, flow.to)
    ]
    ports = f", ports: {_inline(flow.ports)}" if flow.ports else ""
    return f"{{from: {_inline(ends[0])}, to: {_inline(ends[1])}{ports}}}"


@dataclass(frozen=True)
class _Places:
    own: str
    own_labels: Mapping[str, str]
    other: str
    other_labels: Mapping[str, str]


def _side_covers(theirs: Side, ours: Side, *, places: _Places) -> bool:
    peer = theirs.reaches[0][0]
    if isinstance(peer, Everyone):
        return True
    if theirs.pods is None and not isinstance(peer, Pods):
        return False
    pods = theirs.pods or peer
    if not isinstance(pods, Pods) or ours.pods is None:
        return False
    return _pods_cover(pods, ours.pods, places=places)


def _pods_cover(theirs: Pods, ours: Pods, *, places: _Places) -> bool:
    """Ours without namespaces are in our own, theirs in theirs; a label may match our own, so these may be one."""
    inner = ours.pods or EVERYTHING
    if not inner.implies(theirs.pods or EVERYTHING):
        return False
    if ours.namespaces is None and theirs.namespaces is None:
        return places.own == places.other
    if ours.namespaces is None:
        return theirs.namespaces is not None and theirs.namespaces.matches(places.own_labels)
    return theirs.namespaces is None or theirs.namespaces.matches(places.other_labels)


def _ports(side: Side) -> Ports:
    if any(ports.all for _, ports in side.reaches):
        return Ports(all=True)
    return Ports.of(port for _, ports in side.reaches for port in ports.listed)


def _mirrored(end: api.End, app_label: str, default_app_label: str) -> dict[str, object]:
    """An end without its place; ``app`` spelled out where the other object may read it by another label."""
    if end.app is not None:
        if app_label == default_app_label:
            return {"app": end.app}
        return {"podSelector": {"matchLabels": {app_label: end.app}}}
    if end.service is not None:
        return {"service": end.service}
    if end.pod_selector is not None:
        return {"podSelector": end.pod_selector.model_dump(by_alias=True, exclude_defaults=True)}
    return {"podSelector": {}}


def _inline(value: object) -> str:
    """Plain data as one line of YAML; strings that YAML could take for something else are quoted."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_inline(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return str(value) if isinstance(value, int) or _is_plain(str(value)) else f'"{value}"'


def _is_plain(text: str) -> bool:
    return text[:1].isalpha() and text.lower() not in ("true", "false", "null", "yes", "no", "on", "off", "y", "n")
