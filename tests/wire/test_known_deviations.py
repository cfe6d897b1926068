"""Where this enforcer (kube-router v2.6.3-k3s1) departs from the NetworkPolicy API, on policies written by hand.

These tests assert what is WRONG. One that fails means good news: the enforcer was mended there; take it out here and in
docs/verification-enforcer.md. That the compiler writes nothing of the kind is in tests/properties/test_compiler.py.
"""

from __future__ import annotations

from typing import Any

from appconnectivity.core.reachability import Host, Pod, World, connections
from cluster.wire import truth
from cluster.wire.ends import End
from cluster.wire.lab import NODE_IPS, WireLab
from cluster.wire.traffic import Knock
from wire.scene import app, stage, world_of

Spec = dict[str, Any]
Doors = set[tuple[str, str, int]]
FROM_CLIENT = [{"podSelector": {"matchLabels": {"app": "client"}}}]


def departures(lab: WireLab, world: World, *specs: Spec, ports: tuple[int, ...]) -> tuple[Doors, Doors]:
    """TCP doors that are open and should not be, and shut and should not be; right is what our evaluator reads."""
    policies = [_policy(f"by-hand-{number}", spec) for number, spec in enumerate(specs)]
    scene = stage(lab, world, ports=ports)
    lab.apply(*policies)
    lab.settle()
    wanted = truth.expected(world, connections(world, policies), ports=scene.ports)
    found = lab.knock(wanted.probes)  # a second look may find another order, and no fault in it
    return _tcp(found - wanted.open), _tcp(wanted.open - found)


def _policy(name: str, spec: Spec) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "shop"}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec}


def _tcp(knocks: frozenset[Knock]) -> Doors:
    return {(knock.source, knock.target, knock.port) for knock in knocks if knock.protocol == "TCP"}


def test_rules_of_one_direction_open_the_other_where_one_policy_has_both(lab: WireLab) -> None:
    """The policy lets client in, but nobody out. Both pods are its own, and its ingress rule lets client out too."""
    both = {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": FROM_CLIENT, "ports": [{"port": 8080, "protocol": "TCP"}]}],
    }
    world = world_of({"shop": {}}, app("shop/client", "shop/api"))

    wrongly_open, wrongly_shut = departures(lab, world, both, ports=(8080, 9999))
    assert (wrongly_open, wrongly_shut) == ({("shop/client", "shop/api", 8080)}, set())


def test_the_same_rules_in_policies_of_one_direction_each_are_right(lab: WireLab) -> None:
    into = {
        "podSelector": {},
        "policyTypes": ["Ingress"],
        "ingress": [{"from": FROM_CLIENT, "ports": [{"port": 8080, "protocol": "TCP"}]}],
    }
    out = {"podSelector": {}, "policyTypes": ["Egress"]}
    world = world_of({"shop": {}}, app("shop/client", "shop/api"))

    assert departures(lab, world, into, out, ports=(8080, 9999)) == (set(), set())


def test_a_port_name_that_no_pod_has_opens_every_port(lab: WireLab) -> None:
    named = {
        "podSelector": {"matchLabels": {"app": "api"}},
        "policyTypes": ["Ingress"],
        "ingress": [{"from": FROM_CLIENT, "ports": [{"port": "nowhere", "protocol": "TCP"}]}],
    }
    world = world_of({"shop": {}}, app("shop/client", "shop/api", "shop/other"))

    wrongly_open, wrongly_shut = departures(lab, world, named, ports=(8080, 9999))
    assert wrongly_open == {("shop/client", "shop/api", 8080), ("shop/client", "shop/api", 9999)}
    assert wrongly_shut == set()


OUTSIDE = {"before": "203.0.113.1", "cut": "203.0.113.7"}


def test_an_exception_cuts_into_the_other_blocks_of_its_rule(lab: WireLab) -> None:
    blocks = [{"cidr": "203.0.113.0/24", "except": ["203.0.113.4/30"]}, {"cidr": "203.0.113.0/28"}]
    out = {
        "podSelector": {"matchLabels": {"app": "api"}},
        "policyTypes": ["Egress"],
        "egress": [{"to": [{"ipBlock": block} for block in blocks]}],
    }
    world = world_of({"shop": {}}, app("shop/api"), hosts=OUTSIDE)

    wrongly_open, wrongly_shut = departures(lab, world, out, ports=(443,))
    assert (wrongly_open, wrongly_shut) == (set(), {("shop/api", "host:cut", 443)})


def test_the_same_blocks_in_rules_of_their_own_are_right(lab: WireLab) -> None:
    blocks = [{"cidr": "203.0.113.0/24", "except": ["203.0.113.4/30"]}, {"cidr": "203.0.113.0/28"}]
    out = {
        "podSelector": {"matchLabels": {"app": "api"}},
        "policyTypes": ["Egress"],
        "egress": [{"to": [{"ipBlock": block}]} for block in blocks],
    }

    assert departures(lab, world_of({"shop": {}}, app("shop/api"), hosts=OUTSIDE), out, ports=(443,)) == (set(), set())


def test_a_port_name_to_everybody_is_its_number_in_the_own_namespace_to_everybody(lab: WireLab) -> None:
    pods = (
        Pod("shop", "client", {"app": "client"}, ("10.244.1.1",)),
        Pod("shop", "api", {"app": "api"}, ("10.244.1.2",), {"web": ("TCP", 8080)}),
        Pod("shop", "nameless", {"app": "nameless"}, ("10.244.1.3",)),
        Pod("ops", "api", {"app": "api"}, ("10.244.1.4",), {"web": ("TCP", 9090)}),
    )
    world = World({"shop": {}, "ops": {}}, pods, (Host("outside", "203.0.113.7"),))
    out = {
        "podSelector": {"matchLabels": {"app": "client"}},
        "policyTypes": ["Egress"],
        "egress": [{"ports": [{"port": "web", "protocol": "TCP"}]}],
    }

    wrongly_open, wrongly_shut = departures(lab, world, out, ports=(8080, 9090))
    assert wrongly_open == {("shop/client", to, 8080) for to in ("shop/nameless", "ops/api", "host:outside")}
    assert wrongly_shut == {("shop/client", "ops/api", 9090)}


def test_the_nodes_own_ports_in_the_node_port_range_are_open_to_every_pod(lab: WireLab) -> None:
    world = world_of({"shop": {}}, app("shop/api"))
    scene = stage(lab, world, ports=(8080,))
    lab.traffic.serve([End("node", NODE_IPS[:1], lab.node)], ports=(29999, 30000))
    lab.apply(_policy("deny", {"podSelector": {}, "policyTypes": ["Egress"]}))
    lab.settle()
    scene.prove()
    doors = [Knock("shop/api", "node", NODE_IPS[0], "TCP", port) for port in (29999, 30000)]

    try:
        assert {door.port for door in lab.knock(doors)} == {30000}
    finally:
        lab.traffic.forget(["node"])


SIXES = {"global": "2001:db8::7", "unassigned": "4000::7", "unique-local": "fd00:99::7", "private": "fc00::7"}


def test_all_of_ipv6_is_taken_for_a_part_of_it(lab: WireLab) -> None:
    out = _to_all_of_ipv6()
    world = world_of({"shop": {}}, app("shop/api"), hosts=SIXES, dual=True)

    wrongly_open, wrongly_shut = departures(lab, world, out, ports=(443,))
    assert wrongly_open == set()
    assert wrongly_shut == {("shop/api", "host:unassigned", 443), ("shop/api", "host:private", 443)}


def test_unique_local_addresses_are_in_all_of_ipv6_even_where_they_are_excepted(lab: WireLab) -> None:
    out = _to_all_of_ipv6("fc00::/7")
    world = world_of({"shop": {}}, app("shop/api"), hosts=SIXES, dual=True)

    wrongly_open, wrongly_shut = departures(lab, world, out, ports=(443,))
    assert wrongly_open == {("shop/api", "host:unique-local", 443)}
    assert wrongly_shut == {("shop/api", "host:unassigned", 443)}


def _to_all_of_ipv6(*excepted: str) -> Spec:
    block = {"cidr": "::/0"} | ({"except": [*excepted]} if excepted else {})
    return {
        "podSelector": {"matchLabels": {"app": "api"}},
        "policyTypes": ["Egress"],
        "egress": [{"to": [{"ipBlock": block}]}],
    }
