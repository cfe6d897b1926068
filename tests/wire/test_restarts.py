"""No declared connection fails when the operator is killed after any of its writes, or makes place for another version.

No other operator is at work here: it would do the work of the dead one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cluster import processes
from cluster.operator import USER, Operator
from cluster.wire.lab import WireLab
from wire.conftest import ADOPTION
from wire.shop import DECLARED, FLOWS, UNDECLARED, Flow, none_failed, none_succeeded, obj, open_shop, ready, watched

Body = dict[str, Any]

WRITES = ("create", "patch", "delete")
MANY_KILLS = 60


@pytest.fixture
def unattended(bare_lab: WireLab) -> Iterator[WireLab]:
    """A live namespace with an object that no operator has seen yet."""
    open_shop(bare_lab)
    bare_lab.apply(obj(*FLOWS))
    yield bare_lab
    bare_lab.clear()


@pytest.fixture(scope="module")
def closed_shop(running_lab: WireLab) -> Iterator[WireLab]:
    with running_lab.node.entered():
        open_shop(running_lab)
        running_lab.apply(obj(*FLOWS))
        with at_work(running_lab):
            ready(running_lab)
    yield running_lab
    with running_lab.node.entered():
        running_lab.clear()


@pytest.fixture
def isolated(closed_shop: WireLab, bare_lab: WireLab) -> WireLab:
    """The same, where an operator has done its work and is gone. The tests of it leave it isolated, too."""
    assert closed_shop.policies("shop")
    return bare_lab


@contextmanager
def at_work(lab: WireLab) -> Iterator[Operator]:
    """An operator that is killed hard at the end of the block."""
    running = Operator(lab.plane, *ADOPTION)
    try:
        yield running
    except BaseException:
        print(processes.tail(running.log, lines=60))
        raise
    finally:
        running.kill()


def await_writes(lab: WireLab, number: int, *, seconds: float = 15, of: Operator | None = None) -> bool:
    """Until the API server has answered that many writes of the operator; False where it has not by then. The time
    begins when the operator is ready, where it is given."""
    end, rest = time.monotonic() + seconds, ""
    with lab.plane.audit_log.open() as log:
        log.seek(0, 2)
        while number > 0 and (of or time.monotonic() < end):
            *lines, rest = (rest + log.read()).split("\n")
            number -= sum(USER in line and any(f'"verb":"{verb}"' in line for verb in WRITES) for line in lines)
            if of and of.get("/readyz")[0] == 200:
                of, end = None, time.monotonic() + seconds
            time.sleep(0.001)
    return number <= 0


def killed_after(lab: WireLab, number: int) -> set[str]:
    """The policies that stand when an operator has been killed after so many of its writes."""
    with at_work(lab):
        assert await_writes(lab, number)
    time.sleep(0.5)
    return lab.policies("shop")


def killed_whenever_it_writes(lab: WireLab) -> int:
    """How many operators were killed after their first write, until one had nothing to write any more."""
    for kills in range(MANY_KILLS):
        with at_work(lab) as running:
            if not await_writes(lab, 1, seconds=4, of=running):
                assert kills, "there was nothing to write from the first"
                return kills
    raise AssertionError(f"{MANY_KILLS} operators were not enough")


# 2 that keep the namespace open, 10 allows, DNS, deny, status, event; when its time is over 2 deletions, status, event.
@pytest.mark.parametrize("number", range(1, 21))
def test_the_operator_is_killed_after_a_write_and_restarted(unattended: WireLab, number: int) -> None:
    with watched(unattended, DECLARED) as declared:
        stood = killed_after(unattended, number)
        with at_work(unattended):
            ready(unattended)
    none_failed(f"killed after write {number}, when {len(stood)} policies stood", declared())

    with watched(unattended, UNDECLARED) as undeclared:
        time.sleep(0.5)
    none_succeeded(f"killed after write {number}", undeclared())


def test_an_operator_with_other_policy_names_takes_over(unattended: WireLab) -> None:
    """As after an upgrade: all that stands has names that this version does not know, and goes when its own stand."""
    with at_work(unattended):
        ready(unattended)
    old = unattended.rename_policies("shop", prefix="old-")
    seen = watched(unattended, DECLARED), watched(unattended, UNDECLARED)
    with seen[0] as declared, seen[1] as undeclared, at_work(unattended):
        unattended.await_gone("shop", old)
    none_failed("other names", declared())
    none_succeeded("other names", undeclared())


# 10 allows under their new names, 10 that go, status, event.
@pytest.mark.parametrize("number", [1, 2, 4, 6, 9, 12])
def test_the_operator_is_killed_while_all_flows_get_names_in_an_isolated_namespace(
    isolated: WireLab, number: int
) -> None:
    before = isolated.policies("shop")
    isolated.apply(named(f"number-{number}"))
    with watched(isolated, DECLARED) as declared, watched(isolated, UNDECLARED) as undeclared:
        stood = killed_after(isolated, number)
        with at_work(isolated):
            ready(isolated)
            isolated.await_gone("shop", [name for name in before if name.startswith("shop.")])
    scenario = f"killed in a rename after write {number}, when {len(stood - before)} new policies stood"
    none_failed(f"{scenario} and {len(before - stood)} old ones had gone", declared())
    none_succeeded(scenario, undeclared())


def test_every_operator_is_killed_after_its_first_write_while_all_flows_get_names(isolated: WireLab) -> None:
    isolated.apply(named("again"))
    with watched(isolated, DECLARED) as declared, watched(isolated, UNDECLARED) as undeclared:
        kills = killed_whenever_it_writes(isolated)
        ready(isolated)
    assert all(name.startswith("shop.again-") for name in isolated.policies("shop") if name.startswith("shop."))
    none_failed(f"killed {kills} times in a rename", declared())
    none_succeeded(f"killed {kills} times in a rename", undeclared())


def named(prefix: str) -> Body:
    return obj(*({**body, "name": f"{prefix}-{number}"} for number, body in enumerate(FLOWS)))


PARTS = FLOWS[:3], FLOWS[3:]


@pytest.mark.parametrize(("number", "first", "second"), [(1, *PARTS), (5, *reversed(PARTS))])
def test_the_operator_is_killed_while_flows_move_to_another_object(
    isolated: WireLab, number: int, first: list[Flow], second: list[Flow]
) -> None:
    isolated.apply(obj(*second, name="second"), obj(*first))
    with watched(isolated, DECLARED) as declared, watched(isolated, UNDECLARED) as undeclared:
        stood = killed_after(isolated, number)
        with at_work(isolated):
            ready(isolated, "second", "shop")
    none_failed(f"killed in a split after write {number}, when {len(stood)} policies stood", declared())
    none_succeeded("killed in a split", undeclared())


def test_every_operator_is_killed_after_its_first_write_while_flows_move(isolated: WireLab) -> None:
    isolated.apply(obj(*PARTS[1], name="second"), obj(*PARTS[0]))
    with watched(isolated, DECLARED) as declared, watched(isolated, UNDECLARED) as undeclared:
        kills = killed_whenever_it_writes(isolated)
        ready(isolated, "second", "shop")
    none_failed(f"killed {kills} times in a split", declared())
    none_succeeded(f"killed {kills} times in a split", undeclared())
