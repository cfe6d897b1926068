"""No declared connection fails while policies come, change and go; and nothing undeclared gets through meanwhile."""

from __future__ import annotations

import time

import pytest

from cluster.wire.lab import WireLab
from wire.conftest import ADOPTION
from wire.shop import (
    DECLARED,
    FLOWS,
    PORTS,
    TO_API,
    UNDECLARED,
    WORLD,
    flow,
    none_failed,
    none_succeeded,
    obj,
    ready,
    watched,
)

__all__ = ["ADOPTION"]  # which the operator of this module is started with


@pytest.fixture
def shop(lab: WireLab) -> WireLab:
    """A live namespace that has no policies yet."""
    lab.build(WORLD, ports=PORTS)
    lab.settle()
    return lab


@pytest.fixture
def closed(shop: WireLab) -> WireLab:
    """The same, where the flows are declared and enforced."""
    shop.apply(obj(*FLOWS))
    ready(shop)
    return shop


def test_a_live_namespace_gets_its_first_object(shop: WireLab) -> None:
    with watched(shop, DECLARED) as count:
        shop.apply(obj(*FLOWS))
        ready(shop)
        time.sleep(1)
    none_failed("first object", count())

    with watched(shop, UNDECLARED) as count:
        time.sleep(1)
    none_succeeded("after it", count())


def test_an_object_moves_from_audit_to_enforce_and_back(shop: WireLab) -> None:
    shop.apply(obj(*FLOWS, mode="Audit"))
    ready(shop)
    with watched(shop, DECLARED) as count:
        shop.apply(obj(*FLOWS))
        ready(shop)
    none_failed("from Audit to Enforce", count())

    with watched(shop, DECLARED) as count:
        shop.apply(obj(*FLOWS, mode="Audit"))
        time.sleep(4)
    none_failed("from Enforce to Audit", count())
    assert shop.plane.kubectl("get", "networkpolicies", "-n", "shop", "-o", "name").stdout == ""


RENAMED = {**TO_API, "name": "renamed"}
BOTH_PORTS = {**TO_API, "ports": [8080, 8081]}
CHANGES = {
    "a flow is added": [[*FLOWS, flow("frontend", "worker", 8080)], FLOWS],
    "a flow is renamed": [[RENAMED, *FLOWS[1:]], FLOWS],
    "a flow gets another port": [[BOTH_PORTS, *FLOWS[1:]], FLOWS],
    "all flows get names": [[{**body, "name": f"flow-{n}"} for n, body in enumerate(FLOWS)], FLOWS],
}


@pytest.mark.parametrize("change", CHANGES)
def test_flows_change(closed: WireLab, change: str) -> None:
    with watched(closed, DECLARED) as declared, watched(closed, UNDECLARED) as undeclared:
        for flows in CHANGES[change]:
            closed.apply(obj(*flows))
            ready(closed)
    none_failed(change, declared())
    none_succeeded(change, undeclared())


def test_an_object_is_split_in_two(closed: WireLab) -> None:
    with watched(closed, DECLARED) as declared, watched(closed, UNDECLARED) as undeclared:
        closed.apply(obj(*FLOWS[3:], name="second"))
        ready(closed, "second")
        closed.apply(obj(*FLOWS[:3]))
        ready(closed)
    none_failed("an object is split", declared())
    none_succeeded("an object is split", undeclared())


def test_policies_are_torn_down_in_order(closed: WireLab) -> None:
    """The object goes and leaves its policies to the operator (garbage collection alone would know no order)."""
    with watched(closed, DECLARED) as count:
        closed.plane.kubectl("delete", "appconn", "shop", "-n", "shop", "--cascade=orphan")
        time.sleep(4)
    none_failed("torn down", count())
    assert closed.plane.kubectl("get", "networkpolicies", "-n", "shop", "-o", "name").stdout == ""
