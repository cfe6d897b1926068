"""Deletions that nobody is known to have asked for (RELIABILITY I9): how many go at once, and when the others do."""

from __future__ import annotations

from typing import Any

import pytest

from appconnectivity.controller.brake import APART_SECONDS, FREELY, SOON_SECONDS, Brake
from appconnectivity.core.plan import Plan, plan
from builders import compile_, flow, obj, observed

EMPTY = compile_()


class Cluster:
    """Namespaces whose policies all have lost the objects that own them."""

    def __init__(self, *, heard: bool = False, total: int = 0) -> None:
        self.brake = Brake(is_gone=lambda uid: heard and uid == "uid-shop")
        self.total = total

    def hold(self, namespace: str, *, policies: int, now: float, **more: Any) -> tuple[int, float]:
        """How many deletions may be made, and in how many seconds to look again."""
        steps, wait = self.brake.hold(
            namespace, deletions(policies), bodies=more.get("bodies", ()), total=self.total, now=now
        )
        return sum(step.action == "delete" for step in steps.steps), wait


def deletions(count: int) -> Plan:
    """Of the flows' policies of one object that is no longer listed."""
    made = compile_(obj(*(flow("a", f"b{number}") for number in range(count))))
    return plan(EMPTY, [body for body in observed(made) if body["metadata"]["name"].startswith("shop.")][:count])


def test_a_few_are_soon_looked_at_once_more() -> None:
    cluster = Cluster()
    assert cluster.hold("one", policies=FREELY, now=0) == (0, SOON_SECONDS)
    assert cluster.hold("one", policies=FREELY, now=SOON_SECONDS) == (FREELY, 0)


def test_many_are_looked_at_once_more() -> None:
    cluster = Cluster()
    assert cluster.hold("one", policies=FREELY + 1, now=0) == (0, APART_SECONDS)
    assert cluster.hold("one", policies=FREELY + 1, now=10) == (0, APART_SECONDS - 10)
    assert cluster.brake.held == FREELY + 1

    assert cluster.hold("one", policies=FREELY + 1, now=APART_SECONDS) == (FREELY + 1, 0)
    assert cluster.brake.held == 0


def test_many_namespaces_with_a_few_each_are_many() -> None:
    cluster = Cluster()
    waits = [cluster.hold(f"n{number}", policies=4, now=0)[1] for number in range(4)]

    assert waits == [SOON_SECONDS, SOON_SECONDS, APART_SECONDS, APART_SECONDS]
    assert cluster.hold("n0", policies=4, now=SOON_SECONDS) == (0, APART_SECONDS - SOON_SECONDS)


def test_a_look_that_finds_the_objects_again_is_not_the_first_of_two() -> None:
    cluster = Cluster()
    cluster.hold("one", policies=20, now=0)
    cluster.hold("one", policies=0, now=20)

    assert cluster.hold("one", policies=20, now=40) == (0, APART_SECONDS)


@pytest.mark.parametrize(("total", "wait"), [(100, SOON_SECONDS), (99, APART_SECONDS)])
def test_of_very_many_a_share_are_few(total: int, wait: float) -> None:
    assert Cluster(total=total).hold("one", policies=30, now=0) == (0, wait)


def test_what_was_told_to_be_deleted_is_no_riddle() -> None:
    assert Cluster(heard=True).hold("one", policies=50, now=0) == (50, 0)


def test_nor_are_policies_of_an_object_that_is_still_listed() -> None:
    """It has fewer flows now, or does not enforce them."""
    assert Cluster().hold("one", policies=50, now=0, bodies=[obj()]) == (50, 0)


def test_nor_are_orphans() -> None:
    """Somebody has taken the owner from them."""
    steps = deletions(50)
    for step in steps.steps:
        assert step.observed
        del step.observed["metadata"]["ownerReferences"]

    assert Cluster().brake.hold("one", steps, bodies=(), total=0, now=0) == (steps, 0)


def test_what_adds_does_not_wait() -> None:
    steps = plan(
        compile_(obj(flow("x", "y"), name="other")), observed(compile_(obj(*(flow("a", f"b{n}") for n in range(20)))))
    )
    held, _ = Cluster().brake.hold("one", steps, bodies=[obj(name="other")], total=0, now=0)

    assert {step.action for step in held.steps} >= {"create"}
    assert not held.takes_away


def test_a_second_look_counts_only_for_what_the_first_has_seen() -> None:
    cluster = Cluster()
    cluster.hold("a", policies=11, now=0)
    assert cluster.hold("b", policies=1, now=1) == (0, APART_SECONDS)

    assert cluster.hold("b", policies=50, now=31) == (1, APART_SECONDS)


def test_a_namespace_that_has_become_idle_waits_for_nothing() -> None:
    cluster = Cluster()
    cluster.hold("a", policies=26, now=0)
    cluster.brake.forget("a")
    assert cluster.brake.held == 0

    assert cluster.hold("b", policies=1, now=1) == (0, SOON_SECONDS)
