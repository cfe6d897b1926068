"""The order of writes alone: nothing keeps the namespace open beside it here, for the operator does not adopt.

Each pod has at most one policy of each direction, and no DNS: what closes a pod then also opens what is declared for
it, and only a deny that comes too early, or goes too late, can cut anything.
"""

from __future__ import annotations

import pytest

from cluster.wire.lab import WireLab
from wire.shop import FLOWS, TO_API, Flow, door, flow, none_failed, obj, open_shop, ready, watched

PAYMENT: Flow = FLOWS[-1]
SINGLE = [TO_API, flow("worker", "db", 5432), PAYMENT]
DOORS = [
    door("shop/frontend", "shop/api", 8080),
    door("shop/worker", "shop/db", 5432),
    door("shop/api", "host:payment", 443),
]
SHUT = [door("shop/worker", "shop/api", 8080), door("host:stranger", "shop/frontend", 8080)]


@pytest.fixture
def shop(lab: WireLab) -> WireLab:
    open_shop(lab)
    return lab


def declare(lab: WireLab, **spec: str) -> None:
    lab.apply(obj(*SINGLE, dns="None", **spec))
    ready(lab)


def test_all_that_opens_stands_before_what_closes(shop: WireLab) -> None:
    with watched(shop, DOORS) as count:
        declare(shop)
    none_failed("order alone: first object", count())
    assert not shop.knock(SHUT)


def test_all_that_opens_stands_before_what_closes_and_goes_after_it_where_the_mode_changes(shop: WireLab) -> None:
    declare(shop, mode="Audit")
    with watched(shop, DOORS) as count:
        declare(shop)
    none_failed("order alone: from Audit to Enforce", count())
    assert not shop.knock(SHUT)

    with watched(shop, DOORS) as count:
        shop.apply(obj(*SINGLE, dns="None", mode="Audit"))
        shop.await_open("shop")
    none_failed("order alone: from Enforce to Audit", count())


def test_what_closes_goes_before_all_that_opens(shop: WireLab) -> None:
    declare(shop)
    with watched(shop, DOORS) as count:
        shop.plane.kubectl("delete", "appconn", "shop", "-n", "shop", "--cascade=orphan")
        shop.await_open("shop")
    none_failed("order alone: torn down", count())
