"""What networking.k8s.io/v1 NetworkPolicies mean: who reaches whom, on which ports, computed exactly.

Written from the API's text alone. With ``reading`` and ``rules``, on which it stands, it imports nothing else of the
package, so that it can be a second opinion on the compiler. It judges NetworkPolicy and nothing else: no routes, no
listening processes, no node traffic, no pods on the host network (which NetworkPolicy can't select).

``ip_blocks_match_pods``: the API means ``ipBlock`` for addresses outside the cluster and leaves pods open. The
default is True: upstream's end-to-end tests aim ipBlocks at pods, most network plugins match them, and it shows the
wider, so the more careful, picture. Plugins that know pods by identity (Cilium) behave as False.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from appconnectivity.core.reading import (
    invalid,
    read_address,
    read_number,
    read_policies,
    read_protocol,
    refuse_twins,
)
from appconnectivity.core.rules import (
    EGRESS,
    EVERY_PORT,
    INGRESS,
    Address,
    Policy,
    Span,
    Spans,
    View,
    intersection,
    span_text,
    union,
)

NAMESPACE_NAME_LABEL = "kubernetes.io/metadata.name"


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
        refuse_twins(end.ref for end in self.ends)
        for end in self.ends:
            self._check(end)

    @property
    def ends(self) -> tuple[Pod | Host, ...]:
        return (*self.pods, *self.hosts)

    def _check(self, end: Pod | Host) -> None:
        ips = (end.ip,) if isinstance(end, Host) else end.ips
        for ip in ips:
            read_address(ip, where=end.ref)
        if isinstance(end, Host):
            return
        if end.namespace not in self.namespaces:
            raise invalid(end.ref, f"there is no namespace {end.namespace!r}")
        for name, (protocol, number) in end.ports.items():
            read_protocol(protocol, where=f"{end.ref}: port {name}")
            read_number(number, where=f"{end.ref}: port {name}")


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
    span = Span(read_protocol(protocol, where="protocol"), read_number(port, where="port"), port)
    parsed = read_policies(policies, namespaces=world.namespaces)
    for end in (source, destination):
        if end not in world.ends:
            raise invalid(end.ref, "not in the world")
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
    parsed = read_policies(policies, namespaces=world.namespaces)
    views = {end.ref: _views(end, world=world, ip_blocks_match_pods=ip_blocks_match_pods) for end in world.ends}
    lines = []
    for source, destination in product(world.ends, repeat=2):
        outside = isinstance(source, Host) and isinstance(destination, Host)
        if outside or source.ref == destination.ref:
            continue
        routes = _routes(views[source.ref], views[destination.ref])
        if spans := union(span for route in routes for span in _connection(parsed, *route)):
            lines.append(f"{source.ref} -> {destination.ref} : {span_text(spans)}")
    return tuple(sorted(lines))


# Evaluation.


def _views(end: Pod | Host, *, world: World, ip_blocks_match_pods: bool) -> tuple[View, ...]:
    """One view for each address. Without an address that counts, one that no ipBlock matches."""
    if isinstance(end, Host):
        return (View(None, {}, {}, {}, read_address(end.ip, where=end.ref)),)
    labels = world.namespaces[end.namespace]
    ips = end.ips if ip_blocks_match_pods else ()
    addresses: list[Address | None] = [read_address(ip, where=end.ref) for ip in ips]
    return tuple(View(end.namespace, labels, end.labels, end.ports, address) for address in addresses or [None])


def _routes(sources: Iterable[View], destinations: Iterable[View]) -> list[tuple[View, View]]:
    """A connection runs within one family: IPv4 egress and IPv6 ingress together open nothing.

    Ends that share no family (or tell no address) are judged all the same: routing is no matter of policy.
    """
    pairs = list(product(sources, destinations))
    return [pair for pair in pairs if pair[0].family == pair[1].family] or pairs


def _connection(policies: Sequence[Policy], source: View, destination: View) -> Spans:
    out = _opened(_isolating(policies, source, EGRESS), EGRESS, destination, destination)
    return intersection(out, _opened(_isolating(policies, destination, INGRESS), INGRESS, source, destination))


def _opened(isolating: Sequence[Policy], direction: str, peer: View, destination: View) -> Spans:
    if not isolating:
        return EVERY_PORT
    return union(span for policy in isolating for span in policy.opens(direction, peer, destination))


def _verdict(policies: Sequence[Policy], source: View, destination: View, span: Span) -> Verdict:
    def side(subject: View, direction: str, peer: View) -> Side:
        isolating = _isolating(policies, subject, direction)
        allowing = [p for p in isolating if intersection((span,), p.opens(direction, peer, destination))]
        return Side(isolating=tuple(p.ref for p in isolating), allowing=tuple(p.ref for p in allowing))

    return Verdict(egress=side(source, EGRESS, destination), ingress=side(destination, INGRESS, source))


def _isolating(policies: Sequence[Policy], subject: View, direction: str) -> list[Policy]:
    return [policy for policy in policies if policy.isolates(subject, direction)]
