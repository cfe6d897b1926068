"""Whoever judges what stood in between has to notice what should not have."""

from __future__ import annotations

from typing import Any

import pytest

from appconnectivity.cluster.kinds import NETWORK_POLICY
from builders import compile_, flow, obj, observed
from cluster.faults import Asked
from faults.between import LATE_SECONDS, Seen, Story, missed, standing

NARROW, WIDE = obj(flow("a", "b", 80)), obj(flow("a", "b", "*", name="a-to-b"))
EGRESS, DENY = "shop.a-to-b.egress", "appconnectivity.default-deny"


def story(*objects: Seen, written: Any = NARROW) -> Story:
    """The policies of ``written`` came at second 10."""
    return Story("shop", [*objects], [Seen(10.0, False, body) for body in observed(compile_(written))])


def deleted(name: str, *, at: float, status: int = 200) -> Asked:
    return Asked(at, "delete", NETWORK_POLICY.path(namespace="shop", name=name), {}, status)


@pytest.mark.parametrize("name", [EGRESS, DENY])
@pytest.mark.parametrize(
    ("later", "asked_at", "status", "wrong"),
    [
        pytest.param([], 30.0, 200, True, id="it-stands"),
        pytest.param([], 30.0, 409, False, id="it-stands-and-the-deletion-was-refused"),
        pytest.param([Seen(20.0, True, NARROW)], 30.0, 200, False, id="it-is-gone"),
        pytest.param([Seen(20.0, True, NARROW)], 15.0, 200, True, id="it-goes-later"),
        pytest.param([Seen(20.0, True, NARROW)], 20.0 - LATE_SECONDS / 2, 200, False, id="it-goes-at-the-same-time"),
    ],
)
def test_what_is_declared_may_not_be_deleted(
    name: str, later: list[Seen], asked_at: float, status: int, wrong: bool
) -> None:
    found = story(Seen(9.0, False, NARROW), *later).wrongs([deleted(name, at=asked_at, status=status)])

    assert found == ([f"the operator has deleted {name}, which was declared"] if wrong else [])


def test_what_has_gone_does_not_stand_and_what_has_come_back_does() -> None:
    told = [Seen(1.0, False, NARROW), Seen(2.0, True, NARROW), Seen(3.0, False, WIDE)]

    assert [standing(told, at=at) for at in (0.5, 1.5, 2.5)] == [[], [NARROW], []]
    assert standing(told) == [WIDE]


def test_a_list_tells_what_has_gone_and_what_there_is() -> None:
    other, passing = obj(flow("c", "d", 80), name="other"), obj(flow("e", "f", 80), name="passing")
    told = [Seen(1.0, False, NARROW), Seen(1.0, False, other), Seen(1.0, False, passing), Seen(2.0, True, passing)]

    assert missed(told, [WIDE], at=3.0) == [Seen(3.0, True, other), Seen(3.0, False, WIDE)]


def test_what_was_never_declared_may_not_stand() -> None:
    assert story(Seen(9.0, False, NARROW)).wrongs([]) == []
    assert story(Seen(9.0, False, NARROW), Seen(9.5, False, WIDE), written=WIDE).wrongs([]) == []
    (egress, ingress) = story(Seen(9.0, False, NARROW), Seen(20.0, False, WIDE), written=WIDE).wrongs([])

    assert egress.startswith(f"{EGRESS} said what nobody had declared")
    assert ingress.startswith("shop.a-to-b.ingress said what nobody had declared")
