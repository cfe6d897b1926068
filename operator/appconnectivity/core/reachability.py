"""What networking.k8s.io/v1 NetworkPolicies mean: who reaches whom, on which ports, computed exactly.

Written from the API's text alone. It imports nothing of the package, so that it can be a second opinion on the
compiler. It judges NetworkPolicy and nothing else: no routes, no listening processes, no node traffic, no pods on
the host network (which NetworkPolicy can't select).

``ip_blocks_match_pods``: the API means ``ipBlock`` for addresses outside the cluster and leaves pods open. The
default is True: upstream's end-to-end tests aim ipBlocks at pods, most network plugins match them, and it shows the
wider, so the more careful, picture. Plugins that know pods by identity (Cilium) behave as False.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from itertools import groupby, product
from typing import Any, NamedTuple

NAMESPACE_NAME_LABEL = "kubernetes.io/metadata.name"
PROTOCOLS = ("SCTP", "TCP", "UDP")
MAX_PORT = 65535

INGRESS, EGRESS = "Ingress", "Egress"
DIRECTIONS = (INGRESS, EGRESS)
_PORT_NAME = re.compile(r"(?=.*[a-z])(?!.*--)[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?")
_CIDR = re.compile(r"[0-9A-Fa-f:.]+/[0-9]{1,3}")


@dataclass(frozen=True)
class Pod:
    """A pod with its labels, its addresses (one a family) and its named container ports: name to (protocol, number)."""

    namespace: str
    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    ips: tuple[str, ...] = ()
    ports: Mapping[str, tuple[str, int]] = field(default_factory=dict)

    @property
    def ref(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class Host:
    """An address outside the cluster."""

    name: str
    ip: str

    @property
    def ref(self) -> str:
        return f"host:{self.name}"


@dataclass(frozen=True)
class World:
    """Everything that may connect. Each namespace bears its own name as a label, as the API server sees to.

    Raises ValueError for two ends of one name, an unknown namespace, a bad address or a bad port.
    """

    namespaces: Mapping[str, Mapping[str, str]]
    pods: tuple[Pod, ...] = ()
    hosts: tuple[Host, ...] = ()

    def __post_init__(self) -> None:
        named = {name: {**labels, NAMESPACE_NAME_LABEL: name} for name, labels in self.namespaces.items()}
        object.__setattr__(self, "namespaces", named)
        _refuse_twins(end.ref for end in self.ends)
        for end in self.ends:
            self._check(end)

    @property
    def ends(self) -> tuple[Pod | Host, ...]:
        return (*self.pods, *self.hosts)

    def _check(self, end: Pod | Host) -> None:
        ips = (end.ip,) if isinstance(end, Host) else end.ips
        for ip in ips:
            _address(ip, where=end.ref)
        if isinstance(end, Host):
            return
        if end.namespace not in self.namespaces:
            raise _invalid(end.ref, f"there is no namespace {end.namespace!r}")
        for name, (protocol, number) in end.ports.items():
            _protocol(protocol, where=f"{end.ref}: port {name}")
            _number(number, where=f"{end.ref}: port {name}")


@dataclass(frozen=True)
class Side:
    """One end's policies, as sorted ``namespace/name``: those that isolate it, and which of them allow."""

    isolating: tuple[str, ...] = ()
    allowing: tuple[str, ...] = ()

    @property
    def allowed(self) -> bool:
        return not self.isolating or bool(self.allowing)


@dataclass(frozen=True)
class Verdict:
    """What the source's egress and the destination's ingress say. Both must allow."""

    egress: Side = Side()
    ingress: Side = Side()

    @property
    def allowed(self) -> bool:
        return self.egress.allowed and self.ingress.allowed


def allowed(
    world: World,
    policies: Iterable[Mapping[str, Any]],
    source: Pod | Host,
    destination: Pod | Host,
    protocol: str,
    port: int,
    *,
    ip_blocks_match_pods: bool = True,
) -> Verdict:
    """May ``source`` open a connection to this port of ``destination``?

    Where both have both address families, the verdict is that of the family that connects, or else of the first.
    Raises ValueError for an invalid policy, an end that is not in the world, or an impossible port.
    """
    span = _Span(_protocol(protocol, where="protocol"), _number(port, where="port"), port)
    parsed = _parse(policies, world=world)
    for end in (source, destination):
        if end not in world.ends:
            raise _invalid(end.ref, "not in the world")
    if source.ref == destination.ref:
        return Verdict()
    here, there = (_views(end, world=world, ip_blocks_match_pods=ip_blocks_match_pods) for end in (source, destination))
    verdicts = [_verdict(parsed, *route, span) for route in _routes(here, there)]
    return next((verdict for verdict in verdicts if verdict.allowed), verdicts[0])


def connections(
    world: World, policies: Iterable[Mapping[str, Any]], *, ip_blocks_match_pods: bool = True
) -> tuple[str, ...]:
    """All that is possible, as sorted lines such as ``shop/frontend -> shop/api : TCP 8000-8010,8080, UDP 53``.

    ``ALL`` is every port of every protocol. A pod always reaches itself, which is left out.
    Raises ValueError for an invalid policy.
    """
    parsed = _parse(policies, world=world)
    views = {end.ref: _views(end, world=world, ip_blocks_match_pods=ip_blocks_match_pods) for end in world.ends}
    lines = []
    for source, destination in product(world.ends, repeat=2):
        outside = isinstance(source, Host) and isinstance(destination, Host)
        if outside or source.ref == destination.ref:
            continue
        routes = _routes(views[source.ref], views[destination.ref])
        if spans := _union(span for route in routes for span in _connection(parsed, *route)):
            lines.append(f"{source.ref} -> {destination.ref} : {_text(spans)}")
    return tuple(sorted(lines))


# Port sets: sorted, disjoint, merged intervals, so that equal sets are equal values.


class _Span(NamedTuple):
    protocol: str
    first: int = 1
    last: int = MAX_PORT


_Spans = tuple[_Span, ...]
_EVERY_PORT: _Spans = tuple(map(_Span, PROTOCOLS))


def _union(spans: Iterable[_Span]) -> _Spans:
    merged: list[_Span] = []
    for span in sorted(spans):
        before = merged[-1] if merged else None
        if before and before.protocol == span.protocol and span.first <= before.last + 1:
            merged[-1] = before._replace(last=max(before.last, span.last))
        else:
            merged.append(span)
    return tuple(merged)


def _intersection(ones: _Spans, others: _Spans) -> _Spans:
    common = (
        _Span(one.protocol, max(one.first, other.first), min(one.last, other.last))
        for one, other in product(ones, others)
        if one.protocol == other.protocol
    )
    return _union(span for span in common if span.first <= span.last)


def _text(spans: _Spans) -> str:
    if spans == _EVERY_PORT:
        return "ALL"
    groups = groupby(spans, key=lambda span: span.protocol)
    return ", ".join(f"{protocol} {','.join(map(_interval, group))}" for protocol, group in groups)


def _interval(span: _Span) -> str:
    return str(span.first) if span.first == span.last else f"{span.first}-{span.last}"


# Evaluation.

_Address = IPv4Address | IPv6Address


@dataclass(frozen=True)
class _View:
    """A pod or a host as a rule sees it on one connection. A host has no namespace."""

    namespace: str | None
    namespace_labels: Mapping[str, str]
    labels: Mapping[str, str]
    ports: Mapping[str, tuple[str, int]]
    address: _Address | None

    @property
    def family(self) -> int | None:
        return self.address.version if self.address else None


def _views(end: Pod | Host, *, world: World, ip_blocks_match_pods: bool) -> tuple[_View, ...]:
    """One view for each address. Without an address that counts, one that no ipBlock matches."""
    if isinstance(end, Host):
        return (_View(None, {}, {}, {}, _address(end.ip, where=end.ref)),)
    labels = world.namespaces[end.namespace]
    ips = end.ips if ip_blocks_match_pods else ()
    addresses: list[_Address | None] = [_address(ip, where=end.ref) for ip in ips]
    return tuple(_View(end.namespace, labels, end.labels, end.ports, address) for address in addresses or [None])


def _routes(sources: Iterable[_View], destinations: Iterable[_View]) -> list[tuple[_View, _View]]:
    """A connection runs within one family: IPv4 egress and IPv6 ingress together open nothing.

    Ends that share no family (or tell no address) are judged all the same: routing is no matter of policy.
    """
    pairs = list(product(sources, destinations))
    return [pair for pair in pairs if pair[0].family == pair[1].family] or pairs


def _connection(policies: Sequence[_Policy], source: _View, destination: _View) -> _Spans:
    out = _opened(_isolating(policies, source, EGRESS), EGRESS, destination, destination)
    return _intersection(out, _opened(_isolating(policies, destination, INGRESS), INGRESS, source, destination))


def _opened(isolating: Sequence[_Policy], direction: str, peer: _View, destination: _View) -> _Spans:
    if not isolating:
        return _EVERY_PORT
    return _union(span for policy in isolating for span in policy.opens(direction, peer, destination))


def _verdict(policies: Sequence[_Policy], source: _View, destination: _View, span: _Span) -> Verdict:
    def side(subject: _View, direction: str, peer: _View) -> Side:
        isolating = _isolating(policies, subject, direction)
        allowing = [p for p in isolating if _intersection((span,), p.opens(direction, peer, destination))]
        return Side(isolating=tuple(p.ref for p in isolating), allowing=tuple(p.ref for p in allowing))

    return Verdict(egress=side(source, EGRESS, destination), ingress=side(destination, INGRESS, source))


def _isolating(policies: Sequence[_Policy], subject: _View, direction: str) -> list[_Policy]:
    return [policy for policy in policies if policy.isolates(subject, direction)]


# Policies as values. None is "no restriction"; an empty tuple never means all.


@dataclass(frozen=True)
class _Requirement:
    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        match self.operator:
            case "In":
                return labels.get(self.key) in self.values
            case "NotIn":
                return labels.get(self.key) not in self.values
            case "Exists":
                return self.key in labels
            case _:
                return self.key not in labels


_Selector = tuple[_Requirement, ...]


def _selects(selector: _Selector, labels: Mapping[str, str]) -> bool:
    return all(requirement.matches(labels) for requirement in selector)


@dataclass(frozen=True)
class _Pods:
    own_namespace: str
    namespaces: _Selector | None
    pods: _Selector

    def matches(self, peer: _View) -> bool:
        if peer.namespace is None:
            return False
        if self.namespaces is None:
            return peer.namespace == self.own_namespace and _selects(self.pods, peer.labels)
        return _selects(self.namespaces, peer.namespace_labels) and _selects(self.pods, peer.labels)


_Network = IPv4Network | IPv6Network


@dataclass(frozen=True)
class _Block:
    network: _Network
    excepted: tuple[_Network, ...]

    def matches(self, peer: _View) -> bool:
        if peer.address is None or peer.address not in self.network:
            return False
        return not any(peer.address in network for network in self.excepted)


@dataclass(frozen=True)
class _Port:
    span: _Span
    name: str = ""

    def on(self, destination: _View) -> _Spans:
        if not self.name:
            return (self.span,)
        protocol, number = destination.ports.get(self.name, ("", 0))
        return (_Span(protocol, number, number),) if protocol == self.span.protocol else ()


@dataclass(frozen=True)
class _Rule:
    peers: tuple[_Pods | _Block, ...] | None
    ports: tuple[_Port, ...] | None

    def opens(self, peer: _View, destination: _View) -> _Spans:
        if self.peers is not None and not any(mine.matches(peer) for mine in self.peers):
            return ()
        if self.ports is None:
            return _EVERY_PORT
        return _union(span for port in self.ports for span in port.on(destination))


@dataclass(frozen=True)
class _Policy:
    ref: str
    namespace: str
    selector: _Selector
    rules: Mapping[str, tuple[_Rule, ...]]  # only the directions of its policyTypes

    def isolates(self, subject: _View, direction: str) -> bool:
        if direction not in self.rules or subject.namespace != self.namespace:
            return False
        return _selects(self.selector, subject.labels)

    def opens(self, direction: str, peer: _View, destination: _View) -> _Spans:
        return _union(span for rule in self.rules[direction] for span in rule.opens(peer, destination))


# Reading policies. ``where`` is the path that a person is shown.


def _parse(policies: Iterable[Mapping[str, Any]], *, world: World) -> list[_Policy]:
    parsed = sorted(map(_read_policy, policies), key=lambda policy: policy.ref)
    _refuse_twins(f"NetworkPolicy {policy.ref}" for policy in parsed)
    for policy in parsed:
        if policy.namespace not in world.namespaces:
            raise _invalid(f"NetworkPolicy {policy.ref}", f"there is no namespace {policy.namespace!r}")
    return parsed


def _read_policy(body: Mapping[str, Any]) -> _Policy:
    _object(body, where="NetworkPolicy", fields="apiVersion kind metadata spec status")
    for key, value in (("apiVersion", "networking.k8s.io/v1"), ("kind", "NetworkPolicy")):
        if body.get(key, value) != value:
            raise _invalid(f"NetworkPolicy: {key}", f"must be {value}, not {body[key]!r}")
    metadata = _object(body.get("metadata"), where="NetworkPolicy: metadata")
    namespace = _string(metadata.get("namespace"), where="NetworkPolicy: metadata.namespace")
    name = _string(metadata.get("name"), where=f"NetworkPolicy in {namespace}: metadata.name")
    where = f"NetworkPolicy {namespace}/{name}: spec"
    spec = _object(body.get("spec"), where=where, fields="podSelector policyTypes ingress egress")
    rules = {direction: _read_rules(spec, direction, namespace, where) for direction in DIRECTIONS}
    return _Policy(
        ref=f"{namespace}/{name}",
        namespace=namespace,
        selector=_read_selector(spec.get("podSelector"), where=f"{where}.podSelector") or (),
        rules={direction: rules[direction] for direction in _read_types(spec, where)},
    )


def _read_types(spec: Mapping[str, Any], where: str) -> list[str]:
    types = [value for _, value in _items(spec, "policyTypes", where)]
    if wrong := [value for value in types if value not in DIRECTIONS]:
        raise _invalid(f"{where}.policyTypes", f"must be Ingress or Egress, not {wrong[0]!r}")
    return types or [INGRESS, *([EGRESS] if spec.get("egress") else [])]


def _read_rules(spec: Mapping[str, Any], direction: str, namespace: str, where: str) -> tuple[_Rule, ...]:
    peers_field = "from" if direction == INGRESS else "to"
    rules = []
    for path, body in _items(spec, direction.lower(), where):
        _object(body, where=path, fields=f"{peers_field} ports")
        peers = tuple(_read_peer(peer, namespace, at) for at, peer in _items(body, peers_field, path))
        ports = tuple(_read_port(port, at) for at, port in _items(body, "ports", path))
        rules.append(_Rule(peers=peers or None, ports=ports or None))
    return tuple(rules)


def _read_peer(body: Any, namespace: str, where: str) -> _Pods | _Block:
    _object(body, where=where, fields="podSelector namespaceSelector ipBlock")
    pods = _read_selector(body.get("podSelector"), where=f"{where}.podSelector")
    namespaces = _read_selector(body.get("namespaceSelector"), where=f"{where}.namespaceSelector")
    selects, block = not (pods is None and namespaces is None), body.get("ipBlock")
    if selects == (block is not None):
        raise _invalid(where, "must have either selectors or an ipBlock")
    if block is not None:
        return _read_block(block, where=f"{where}.ipBlock")
    return _Pods(own_namespace=namespace, namespaces=namespaces, pods=pods or ())


def _read_block(body: Any, *, where: str) -> _Block:
    _object(body, where=where, fields="cidr except")
    network = _cidr(body.get("cidr"), where=f"{where}.cidr")
    excepted = []
    for path, text in _items(body, "except", where):
        inner = _cidr(text, where=path)
        if inner.prefixlen <= network.prefixlen or inner.network_address not in network:
            raise _invalid(path, f"{text} must be a strict part of {network}")
        excepted.append(inner)
    return _Block(network=network, excepted=tuple(excepted))


def _read_port(body: Any, where: str) -> _Port:
    _object(body, where=where, fields="protocol port endPort")
    protocol, port, end = (body.get(key) for key in ("protocol", "port", "endPort"))
    span = _Span("TCP" if protocol is None else _protocol(protocol, where=f"{where}.protocol"))
    if end is not None and (port is None or isinstance(port, str)):
        raise _invalid(f"{where}.endPort", "needs a port that is a number")
    if port is None:
        return _Port(span)
    if isinstance(port, str):
        if not _PORT_NAME.fullmatch(port):
            raise _invalid(f"{where}.port", f"{port!r} is no port name")
        return _Port(span, name=port)
    first = _number(port, where=f"{where}.port")
    last = first if end is None else _number(end, where=f"{where}.endPort")
    if last < first:
        raise _invalid(f"{where}.endPort", f"{last} is below port {first}")
    return _Port(span._replace(first=first, last=last))


def _read_selector(body: Any, *, where: str) -> _Selector | None:
    if body is None:
        return None
    _object(body, where=where, fields="matchLabels matchExpressions")
    labels = body.get("matchLabels")
    entries = [
        {"key": key, "operator": "In", "values": [value]}
        for key, value in _object({} if labels is None else labels, where=f"{where}.matchLabels").items()
    ]
    equal = (_read_requirement(entry, f"{where}.matchLabels") for entry in entries)
    return (*equal, *(_read_requirement(entry, at) for at, entry in _items(body, "matchExpressions", where)))


def _read_requirement(body: Any, where: str) -> _Requirement:
    _object(body, where=where, fields="key operator values")
    key, operator = _string(body.get("key"), where=f"{where}.key"), body.get("operator")
    values = tuple(_string(value, where=path, empty=True) for path, value in _items(body, "values", where))
    if operator not in ("In", "NotIn", "Exists", "DoesNotExist"):
        raise _invalid(f"{where}.operator", f"must be In, NotIn, Exists or DoesNotExist, not {operator!r}")
    if (operator in ("In", "NotIn")) != bool(values):
        raise _invalid(f"{where}.values", f"{operator} {'must have none' if values else 'needs at least one'}")
    return _Requirement(key, operator, values)


def _refuse_twins(refs: Iterable[str]) -> None:
    for ref, group in groupby(sorted(refs)):
        if len(list(group)) > 1:
            raise _invalid(ref, "there is more than one of this name")


def _object(value: Any, *, where: str, fields: str | None = None) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _invalid(where, f"must be an object, not {value!r}")
    if fields is not None and (unknown := sorted(set(map(str, value)) - set(fields.split()))):
        raise _invalid(where, f"unknown field {unknown[0]!r}")
    return value


def _items(body: Mapping[str, Any], name: str, where: str) -> list[tuple[str, Any]]:
    """The entries of a list with the path of each. Absent, null and empty are the same thing to the API."""
    value = body.get(name)
    if value is not None and not isinstance(value, list | tuple):
        raise _invalid(f"{where}.{name}", f"must be a list, not {value!r}")
    return [(f"{where}.{name}[{index}]", entry) for index, entry in enumerate(value or ())]


def _string(value: Any, *, where: str, empty: bool = False) -> str:
    if not isinstance(value, str) or not (value or empty):
        raise _invalid(where, f"must be a string, not {value!r}")
    return value


def _protocol(value: Any, *, where: str) -> str:
    if value not in PROTOCOLS:
        raise _invalid(where, f"must be TCP, UDP or SCTP, not {value!r}")
    return str(value)


def _number(value: Any, *, where: str) -> int:
    # bool is an int to Python, and YAML writes true easily.
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_PORT:
        raise _invalid(where, f"must be 1..{MAX_PORT}, not {value!r}")
    return value


def _address(value: str, *, where: str) -> _Address:
    try:
        return ip_address(value)
    except ValueError as error:
        raise _invalid(where, f"{value!r} is no IP address") from error


def _cidr(value: Any, *, where: str) -> _Network:
    # Python's reader takes more than the API does: bare addresses, netmasks, zones, numbers.
    if not _CIDR.fullmatch(_string(value, where=where)):
        raise _invalid(where, f"{value!r} is no CIDR")
    try:
        network = ip_network(value, strict=False)
    except ValueError as error:
        raise _invalid(where, f"{value!r} is no CIDR") from error
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped:
        raise _invalid(where, f"{value!r} is IPv4 written as IPv6")
    return network


def _invalid(where: str, problem: str) -> ValueError:
    return ValueError(f"{where}: {problem}")
