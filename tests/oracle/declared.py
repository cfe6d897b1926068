"""What an AppConnectivity object says, read word by word: what is declared is open, and DNS, and nothing else.

This reading of the flows shares no code with the compiler and knows nothing of NetworkPolicies.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from typing import Any

from appconnectivity.core.reachability import Host, Pod, World

NAMESPACE = "shop"
NOW = "2026-06-01T12:00:00Z"
# Hosts of a world that are not on the internet have names that begin so.
INTRANET = "intranet"

End = Pod | Host
Probe = tuple[str, int]  # protocol, port
Connection = tuple[str, str, str, int]  # source, target, protocol, port


@dataclass(frozen=True)
class Served:
    """A Service: the labels of its pods, or else its addresses, and the port of these behind each of its own."""

    ports: Mapping[tuple[str, int], int]
    labels: Mapping[str, str] | None = None
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True)
class Declared:
    """The spec of an object in a world, with the Services that are there. Judged alone, it is the only one."""

    spec: Any
    world: World
    services: Mapping[tuple[str, str], Served] = field(default_factory=dict)
    namespace: str = NAMESPACE
    now: str = NOW

    def opens(self, source: End, target: End, probes: Collection[Probe]) -> set[Probe]:
        """The probes that get from source to target in one of the address families that both have."""
        return Together((self,)).opens(source, target, probes)

    def opens_at(self, source: Place, target: Place, probes: Collection[Probe]) -> set[Probe]:
        """The probes that get from one address to another."""
        return Together((self,)).opens_at(source, target, probes)

    def lets(self, direction: str, source: Place, target: Place, probes: Collection[Probe]) -> set[Probe]:
        """What the object opens at the side of the opening (``from``) or of the receiving end (``to``)."""
        if not self._governs(direction):
            return set()
        said = [f for f in self.spec["flows"] if self._is_local(f[direction]) and self._joins(f, source, target)]
        has_dns = direction == "from" and self.closes(source.end, "from")
        return {
            probe
            for probe in probes
            if (has_dns and self._is_dns(target.end, probe)) or any(self._is_port(f, target.end, *probe) for f in said)
        }

    def _governs(self, direction: str) -> bool:
        policy_type = {"from": "Egress", "to": "Ingress"}[direction]
        return policy_type in self._policy_types and self.spec.get("mode") != "Audit"

    def closes(self, subject: End, direction: str) -> bool:
        """True where the object isolates a pod as the opening (``from``) or as the receiving end (``to``)."""
        if not self.is_of(subject) or not self._governs(direction):
            return False
        match self.spec.get("defaultDeny", "Namespace"):
            case "Namespace":
                return True
            case "Endpoints":
                return any(self._names(f[side], subject) for f in self.spec["flows"] for side in ("from", "to"))
            case _:
                live = (f for f in self.spec["flows"] if self._is_live(f))
                return any(self._names(f[direction], subject) for f in live)

    @property
    def _policy_types(self) -> Any:
        return self.spec.get("policyTypes", ["Ingress", "Egress"])

    def _is_dns(self, target: End, probe: Probe) -> bool:
        is_asked = self.spec.get("dns", "Cluster") == "Cluster"
        return is_asked and target.ref == "kube-system/coredns" and probe in (("TCP", 53), ("UDP", 53))

    def _joins(self, flow: Any, source: Place, target: Place) -> bool:
        return self._is_live(flow) and self._is_end(flow["from"], source) and self._is_end(flow["to"], target)

    def _is_live(self, flow: Any) -> bool:
        """Not expired, and every Service and port of a Service that it names is there."""
        if flow.get("expirationTime", "9") <= self.now:
            return False
        return "service" not in flow["to"] or self._pod_ports(flow) is not None

    def _names(self, end: Any, subject: End) -> bool:
        return self._is_local(end) and any(self._is_end(end, place) for place in places(subject))

    def _is_end(self, end: Any, place: Place) -> bool:
        subject = place.end
        if "service" in end:
            return self._is_behind(end, place)
        if "entity" in end:
            return _is_entity(end["entity"], subject)
        if "ipBlocks" in end:
            return place.address is not None and any(_is_in(place.address, block) for block in end["ipBlocks"])
        if isinstance(subject, Host):
            return False
        if "namespaceSelector" in end:
            is_there = _is_selected(end["namespaceSelector"], self.world.namespaces[subject.namespace])
        else:
            is_there = subject.namespace == end.get("namespace", self.namespace)
        label = self.spec.get("appLabel", "app")
        wanted = {"matchLabels": {label: end["app"]}} if "app" in end else end.get("podSelector", {})
        return is_there and _is_selected(wanted, subject.labels)

    def _is_behind(self, end: Any, place: Place) -> bool:
        service = self._service(end)
        if service is None:
            return False
        if service.labels is None:
            return str(place.address) in service.addresses
        if isinstance(place.end, Host) or place.end.namespace != end.get("namespace", self.namespace):
            return False
        return _is_selected({"matchLabels": service.labels}, place.end.labels)

    def _service(self, end: Any) -> Served | None:
        return self.services.get((end.get("namespace", self.namespace), end["service"]))

    def _pod_ports(self, flow: Any) -> set[tuple[str, int]] | None:
        """The ports behind the asked ones of the Service; None where the Service, or one of them, is not there."""
        service = self._service(flow["to"])
        if service is None:
            return None
        asked = flow.get("ports", ["*"])
        found = [{own for own in service.ports if _is_number(entry, *own)} for entry in asked]
        return {(own[0], service.ports[own]) for owns in found for own in owns} if all(found) else None

    def _is_port(self, flow: Any, target: End, protocol: str, port: int) -> bool:
        if "service" in flow["to"]:
            return (protocol, port) in (self._pod_ports(flow) or ())
        return any(_is_named(entry, target, protocol, port) for entry in flow["ports"])

    def is_of(self, end: End) -> bool:
        """True for the pods of the object's own namespace."""
        return isinstance(end, Pod) and end.namespace == self.namespace

    def _is_local(self, end: Any) -> bool:
        is_elsewhere = end.keys() & {"ipBlocks", "entity", "namespaceSelector"}
        return not is_elsewhere and end.get("namespace", self.namespace) == self.namespace


@dataclass(frozen=True)
class Together:
    """Objects of any namespaces of one world. What one of them closes is open where another one opens it; and each end
    has a say, so that a connection between namespaces is open where both declare it."""

    objects: tuple[Declared, ...]

    def opens(self, source: End, target: End, probes: Collection[Probe]) -> set[Probe]:
        """The probes that get from source to target in one of the address families that both have."""
        return {probe for route in routes(source, target) for probe in self.opens_at(*route, probes)}

    def opens_at(self, source: Place, target: Place, probes: Collection[Probe]) -> set[Probe]:
        """The probes that get from one address to another."""
        found = set(probes)
        for direction, end in (("from", source.end), ("to", target.end)):
            if any(said.closes(end, direction) for said in self.objects):
                theirs = (said for said in self.objects if said.is_of(end))
                found &= {probe for said in theirs for probe in said.lets(direction, source, target, found)}
        return found


@dataclass(frozen=True)
class Place:
    """An end at one of its addresses."""

    end: End
    address: Any

    @property
    def family(self) -> int | None:
        return self.address.version if self.address else None


def places(end: End) -> list[Place]:
    ips = [end.ip] if isinstance(end, Host) else end.ips
    return [Place(end, ipaddress.ip_address(ip)) for ip in ips] or [Place(end, None)]


def routes(source: End, target: End) -> list[tuple[Place, Place]]:
    """A connection has one address family. Ends that share none are judged as if they could meet."""
    pairs = list(product(places(source), places(target)))
    return [pair for pair in pairs if pair[0].family == pair[1].family] or pairs


def _is_entity(entity: str, subject: End) -> bool:
    if entity == "Any":
        return True
    if isinstance(subject, Pod):
        return entity == "Cluster"
    return entity == "Internet" and not subject.name.startswith(INTRANET)


def _is_in(address: Any, block: Any) -> bool:
    nets = [ipaddress.ip_network(text) for text in (block["cidr"], *block.get("except", ()))]
    return address in nets[0] and not any(address in net for net in nets[1:])


def _is_selected(selector: Any, labels: Any) -> bool:
    demands: dict[str, Callable[[str, Any], bool]] = {
        "In": lambda key, values: labels.get(key) in values,
        "NotIn": lambda key, values: labels.get(key) not in values,
        "Exists": lambda key, _: key in labels,
        "DoesNotExist": lambda key, _: key not in labels,
    }
    equal = all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())
    return equal and all(
        demands[entry["operator"]](entry["key"], entry.get("values")) for entry in selector.get("matchExpressions", ())
    )


def _is_named(entry: Any, target: End, protocol: str, port: int) -> bool:
    name, _, named = str(entry).partition("/")
    if name.isalpha():
        number = target.ports.get(name) if isinstance(target, Pod) else None
        return protocol == (named or "TCP") and number == (protocol, port)
    return _is_number(entry, protocol, port)


@cache
def _is_number(entry: Any, protocol: str, port: int) -> bool:
    if entry == "*":
        return True
    number, _, named = str(entry).partition("/")
    first, _, last = number.partition("-")
    return protocol == (named or "TCP") and int(first) <= port <= int(last or first)
