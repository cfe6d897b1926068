"""No declared connection fails while policies come, change and go; and nothing undeclared gets through meanwhile.

Here a namespace is kept open while its policies come or go. That the order of writes alone cuts nothing is told in
test_order.py; changes of a namespace that is closed rest on this order everywhere.
"""

from __future__ import annotations

import time

import pytest

from cluster.wire.lab import WireLab
from wire.conftest import ADOPTION
from wire.shop import (
    DECLARED,
    FLOWS,
    TO_API,
    UNDECLARED,
    door,
    flow,
    none_failed,
    none_succeeded,
    obj,
    open_shop,
    ready,
    watched,
)

__all__ = ["ADOPTION"]  # which the operator of this module is started with


@pytest.fixture
def shop(lab: WireLab) -> WireLab:
    open_shop(lab)
    return lab


@pytest.fixture
def closed(shop: WireLab) -> WireLab:
    """The same, where the flows are declared and enforced."""
    shop.apply(obj(*FLOWS))
    ready(shop)
    return shop


def stays_shut(scenario: str, lab: WireLab) -> None:
    with watched(lab, UNDECLARED) as count:
        time.sleep(0.5)
    none_succeeded(scenario, count())


def test_a_live_namespace_gets_its_first_object(shop: WireLab) -> None:
    with watched(shop, DECLARED) as count:
        shop.apply(obj(*FLOWS))
        ready(shop)
    none_failed("first object", count())
    stays_shut("after it", shop)


def test_an_object_moves_from_audit_to_enforce_and_back(shop: WireLab) -> None:
    shop.apply(obj(*FLOWS, mode="Audit"))
    ready(shop)
    with watched(shop, DECLARED) as count:
        shop.apply(obj(*FLOWS))
        ready(shop)
    none_failed("from Audit to Enforce", count())
    stays_shut("in Enforce", shop)

    with watched(shop, DECLARED) as count:
        shop.apply(obj(*FLOWS, mode="Audit"))
        shop.await_open("shop")
    none_failed("from Enforce to Audit", count())


CHANGES = {
    "a flow is added": [[*FLOWS, flow("frontend", "worker", 8080)], FLOWS],
    "a flow is renamed": [[{**TO_API, "name": "renamed"}, *FLOWS[1:]], FLOWS],
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


def test_a_flow_moves_to_another_port_by_way_of_both(closed: WireLab) -> None:
    """The old door has to be open until both are, the new one from then on."""
    old, new = (door("shop/frontend", "shop/api", port) for port in (8080, 8081))
    others = [other for other in DECLARED if other != old]
    with watched(closed, others) as declared, watched(closed, UNDECLARED) as undeclared:
        with watched(closed, [old]) as until_both:
            closed.apply(obj({**TO_API, "ports": [8080, 8081]}, *FLOWS[1:]))
            ready(closed)
        with watched(closed, [new]) as from_both:
            closed.apply(obj({**TO_API, "ports": [8081]}, *FLOWS[1:]))
            ready(closed)
    with watched(closed, [old]) as afterwards:
        time.sleep(0.5)

    none_failed("a flow gets another port: the others", declared())
    none_succeeded("a flow gets another port", undeclared())
    none_failed("a flow gets another port: the old one until both are open", until_both())
    none_failed("a flow gets another port: the new one from then on", from_both())
    none_succeeded("a flow gets another port: the old one afterwards", afterwards())


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
        closed.await_open("shop")
    none_failed("torn down", count())
