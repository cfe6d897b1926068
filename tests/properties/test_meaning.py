"""What written policies mean: exactly what the flows say, judged by a second reading of both.

The evaluator reads the policies and knows nothing of the compiler; ``_Says`` reads the flows and knows nothing of
either. They must agree on every connection of a small world.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from appconnectivity.core.reachability import Host, Pod, World, allowed, connections
from builders import compile_, facts, flow, obj, peer
from strategies import flows as any_flows
from strategies import headers

NAMESPACES = {"shop": {"team": "red"}, "data": {"team": "red"}, "ops": {"team": "blue"}, "kube-system": {}}
WEB = {"web": ("TCP", 8080)}
WORLD = World(
    namespaces=NAMESPACES,
    pods=(
        Pod("shop", "a", {"app": "a"}, ("10.0.1.1",), WEB),
        Pod("shop", "b", {"app": "b", "tier": "web"}, ("10.0.1.2",), {"web": ("TCP", 443)}),
        Pod("shop", "c", {"app": "c", "tier": ""}, ("10.0.3.3",)),
        Pod("shop", "bare", {}, ("10.0.3.4",), WEB),
        Pod("data", "a", {"app": "a", "tier": "web"}, ("10.0.2.1",), WEB),
        Pod("ops", "b", {"app": "b"}, ("10.0.4.1",), WEB),
        Pod("kube-system", "coredns", {"k8s-app": "kube-dns"}, ("10.0.5.1",)),
    ),
    hosts=(Host("good", "203.0.113.8"), Host("bad", "203.0.113.7"), Host("six", "2001:db8::7")),
)
PROBES = (
    ("TCP", 80),
    ("TCP", 443),
    ("TCP", 8050),
    ("TCP", 8080),
    ("TCP", 9999),
    ("UDP", 53),
    ("TCP", 53),
    ("SCTP", 80),
)
PAIRS = [
    (source, target)
    for source, target in product(WORLD.ends, repeat=2)
    if source != target and not (isinstance(source, Host) and isinstance(target, Host))
]
FACTS = facts(labels=NAMESPACES["shop"], peers={name: peer(name=name) for name in ("data", "ops")})

# Services are looked up, which test_services tells; here the flows' own words are held against the policies.
flows = any_flows.filter(lambda body: "service" not in body["to"])
lists_of_flows = st.lists(flows, max_size=4)

Connection = tuple[str, str, str, int]


def policies_of(*bodies: Any) -> list[Any]:
    return [policy.to_dict() for policy in compile_(*bodies, facts=FACTS).policies]


def opened(*bodies: Any) -> set[Connection]:
    """Every probe that gets through, by the evaluator."""
    lines = dict(line.split(" : ") for line in connections(WORLD, policies_of(*bodies)))
    return {
        (source.ref, target.ref, protocol, port)
        for source, target in PAIRS
        for protocol, port in PROBES
        if _holds(lines.get(f"{source.ref} -> {target.ref}", ""), protocol, port)
    }


def _holds(text: str, protocol: str, port: int) -> bool:
    if text == "ALL":
        return True
    for part in text.split(", "):
        if part.startswith(f"{protocol} "):
            spans = (span.split("-") for span in part.removeprefix(f"{protocol} ").split(","))
            return any(int(span[0]) <= port <= int(span[-1]) for span in spans)
    return False


@dataclass(frozen=True)
class _Says:
    """What an object says, word by word."""

    spec: Any

    def is_open(self, source: Pod | Host, target: Pod | Host, protocol: str, port: int) -> bool:
        types = self.spec.get("policyTypes", ["Ingress", "Egress"])
        out = _in_shop(source) and "Egress" in types
        into = _in_shop(target) and "Ingress" in types
        said = [f for f in self.spec["flows"] if self._says(f, source, target, protocol, port)]
        return (not out or self._dns(target, protocol, port) or any(_is_local(f["from"]) for f in said)) and (
            not into or any(_is_local(f["to"]) for f in said)
        )

    def _dns(self, target: Pod | Host, protocol: str, port: int) -> bool:
        is_asked = self.spec.get("dns", "Cluster") == "Cluster"
        return is_asked and target.ref == "kube-system/coredns" and protocol in ("TCP", "UDP") and port == 53

    def _says(self, body: Any, source: Pod | Host, target: Pod | Host, protocol: str, port: int) -> bool:
        label = self.spec.get("appLabel", "app")
        return (
            body.get("expirationTime", "9") > "2026-06-01T12:00:00Z"
            and _is_end(body["from"], source, label)
            and _is_end(body["to"], target, label)
            and any(_is_port(entry, target, protocol, port) for entry in body["ports"])
        )


def _in_shop(end: Pod | Host) -> bool:
    return isinstance(end, Pod) and end.namespace == "shop"


def _is_local(end: Any) -> bool:
    return not end.keys() & {"ipBlocks", "entity", "namespaceSelector"} and end.get("namespace", "shop") == "shop"


def _is_end(end: Any, subject: Pod | Host, label: str) -> bool:
    if end.get("entity") == "Any":
        return True
    if "entity" in end:
        return isinstance(subject, Pod) is (end["entity"] == "Cluster")
    if "ipBlocks" in end:
        address = ipaddress.ip_address(subject.ip if isinstance(subject, Host) else subject.ips[0])
        return any(_in_block(address, block) for block in end["ipBlocks"])
    if isinstance(subject, Host):
        return False
    if "namespaceSelector" in end:
        is_there = NAMESPACES[subject.namespace].get("team") == end["namespaceSelector"]["matchLabels"]["team"]
    else:
        is_there = subject.namespace == end.get("namespace", "shop")
    wanted = {"matchLabels": {label: end["app"]}} if "app" in end else end.get("podSelector", {})
    return is_there and _is_selected(wanted, subject.labels)


def _in_block(address: Any, block: Any) -> bool:
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


def _is_port(entry: Any, target: Pod | Host, protocol: str, port: int) -> bool:
    if entry == "*":
        return True
    number, _, named = str(entry).partition("/")
    if number == "web":
        return isinstance(target, Pod) and target.ports.get("web") == (protocol, port)
    first, _, last = number.partition("-")
    return protocol == (named or "TCP") and int(first) <= port <= int(last or first)


def said(body: Any) -> set[Connection]:
    says = _Says(body["spec"])
    return {
        (source.ref, target.ref, protocol, port)
        for source, target in PAIRS
        for protocol, port in PROBES
        if says.is_open(source, target, protocol, port)
    }


namespace_headers = headers.map(lambda found: found | {"defaultDeny": "Namespace", "mode": "Enforce"})


@settings(max_examples=150, deadline=None)
@given(lists_of_flows, namespace_headers)
def test_policies_open_exactly_what_the_flows_say(found: list[Any], header: Any) -> None:
    body = obj(*found, **header)

    assert opened(body) == said(body)


@settings(max_examples=60, deadline=None)
@given(lists_of_flows, flows, namespace_headers)
def test_one_more_flow_never_closes_anything_and_one_less_never_opens(found: list[Any], one: Any, header: Any) -> None:
    assert opened(obj(*found, **header)) <= opened(obj(*found, one, **header))


@settings(max_examples=60, deadline=None)
@given(lists_of_flows, lists_of_flows)
def test_two_objects_together_allow_the_union(ones: list[Any], others: list[Any]) -> None:
    one, other = obj(*ones, name="one"), obj(*others, name="other")

    assert opened(one) | opened(other) <= opened(one, other)


@settings(max_examples=60, deadline=None)
@given(lists_of_flows, lists_of_flows)
def test_two_objects_together_mean_what_one_with_all_their_flows_means(ones: list[Any], others: list[Any]) -> None:
    assert opened(obj(*ones, name="one"), obj(*others, name="other")) == opened(obj(*ones, *others))


@settings(max_examples=60, deadline=None)
@given(lists_of_flows, headers.map(lambda found: found | {"defaultDeny": "Endpoints", "mode": "Enforce"}))
def test_pods_that_no_flow_names_stay_as_they_are_with_endpoints(found: list[Any], header: Any) -> None:
    """And every pod that a flow names is as closed as with the whole namespace closed."""
    label = header.get("appLabel", "app")
    named = {
        pod.ref
        for pod in WORLD.pods
        for body in found
        for end in (body["from"], body["to"])
        if _in_shop(pod) and _is_local(end) and _is_end(end, pod, label)
    }
    closed = said(obj(*found, **header | {"defaultDeny": "Namespace"}))
    # Both ends must be ones that are judged alike in both forms: named, or outside the namespace.
    alike = {end.ref for end in WORLD.ends if end.ref in named or not _in_shop(end)}
    bare = {end.ref for end in WORLD.ends if end.ref not in named}
    live = opened(obj(*found, **header))

    assert {c for c in live if {c[0], c[1]} <= alike} == {c for c in closed if {c[0], c[1]} <= alike}
    assert len({c[:2] for c in live if {c[0], c[1]} <= bare}) == sum({s.ref, t.ref} <= bare for s, t in PAIRS)


@settings(max_examples=60, deadline=None)
@given(lists_of_flows, headers.map(lambda found: found | {"mode": "Enforce"}))
def test_whatever_the_deny_a_declared_flow_is_open(found: list[Any], header: Any) -> None:
    """What a flow says is never closed by the way in which the rest is closed."""
    declared = said(obj(*found, **header | {"policyTypes": ["Ingress", "Egress"]}))

    assert declared <= opened(obj(*found, **header))


@settings(max_examples=60, deadline=None)
@given(lists_of_flows, headers.map(lambda found: found | {"mode": "Enforce", "dns": "Cluster"}))
def test_no_pod_loses_its_dns(found: list[Any], header: Any) -> None:
    """Whoever gets isolated in egress, by whatever policy of ours, can still resolve names."""
    policies = policies_of(obj(*found, **header))
    coredns = next(pod for pod in WORLD.pods if pod.name == "coredns")

    assert all(allowed(WORLD, policies, pod, coredns, "UDP", 53).allowed for pod in WORLD.pods if _in_shop(pod))


@settings(max_examples=60, deadline=None)
@given(lists_of_flows, headers)
def test_connections_outside_the_namespace_are_never_touched(found: list[Any], header: Any) -> None:
    outside = {end.ref for end in WORLD.ends if not _in_shop(end)}
    untouched = sum({source.ref, target.ref} <= outside for source, target in PAIRS) * len(PROBES)

    assert sum({c[0], c[1]} <= outside for c in opened(obj(*found, **header))) == untouched


def test_the_two_readings_can_disagree() -> None:
    """The oracle is no echo: another port is another answer."""
    assert opened(obj(flow("a", "b", 80))) != said(obj(flow("a", "b", 443)))
