"""Services: the pods or addresses behind one, on their own ports."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from appconnectivity.core import services
from appconnectivity.core.facts import EndpointPort, Endpoints, Service, ServicePort
from appconnectivity.core.findings import Finding, Reason
from appconnectivity.core.policy import Addresses
from appconnectivity.core.ports import Ports, parse_ports
from appconnectivity.core.services import Backend, backends
from builders import endpoints, service

HTTP = ServicePort("http", "TCP", 80, 8080)
NAMED = ServicePort("http", "TCP", 80, "web")


def the_one(found: tuple[Backend, ...] | Finding) -> Backend:
    assert isinstance(found, tuple), found
    (backend,) = found
    return backend


def ports_of(given: Service, *wanted: int | str) -> Ports:
    return the_one(backends(given, wanted=parse_ports(wanted) if wanted else None)).ports


@pytest.mark.parametrize(
    ("given", "wanted", "ports"),
    [
        pytest.param(service("db", HTTP), [], [8080], id="the-target-port-and-not-the-services"),
        pytest.param(service("db", HTTP), [80], [8080], id="asked-by-the-services-port"),
        pytest.param(service("db", HTTP), ["http"], [8080], id="asked-by-the-ports-name"),
        pytest.param(service("db", HTTP), ["*"], [8080], id="all-are-all-that-it-has"),
        pytest.param(service("db", HTTP), ["1-100"], [8080], id="asked-by-a-range"),
        pytest.param(
            service("db", HTTP, ServicePort("dns", "UDP", 53, 5353)), ["53/UDP"], ["5353/UDP"], id="one-of-two"
        ),
        pytest.param(service("db", NAMED), [], ["web"], id="a-name-while-there-is-no-endpoint"),
        pytest.param(
            service("db", NAMED, endpoints=(endpoints("10.0.0.1", http=8080),)), [], [8080], id="a-name-by-endpoints"
        ),
        pytest.param(
            service("db", NAMED, endpoints=(endpoints("10.0.0.1", http=8080), endpoints("10.0.0.2", http=9090))),
            [],
            [8080, 9090],
            id="all-numbers-where-pods-differ",
        ),
        pytest.param(
            service("db", NAMED, endpoints=(endpoints("10.0.0.1", other=1234),)), [], ["web"], id="another-ports-number"
        ),
    ],
)
def test_a_service_stands_for_its_pods_ports(given: Service, wanted: list[int | str], ports: list[int | str]) -> None:
    assert ports_of(given, *wanted) == parse_ports(ports)


def test_an_endpoint_of_another_protocol_does_not_give_the_number() -> None:
    udp = Endpoints(("10.0.0.1",), (EndpointPort("http", "UDP", 9999),))

    assert ports_of(service("db", NAMED, endpoints=(udp,))) == parse_ports(["web"])


@pytest.mark.parametrize(
    ("given", "wanted", "reason", "said"),
    [
        pytest.param(
            service("db", HTTP),
            [81],
            Reason.SERVICE_PORT_NOT_FOUND,
            "has no port TCP 81; it has: 80/TCP http",
            id="port",
        ),
        pytest.param(
            service("db", HTTP), ["80/UDP"], Reason.SERVICE_PORT_NOT_FOUND, "has no port UDP 80", id="protocol"
        ),
        pytest.param(
            service("db", HTTP), [8080], Reason.SERVICE_PORT_NOT_FOUND, "has no port TCP 8080", id="the-pods-port"
        ),
        pytest.param(
            service("db", HTTP),
            [80, 81],
            Reason.SERVICE_PORT_NOT_FOUND,
            "has no port TCP 81; it has: 80",
            id="one-of-two",
        ),
        pytest.param(
            replace(service("db"), ports=()),
            [],
            Reason.SERVICE_PORT_NOT_FOUND,
            "has no ports; name its pods",
            id="none",
        ),
        pytest.param(
            service("db", is_external_name=True),
            [],
            Reason.SERVICE_IS_EXTERNAL,
            "use ipBlocks or entity",
            id="external",
        ),
        pytest.param(
            service("db", selector=None), [], Reason.NO_ENDPOINTS, "no EndpointSlice with addresses", id="bare"
        ),
        pytest.param(
            service("db", selector=None, endpoints=(endpoints("10.0.0.1", other=1),)),
            [],
            Reason.NO_ENDPOINTS,
            "no EndpointSlice with addresses for its ports",
            id="endpoints-without-the-port",
        ),
    ],
)
def test_what_a_service_can_not_stand_for_is_said(given: Service, wanted: list[Any], reason: Reason, said: str) -> None:
    found = backends(given, wanted=parse_ports(wanted) if wanted else None)

    assert isinstance(found, Finding)
    assert found.reason is reason
    assert said in found.message


def test_a_service_without_selector_is_single_addresses_of_both_families() -> None:
    given = service(
        "db", selector=None, endpoints=(endpoints("10.0.0.7", sql=5432), endpoints("2001:db8::7", sql=5433))
    )
    found = backends(given, wanted=None)

    assert isinstance(found, tuple)
    assert [(b.addresses, b.ports) for b in found] == [
        ((Addresses("10.0.0.7/32"),), parse_ports([5432])),
        ((Addresses("2001:db8::7/128"),), parse_ports([5433])),
    ]


def test_joined_addresses_say_exactly_the_same() -> None:
    assert services.single_addresses(["10.0.0.1", "10.0.0.0", "10.0.0.2", "10.0.0.0"]) == (
        Addresses("10.0.0.0/31"),
        Addresses("10.0.0.2/32"),
    )


def test_too_many_addresses_are_refused_with_a_way_out() -> None:
    many = tuple(f"10.0.{n // 100}.{2 * (n % 100)}" for n in range(services.MAX_ADDRESSES + 1))
    found = backends(service("db", selector=None, endpoints=(endpoints(*many, sql=5432),)), wanted=None)

    assert isinstance(found, Finding)
    assert found.reason is Reason.TOO_MANY_ADDRESSES
    assert "ipBlocks" in found.message
