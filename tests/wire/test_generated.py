"""Drawn objects on the wire: the policies compiled for them let packets through exactly where the objects say so.

The policies are applied as they were compiled, without the operator: what it does on an API server is told by the
other tests here and by tests/e2e.
"""

from __future__ import annotations

from typing import Any

import pytest

from appconnectivity.core.reachability import Host, Pod, World
from cluster.wire import truth
from cluster.wire.lab import WireLab
from cluster.wire.traffic import Knock
from oracle.sample import sample
from wire.scene import Body

COUNT, DRAWN, SEED = 10, 40, 7
SAMPLE = sample(DRAWN, seed_=SEED)


def has_port_names(case: Body) -> bool:
    """This enforcer does not get names right, as docs/verification-enforcer.md tells: tests/oracle judges those."""
    specs = (policy["spec"] for policy in case["policies"])
    rules = (rule for spec in specs for rule in (*spec.get("ingress", ()), *spec.get("egress", ())))
    return any(isinstance(port["port"], str) for rule in rules for port in rule.get("ports", ()))


CASES = [case for case in SAMPLE["cases"] if case["policies"] and not has_port_names(case)][:COUNT]


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_a_drawn_object_lets_through_what_it_says_and_nothing_else(case: Body, lab: WireLab) -> None:
    world = _world()
    lab.build(world, ports=sorted({port for _, port in SAMPLE["probes"]}))
    lab.apply(*(_bare(policy) for policy in case["policies"]))
    lab.settle()
    wanted = _wanted(world, {tuple(connection) for connection in case["open"]})

    assert _doors(truth.observe(lab, wanted).open) == _doors(wanted.open), case["object"]["spec"]


def test_there_are_as_many_cases_as_there_should_be() -> None:
    assert len(CASES) == COUNT


def _world() -> World:
    plain = SAMPLE["world"]
    pods = tuple(Pod(**pod) for pod in plain["pods"])
    return World(plain["namespaces"], pods, tuple(Host(**host) for host in plain["hosts"]))


def _bare(policy: Body) -> Body:
    """Without owner: the object does not exist, so that the garbage collector would take the policy away."""
    metadata = {key: policy["metadata"][key] for key in ("name", "namespace")}
    return policy | {"metadata": metadata}


def _wanted(world: World, connections: set[Any]) -> truth.Table:
    """What is open says nothing of families: a pair with two of them may be open in one."""
    wanted = truth.expected(world, (), ports=sorted({port for _, port in SAMPLE["probes"]}))
    asked = {tuple(probe) for probe in SAMPLE["probes"]}
    probes = frozenset(probe for probe in wanted.probes if (probe.protocol, probe.port) in asked)
    return truth.Table(probes=probes, open=frozenset(probe for probe in probes if _door(probe) in connections))


def _doors(knocks: frozenset[Knock]) -> set[tuple[str, str, str, int]]:
    return {_door(knock) for knock in knocks}


def _door(knock: Knock) -> tuple[str, str, str, int]:
    return knock.source, knock.target, knock.protocol, knock.port
