"""Drawn objects on the wire: the policies compiled for them let packets through exactly where the objects say so.

The policies are applied as they were compiled, without the operator: what it does on an API server is told by the
other tests here and by tests/e2e.
"""

from __future__ import annotations

from collections import Counter

import pytest

from appconnectivity.core.reachability import Host, Pod, World
from cluster.wire import truth
from cluster.wire.lab import WireLab
from cluster.wire.traffic import Knock
from oracle.sample import sample
from wire.scene import Body

COUNT, DRAWN, SEED = 8, 150, 7
SAMPLE = sample(DRAWN, seed_=SEED)


def has_port_names(case: Body) -> bool:
    """This enforcer does not get names right, as docs/verification-enforcer.md tells: tests/oracle judges those."""
    specs = (policy["spec"] for policy in case["policies"])
    rules = (rule for spec in specs for rule in (*spec.get("ingress", ()), *spec.get("egress", ())))
    return any(isinstance(port["port"], str) for rule in rules for port in rule.get("ports", ()))


def narrowly_open(case: Body) -> int:
    """The open doors between ends that have shut ones as well: those that are open because the object says so."""
    doors = Counter(tuple(ends) for *ends, _, _ in case["open"])
    return sum(count for count in doors.values() if count < len(SAMPLE["probes"]))


def chosen() -> list[Body]:
    """Of each kind of object (deny, directions, DNS) the one that opens most, and of these the first few."""
    best: dict[str, Body] = {}
    for case in SAMPLE["cases"]:
        if case["policies"] and not has_port_names(case):
            header = str({key: value for key, value in case["object"]["spec"].items() if key != "flows"})
            best[header] = max(best.get(header, case), case, key=narrowly_open)
    return sorted(best.values(), key=narrowly_open, reverse=True)[:COUNT]


CASES = chosen()


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_a_drawn_object_lets_through_what_it_says_and_nothing_else(case: Body, lab: WireLab) -> None:
    world = _world()
    lab.build(world, ports=sorted({port for _, port in SAMPLE["probes"]}))
    lab.apply(*(_bare(policy) for policy in case["policies"]))
    lab.settle()

    truth.prove(lab, _wanted(world, {Knock(*door) for door in map(tuple, case["open"])}))


def test_there_are_as_many_cases_as_there_should_be_and_each_opens_something() -> None:
    assert len(CASES) == COUNT
    assert all(narrowly_open(case) for case in CASES)


def _world() -> World:
    plain = SAMPLE["world"]
    pods = tuple(Pod(**pod) for pod in plain["pods"])
    return World(plain["namespaces"], pods, tuple(Host(**host) for host in plain["hosts"]))


def _bare(policy: Body) -> Body:
    """Without owner: the object does not exist, so that the garbage collector would take the policy away."""
    metadata = {key: policy["metadata"][key] for key in ("name", "namespace")}
    return policy | {"metadata": metadata}


def _wanted(world: World, doors: set[Knock]) -> truth.Table:
    """Ends that share no address family can't knock."""
    probes = truth.expected(world, (), ports=sorted({port for _, port in SAMPLE["probes"]})).probes
    return truth.Table(probes=probes, open=probes & doors)
