"""Who reaches whom, asked by real pods of real pods, by name and by address."""

from __future__ import annotations

from node.shop import PODS, Shop, eventually

# Whatever else is asked has to be shut: between all pods, on both ports, to the outside and to the API server.
FRONTEND_ASKS, API_ASKS = ("frontend", "api"), ("api", "db")


def is_open(shop: Shop) -> dict[tuple[str, str], bool]:
    """Only the right answer counts as open: what refuses or is not there is shut."""
    expected = shop.addresses()
    return {(app, address): said == expected[app][address] for (app, address), said in shop.reachable().items()}


def declared(shop: Shop) -> dict[tuple[str, str], bool]:
    """What the shop's object says: two flows, on the port behind the Service. Strangers keep what is not the shop's."""
    return {
        (app, address): _is_declared(app, of=of, address=address)
        for app, places in shop.addresses().items()
        for address, of in places.items()
    }


def _is_declared(app: str, *, of: str, address: str) -> bool:
    if app == "stranger":
        return of not in PODS
    return (app, of) in (FRONTEND_ASKS, API_ASKS) and not address.endswith(":9090")


def test_without_an_object_everybody_reaches_everybody(open_shop: Shop) -> None:
    everything = {(app, address): True for app, places in open_shop.addresses().items() for address in places}

    eventually(lambda: is_open(open_shop), expected=everything)


def test_with_an_object_exactly_the_declared_connections_are_open(connected_shop: Shop) -> None:
    eventually(lambda: is_open(connected_shop), expected=declared(connected_shop))


def test_every_pod_of_the_shop_may_still_ask_the_dns(connected_shop: Shop) -> None:
    eventually(lambda: is_open(connected_shop), expected=declared(connected_shop))

    assert connected_shop.ask("frontend", ["api:80"]) == {"api:80": "api"}
    assert connected_shop.ask("db", ["api:80", "nobody:80"]) == {"api:80": "refused", "nobody:80": "no such name"}


def test_when_the_object_is_gone_everything_is_open_again(open_shop: Shop) -> None:
    open_shop.connect()
    eventually(lambda: is_open(open_shop), expected=declared(open_shop))

    open_shop.disconnect()

    everything = {(app, address): True for app, places in open_shop.addresses().items() for address in places}
    eventually(lambda: is_open(open_shop), expected=everything)
