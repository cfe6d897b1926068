"""NetworkPolicies as values: what one rule opens, how a policy is written out, and which live ones are ours.

Written policies keep to the subset that every enforcer gets right: one direction each (a deny may have both, since
it has no rules), one peer a rule, explicit policyTypes and protocols, everything sorted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

import orjson

from appconnectivity.core import api, naming
from appconnectivity.core.ports import Port, Ports
from appconnectivity.core.selectors import Selector

FIELD_MANAGER = "appconnectivity"


class Role(StrEnum):
    """What a policy is for; also the value of its role label."""

    FLOW = "flow"
    DNS = "allow-dns"
    DENY = "default-deny"
    TRANSITION = "transition"


@dataclass(frozen=True)
class Pods:
    """Pods as a peer: without ``namespaces`` those of the policy's own namespace; both selectors mean AND."""

    pods: Selector | None
    namespaces: Selector | None = None

    def to_dict(self) -> dict[str, Any]:
        body: dict[str, Any] = {}
        if self.namespaces is not None:
            body["namespaceSelector"] = self.namespaces.to_dict()
        if self.pods is not None:
            body["podSelector"] = self.pods.to_dict()
        return body


@dataclass(frozen=True)
class Addresses:
    """Addresses of one family as a peer (networking/v1 IPBlock)."""

    cidr: str
    excluded: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        body: dict[str, Any] = {"cidr": self.cidr}
        return {"ipBlock": body | {"except": list(self.excluded)} if self.excluded else body}


@dataclass(frozen=True)
class Everyone:
    """Every peer there is. A type of its own, so that no empty list can come to mean it."""

    def to_dict(self) -> None:
        return None


Peer = Pods | Addresses | Everyone


@dataclass(frozen=True)
class Rule:
    """One peer and the ports that are open for it. Raises ValueError for no ports at all."""

    peer: Peer
    ports: Ports

    def __post_init__(self) -> None:
        if self.ports.is_empty:
            raise ValueError("a rule without ports would open all of them")

    def to_dict(self, policy_type: api.PolicyType) -> dict[str, Any]:
        body: dict[str, Any] = {}
        peer = self.peer.to_dict()
        if peer is not None:
            body["from" if policy_type is api.PolicyType.INGRESS else "to"] = [peer]
        if not self.ports.all:
            body["ports"] = [_port(port) for port in self.ports.listed]
        return body


@dataclass(frozen=True)
class Owner:
    """The AppConnectivity object that an ownerReference points to."""

    name: str
    uid: str


@dataclass(frozen=True)
class Policy:
    """A NetworkPolicy that should stand. ``spec`` spells every API default out, so that live ones compare equal."""

    namespace: str
    name: str
    role: Role
    spec: Mapping[str, Any]
    owners: tuple[Owner, ...]
    description: str
    object_name: str = ""
    fingerprint: str = ""
    until: str = ""

    @property
    def labels(self) -> dict[str, str]:
        labels = {naming.MANAGED_BY_LABEL: naming.MANAGED_BY, naming.ROLE_LABEL: self.role.value}
        return labels | {naming.OBJECT_LABEL: self.object_name} if self.object_name else labels

    @cached_property
    def annotations(self) -> dict[str, str]:
        marks = {naming.DESCRIPTION_ANNOTATION: self.description}
        if self.fingerprint:
            marks[naming.FINGERPRINT_ANNOTATION] = naming.mark(self.fingerprint, self.spec)
        if self.until:
            marks[naming.UNTIL_ANNOTATION] = self.until
        return marks

    @cached_property
    def digest(self) -> str:
        return naming.digest(self._body(), length=16)

    def to_dict(self) -> dict[str, Any]:
        """The whole body as it is applied: every field that we own, and no other. A copy: policies are kept."""
        return self._body() | {"spec": orjson.loads(orjson.dumps(self.spec))}

    def _body(self) -> dict[str, Any]:
        metadata: dict[str, Any] = {
            "annotations": {**self.annotations},
            "labels": self.labels,
            "name": self.name,
            "namespace": self.namespace,
        }
        owners = [owner for owner in self.owners if owner.uid]
        if owners:
            sole = bool(self.object_name)
            metadata["ownerReferences"] = [_owner_reference(owner, is_controller=sole) for owner in owners]
        return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": self.spec}


def allow_spec(*, subject: Selector, policy_type: api.PolicyType, rules: Iterable[Rule]) -> dict[str, Any]:
    """The spec of a policy that opens ``rules`` for ``subject``. Raises ValueError without any rule."""
    bodies = [rule.to_dict(policy_type) for rule in rules]
    if not bodies:
        raise ValueError("an allow policy without rules would be a deny")
    return {
        policy_type.value.lower(): bodies if len(bodies) == 1 else _sorted(bodies),
        "podSelector": subject.to_dict(),
        "policyTypes": [policy_type.value],
    }


def _sorted(bodies: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each once."""
    texts = {orjson.dumps(body, option=orjson.OPT_SORT_KEYS) for body in bodies}
    return [orjson.loads(text) for text in sorted(texts)]


def deny_spec(*, subject: Selector, policy_types: Iterable[api.PolicyType]) -> dict[str, Any]:
    """The spec of a policy that isolates ``subject``. No rule lists: some readers take ``[]`` for "allow all"."""
    return {"podSelector": subject.to_dict(), "policyTypes": sorted(t.value for t in policy_types)}


def is_ours(body: Mapping[str, Any]) -> bool:
    """Ours is what our kind owns or what our field manager has applied; a label alone proves nothing."""
    metadata = body["metadata"]
    return any(map(_is_to_our_kind, metadata.get("ownerReferences") or ())) or any(
        entry.get("manager") == FIELD_MANAGER and entry.get("operation") == "Apply"
        for entry in metadata.get("managedFields") or ()
    )


def is_marked(body: Mapping[str, Any]) -> bool:
    """True for what carries our label, which proves nothing but is a reason to look."""
    labels = (body.get("metadata") or {}).get("labels") or {}
    return bool(labels.get(naming.MANAGED_BY_LABEL) == naming.MANAGED_BY)


def owners_of(body: Mapping[str, Any]) -> tuple[Owner, ...]:
    """The owners of our kind, of any version, sorted."""
    return tuple(Owner(*owner) for owner in sorted(_owned_by(body)))


def _owned_by(body: Mapping[str, Any]) -> set[tuple[str, str]]:
    references = body["metadata"].get("ownerReferences") or ()
    return {(reference["name"], reference["uid"]) for reference in references if _is_to_our_kind(reference)}


def _is_to_our_kind(reference: Mapping[str, Any]) -> bool:
    return bool(reference["kind"] == api.KIND and reference["apiVersion"].startswith(f"{api.GROUP}/"))


def is_as_written(body: Mapping[str, Any], *, fingerprint: str) -> bool:
    """True for a live policy that was written for the flow with this fingerprint and that nobody has edited since."""
    mark = (body["metadata"].get("annotations") or {}).get(naming.FINGERPRINT_ANNOTATION)
    return bool(mark == naming.mark(fingerprint, body.get("spec")))


def matches(policy: Policy, body: Mapping[str, Any]) -> bool:
    """True where the live policy says all that ours should say, and nothing else in the fields that matter."""
    metadata = body["metadata"]
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    return (
        body.get("spec") == policy.spec
        and policy.labels.items() <= labels.items()
        and policy.annotations.items() <= annotations.items()
        and _owned_by(body) == {(owner.name, owner.uid) for owner in policy.owners if owner.uid}
    )


def _port(port: Port) -> dict[str, Any]:
    body: dict[str, Any] = {"port": port.name or port.first, "protocol": port.protocol}
    return body | {"endPort": port.last} if port.last > port.first else body


def _owner_reference(owner: Owner, *, is_controller: bool) -> dict[str, Any]:
    reference: dict[str, Any] = {
        "apiVersion": api.API_VERSION,
        "kind": api.KIND,
        "name": owner.name,
        "uid": owner.uid,
    }
    return reference | {"controller": True} if is_controller else reference
