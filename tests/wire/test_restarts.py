"""No declared connection fails when the operator is killed after any of its writes, or makes place for another version.

No other operator is at work here: it would do the work of the dead one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cluster import processes
from cluster.operator import USER, Operator
from cluster.wire.lab import WireLab
from wire.conftest import ADOPTION
from wire.shop import DECLARED, FLOWS, PORTS, UNDECLARED, WORLD, none_failed, none_succeeded, obj, ready, watched

WRITES = ("create", "patch", "delete")


@pytest.fixture
def unattended(bare_lab: WireLab) -> Iterator[WireLab]:
    """A live namespace with an object that no operator has seen yet."""
    bare_lab.build(WORLD, ports=PORTS)
    bare_lab.settle()
    bare_lab.apply(obj(*FLOWS))
    yield bare_lab
    with at_work(bare_lab):
        bare_lab.clear()


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


def await_writes(lab: WireLab, number: int) -> None:
    """Until the API server has answered that many writes of the operator."""
    end, rest = time.monotonic() + 15, ""
    with lab.plane.audit_log.open() as log:
        log.seek(0, 2)
        while number > 0:
            assert time.monotonic() < end, f"{number} writes are missing"
            *lines, rest = (rest + log.read()).split("\n")
            number -= sum(USER in line and any(f'"verb":"{verb}"' in line for verb in WRITES) for line in lines)
            time.sleep(0.001)


# 2 that keep the namespace open, 10 allows, DNS, deny, status, event; when its time is over 2 deletions, status, event.
@pytest.mark.parametrize("number", range(1, 21))
def test_the_operator_is_killed_after_a_write_and_restarted(unattended: WireLab, number: int) -> None:
    with watched(unattended, DECLARED) as declared:
        with at_work(unattended):
            await_writes(unattended, number)
        time.sleep(0.5)
        with at_work(unattended):
            ready(unattended)
    none_failed(f"killed after write {number}", declared())

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
