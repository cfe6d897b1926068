"""Three readings of what policies mean, written apart from one another, give the same answer on every connection.

For drawn objects: cyclonus and our evaluator read the policies, and ``declared`` reads the objects' own words. For the
samples: cyclonus, our evaluator, and ``expect.txt``, which is written by hand.

ORACLE_EXAMPLES and ORACLE_SEED (environment) ask for more objects, or for others.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import yaml

from appconnectivity.core.reachability import Host, World
from builders import flow, obj
from golden.test_golden import HERE as GOLDEN
from golden.test_golden import NAMES, build, world_of
from oracle import cyclonus, evaluator, world
from oracle.sample import draw, sample

EXAMPLES = int(os.environ.get("ORACLE_EXAMPLES", "2600"))
SEED = int(os.environ.get("ORACLE_SEED", "1"))
PAIRS = max(1, EXAMPLES // 20)
_UNUSED_PORT = 9999
_AT_ONCE = 200


def summary(verdicts: dict[str, int], *, cases: int) -> str:
    counts = ", ".join(f"{count} verdicts by {reader}" for reader, count in verdicts.items())
    return f"{cases} cases: {counts}; no disagreement"


@pytest.mark.timeout(900)
def test_drawn_objects_mean_the_same_to_three_readers(say: Callable[[str], None]) -> None:
    objects = draw(EXAMPLES, seed_=SEED)
    judged = sum(agreed(objects[first : first + _AT_ONCE]) for first in range(0, EXAMPLES, _AT_ONCE))

    assert judged > EXAMPLES * 3 // 4
    counts = {"two readers": EXAMPLES, f"cyclonus as well, of {judged} cases": judged}
    probed = len(world.CONNECTIONS)
    say(f"[oracle] {summary({who: cases * probed for who, cases in counts.items()}, cases=EXAMPLES)}")


def test_drawn_objects_together_mean_what_they_say() -> None:
    """Two of one namespace: what one closes is open where the other opens it."""
    objects = draw(2 * PAIRS, seed_=SEED)
    for one, other in zip(objects[:PAIRS], objects[PAIRS:], strict=True):
        named = other | {"metadata": other["metadata"] | {"name": "other", "uid": "uid-other"}}
        found = evaluator.opened(world.WORLD, world.policies_of(one, named), world.CONNECTIONS)
        assert found == world.declared(one, other), (one, other)


def agreed(objects: list[Any]) -> int:
    """The number of objects that cyclonus has judged, too; fails where two readers disagree about one."""
    policies = [world.policies_of(body) for body in objects]
    said = [world.declared(body) for body in objects]
    ours = [evaluator.opened(world.WORLD, found, world.CONNECTIONS) for found in policies]
    judged = [index for index, found in enumerate(policies) if not cyclonus.beyond(found)]
    theirs = cyclonus_says(*(policies[index] for index in judged))

    disagreements = [
        f"{reader} lets {sorted(found - said[index])} through, and not {sorted(said[index] - found)}: {objects[index]}"
        for reader, answers in (("our evaluator", enumerate(ours)), ("cyclonus", zip(judged, theirs, strict=True)))
        for index, found in answers
        if found != said[index]
    ]
    assert not disagreements, f"{len(disagreements)} disagreements, the first: {disagreements[0]}"
    return len(judged)


def test_samples_mean_the_same_to_cyclonus_and_to_people(say: Callable[[str], None]) -> None:
    count = sum(judged_sample(name) for name in NAMES)
    say(f"[oracle] {summary({'three readers': count}, cases=len(NAMES))}")


def judged_sample(name: str) -> int:
    """The number of connections about which all three agree."""
    policies = [body for body in yaml.safe_load_all((GOLDEN / name / "policies.yaml").read_text()) if body]
    place = build(world_of(name))
    lines = dict(line.split(" : ") for line in (GOLDEN / name / "expect.txt").read_text().splitlines())
    asked = connections(place, ports=ports_of(place, [*lines.values(), str(policies)]))
    expected = {ask for ask in asked if evaluator.holds(lines.get(f"{ask[0]} -> {ask[1]}", ""), *ask[2:])}

    assert not cyclonus.beyond(policies), name
    assert cyclonus.opened(place, asked, [policies]) == [expected], name
    assert evaluator.opened(place, policies, asked) == expected, name
    return len(asked)


def cyclonus_says(*sets: Any) -> list[set[Any]]:
    return cyclonus.opened(world.WORLD, world.CONNECTIONS, sets)


def connections(place: World, *, ports: set[int]) -> list[tuple[str, str, str, int]]:
    pairs = [
        (source.ref, target.ref)
        for source, target in product(place.ends, repeat=2)
        if source != target and not (isinstance(source, Host) and isinstance(target, Host))
    ]
    return [(*pair, protocol, port) for pair in pairs for protocol in ("TCP", "UDP", "SCTP") for port in sorted(ports)]


def ports_of(place: World, texts: list[str]) -> set[int]:
    """Every number in the texts that may be a port, those beside it, those of the pods, and one that nobody uses."""
    numbers = {int(found) for text in texts for found in re.findall(r"(?<![\d./:])\d{2,5}(?![\d./:])", text)}
    numbers |= {number for pod in place.pods for _, number in pod.ports.values()} | {_UNUSED_PORT}
    return {near for number in numbers for near in (number - 1, number, number + 1)}


WRONG: dict[str, Any] = {
    "another port": ([flow("a", "b", 80)], [flow("a", "b", 443)]),
    "the other direction": ([flow("a", "b", 80)], [flow("b", "a", 80)]),
    "an exception lost": (
        [flow("a", {"ipBlocks": [{"cidr": "203.0.113.0/24", "except": ["203.0.113.7/32"]}]}, 80)],
        [flow("a", {"ipBlocks": [{"cidr": "203.0.113.0/24"}]}, 80)],
    ),
    "another protocol": ([flow("a", "b", "80/SCTP")], [flow("a", "b", "80/TCP")]),
    "another namespace": ([flow({"app": "a", "namespace": "data"}, "b", 80)], [flow("a", "b", 80)]),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_policy_is_caught(name: str) -> None:
    """The oracle is no echo: policies that were made from other words get another answer from every reader."""
    right, wrong = (obj(*flows) for flows in WRONG[name])
    policies = world.policies_of(wrong)

    assert cyclonus_says(policies) == [world.declared(wrong)]
    assert world.declared(wrong) != world.declared(right)
    assert evaluator.opened(world.WORLD, policies, world.CONNECTIONS) != world.declared(right)


# A mistake in the ports of a written rule, by what it wrongly opens where 443 and 8000-8100 over TCP are declared.
WRONG_PORTS: dict[str, Any] = {
    "a range that ends one later": (
        lambda port: [port | {"endPort": port["endPort"] + 1} if "endPort" in port else port],
        {("TCP", 8101)},
    ),
    "a range that begins one earlier": (
        lambda port: [port | {"port": port["port"] - 1} if "endPort" in port else port],
        {("TCP", 7999)},
    ),
    "every number opens its neighbour": (
        lambda port: [port] if "endPort" in port else [port, port | {"port": port["port"] + 1}],
        {("TCP", 444)},
    ),
    "every TCP port opens UDP": (
        lambda port: [port, port | {"protocol": "UDP"}],
        {("UDP", number) for _, number in world.PROBES if number == 443 or 8000 <= number <= 8100},
    ),
}


@pytest.mark.parametrize("name", WRONG_PORTS)
def test_wrong_ports_are_caught(name: str) -> None:
    body = obj(flow("a", "b", 443, "8000-8100"))
    mistake, wrongly_open = WRONG_PORTS[name]
    policies = [with_ports(policy, mistake) for policy in world.policies_of(body)]
    expected = world.declared(body) | {("shop/a", "shop/b", *probe) for probe in wrongly_open}

    assert wrongly_open
    assert cyclonus_says(policies) == [expected]
    assert evaluator.opened(world.WORLD, policies, world.CONNECTIONS) == expected


def with_ports(policy: Any, mistake: Callable[[Any], list[Any]]) -> Any:
    """A flow's policy with other ports in its rules; any other policy as it is."""
    if not policy["metadata"]["name"].startswith("shop."):
        return policy
    [direction] = policy["spec"].keys() & {"ingress", "egress"}
    rules = [
        rule | {"ports": [new for port in rule["ports"] for new in mistake(port)]} for rule in policy["spec"][direction]
    ]
    return policy | {"spec": policy["spec"] | {direction: rules}}


def test_or_for_and_is_caught() -> None:
    """The classic mistake, on the written policies: two selectors as two peers."""
    body = obj(flow({"app": "a", "namespace": "data"}, "b", 80))
    name = "shop.a-in-data-to-b.ingress"
    split = [both_as_two(p) if p["metadata"]["name"] == name else p for p in world.policies_of(body)]

    assert cyclonus_says(split)[0] - world.declared(body) == {("data/c", "shop/b", "TCP", 80)}


def both_as_two(policy: Any) -> Any:
    rule = policy["spec"]["ingress"][0]
    peers = [{key: selector} for key, selector in rule["from"][0].items()]
    return policy | {"spec": policy["spec"] | {"ingress": [rule | {"from": peers}]}}


def test_the_sample_is_the_same_every_time_and_tells_what_must_be_open() -> None:
    once, again = sample(20, seed_=3), sample(20, seed_=3)

    assert once == again
    assert sample(20, seed_=4) != once
    assert len(once["cases"]) == 20
    for case in once["cases"]:
        assert {(*ends, *probe) for *ends, _, protocol, port in case["open"] for probe in [(protocol, port)]} == (
            world.declared(case["object"])
        )
