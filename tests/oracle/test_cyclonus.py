"""What cyclonus gets wrong and what it does not know, each shown, so that ``beyond`` says no more than is true."""

from __future__ import annotations

from typing import Any

import pytest

from appconnectivity.core.reachability import Host, Pod, World
from builders import foreign
from oracle import cyclonus, evaluator

WORLD = World(
    namespaces={"shop": {}, "data": {}},
    pods=(
        Pod("shop", "api", {"app": "api"}, ("10.0.0.1", "fd00::1"), {"web": ("TCP", 8080)}),
        Pod("shop", "bare", {}, ("10.0.0.2",)),
    ),
    hosts=(Host("out", "203.0.113.8"), Host("six", "2001:db8::8")),
)
FROM_BARE = [("shop/bare", "shop/api", "TCP", 8080)]


def verdicts(asked: list[Any], **spec: Any) -> tuple[set[Any], set[Any]]:
    """What cyclonus lets through and what our evaluator does, under one policy."""
    policies = [foreign("one", **spec)]
    return cyclonus.opened(WORLD, asked, [policies])[0], evaluator.opened(WORLD, policies, asked)


def test_it_takes_an_absent_label_for_an_empty_one() -> None:
    peer = {"podSelector": {"matchLabels": {"tier": ""}}}
    theirs, ours = verdicts(FROM_BARE, ingress=[{"from": [peer]}])

    assert (theirs, ours) == (set(FROM_BARE), set())
    assert "empty" in cyclonus.beyond([foreign("one", ingress=[{"from": [peer]}])])


def test_it_takes_not_in_to_ask_for_the_label() -> None:
    peer = {"podSelector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["api"]}]}}
    theirs, ours = verdicts(FROM_BARE, ingress=[{"from": [peer]}])

    assert (theirs, ours) == (set(), set(FROM_BARE))
    assert "NotIn" in cyclonus.beyond([foreign("one", ingress=[{"from": [peer]}])])


def test_it_does_not_know_that_a_pod_reaches_itself() -> None:
    itself = [("shop/api", "shop/api", "TCP", 8080)]

    assert cyclonus.opened(WORLD, itself, [[foreign("deny")]]) == [set()]


@pytest.mark.parametrize(
    "port",
    [
        {"port": 8080, "protocol": "TCP"},
        {"port": 8080, "protocol": "SCTP"},
        {"port": 8000, "endPort": 8090, "protocol": "UDP"},
        {"port": "web", "protocol": "TCP"},
        {"port": "web", "protocol": "UDP"},
    ],
    ids=str,
)
def test_it_knows_every_protocol_and_ranges_and_names(port: Any) -> None:
    probes = [(protocol, number) for protocol in ("TCP", "UDP", "SCTP") for number in (7999, 8000, 8080, 8090, 8091)]
    theirs, ours = verdicts([("shop/bare", "shop/api", *probe) for probe in probes], ingress=[{"ports": [port]}])

    assert theirs == ours


@pytest.mark.parametrize("cidr", ["2001:db8::/32", "0.0.0.0/0", "::/0", "203.0.113.0/24"])
def test_it_knows_both_address_families(cidr: str) -> None:
    asked = [(f"host:{name}", f"shop/{pod}", "TCP", 80) for name in ("out", "six") for pod in ("api", "bare")]
    theirs, ours = verdicts(asked, ingress=[{"from": [{"ipBlock": {"cidr": cidr}}]}])

    assert theirs == ours
    assert len(ours) in (1, 2)


def test_what_it_can_judge_is_said_to_be_judged() -> None:
    assert cyclonus.beyond([foreign("one", podSelector={"matchLabels": {"app": "a"}})]) == ""


def test_an_answer_that_it_does_not_give_is_not_taken_for_a_no() -> None:
    """A pod without an address makes it end with a panic."""
    world = World(namespaces={"shop": {}}, pods=(Pod("shop", "a"), Pod("shop", "b", ips=("10.0.0.2",))))
    policy = foreign("one", ingress=[{"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}])

    with pytest.raises(cyclonus.Refused, match="0 answers to 1 questions: panic: unable to parse IP"):
        cyclonus.opened(world, [("shop/a", "shop/b", "TCP", 80)], [[policy]])
