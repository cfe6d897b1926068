"""What one NetworkPolicy isolates and opens, as values: ports as sets, selectors, peers and rules.

None is "no restriction"; an empty tuple never means all. A part of ``reachability``: it imports nothing of the package.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from itertools import groupby, product
from typing import NamedTuple

PROTOCOLS = ("SCTP", "TCP", "UDP")
MAX_PORT = 65535

INGRESS, EGRESS = "Ingress", "Egress"
DIRECTIONS = (INGRESS, EGRESS)


class Span(NamedTuple):
    """Ports of one protocol, from first to last."""

    protocol: str
    first: int = 1
    last: int = MAX_PORT


Spans = tuple[Span, ...]
EVERY_PORT: Spans = tuple(map(Span, PROTOCOLS))


def union(spans: Iterable[Span]) -> Spans:
    merged: list[Span] = []
    for span in sorted(spans):
        before = merged[-1] if merged else None
        if before and before.protocol == span.protocol and span.first <= before.last + 1:
            merged[-1] = before._replace(last=max(before.last, span.last))
        else:
            merged.append(span)
    return tuple(merged)


def intersection(ones: Spans, others: Spans) -> Spans:
    common = (
        Span(one.protocol, max(one.first, other.first), min(one.last, other.last))
        for one, other in product(ones, others)
        if one.protocol == other.protocol
    )
    return union(span for span in common if span.first <= span.last)


def span_text(spans: Spans) -> str:
    if spans == EVERY_PORT:
        return "ALL"
    groups = groupby(spans, key=lambda span: span.protocol)
    return ", ".join(f"{protocol} {','.join(map(_interval, group))}" for protocol, group in groups)


def _interval(span: Span) -> str:
    return str(span.first) if span.first == span.last else f"{span.first}-{span.last}"


Address = IPv4Address | IPv6Address


@dataclass(frozen=True)
class View:
    """A pod or a host as a rule sees it on one connection. A host has no namespace."""

    namespace: str | None
    namespace_labels: Mapping[str, str]
    labels: Mapping[str, str]
    ports: Mapping[str, tuple[str, int]]
    address: Address | None

    @property
    def family(self) -> int | None:
        return self.address.version if self.address else None


@dataclass(frozen=True)
class Requirement:
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


Selector = tuple[Requirement, ...]


def selects(selector: Selector, labels: Mapping[str, str]) -> bool:
    return all(requirement.matches(labels) for requirement in selector)


@dataclass(frozen=True)
class Pods:
    own_namespace: str
    namespaces: Selector | None
    pods: Selector

    def matches(self, peer: View) -> bool:
        if peer.namespace is None:
            return False
        if self.namespaces is None:
            return peer.namespace == self.own_namespace and selects(self.pods, peer.labels)
        return selects(self.namespaces, peer.namespace_labels) and selects(self.pods, peer.labels)


Network = IPv4Network | IPv6Network


@dataclass(frozen=True)
class Block:
    network: Network
    excepted: tuple[Network, ...]

    def matches(self, peer: View) -> bool:
        if peer.address is None or peer.address not in self.network:
            return False
        return not any(peer.address in network for network in self.excepted)


@dataclass(frozen=True)
class Port:
    span: Span
    name: str = ""

    def on(self, destination: View) -> Spans:
        if not self.name:
            return (self.span,)
        protocol, number = destination.ports.get(self.name, ("", 0))
        return (Span(protocol, number, number),) if protocol == self.span.protocol else ()


@dataclass(frozen=True)
class Rule:
    peers: tuple[Pods | Block, ...] | None
    ports: tuple[Port, ...] | None

    def opens(self, peer: View, destination: View) -> Spans:
        if self.peers is not None and not any(mine.matches(peer) for mine in self.peers):
            return ()
        if self.ports is None:
            return EVERY_PORT
        return union(span for port in self.ports for span in port.on(destination))


@dataclass(frozen=True)
class Policy:
    ref: str
    namespace: str
    selector: Selector
    rules: Mapping[str, tuple[Rule, ...]]  # only the directions of its policyTypes

    def isolates(self, subject: View, direction: str) -> bool:
        if direction not in self.rules or subject.namespace != self.namespace:
            return False
        return selects(self.selector, subject.labels)

    def opens(self, direction: str, peer: View, destination: View) -> Spans:
        return union(span for rule in self.rules[direction] for span in rule.opens(peer, destination))
