"""What live objects mean, and what one odd entry in them must not do."""

from __future__ import annotations

from typing import Any

import pytest

from appconnectivity.cluster import decode


def endpoint_slice(*addresses: str, kind: str = "IPv4") -> dict[str, Any]:
    return {"metadata": {"name": "s"}, "addressType": kind, "endpoints": [{"addresses": [a]} for a in addresses]}


@pytest.mark.parametrize(
    ("body", "addresses"),
    [
        pytest.param(endpoint_slice("10.0.0.2", "10.0.0.1"), ("10.0.0.1", "10.0.0.2"), id="sorted"),
        pytest.param(endpoint_slice("10.0.0.1", "10.0.0.1"), ("10.0.0.1",), id="once"),
        pytest.param(endpoint_slice("010.000.0.01"), ("10.0.0.1",), id="leading-zeros-as-kube-proxy-reads-them"),
        pytest.param(endpoint_slice("2001:DB8::0001", kind="IPv6"), ("2001:db8::1",), id="ipv6"),
        pytest.param(endpoint_slice("nonsense", "10.0.0.1"), ("10.0.0.1",), id="one-that-is-none"),
        pytest.param(endpoint_slice("db.example.com", kind="FQDN"), (), id="names-are-no-addresses"),
        pytest.param(endpoint_slice() | {"endpoints": None}, (), id="nulls"),
    ],
)
def test_the_addresses_of_an_endpoint_slice(body: dict[str, Any], addresses: tuple[str, ...]) -> None:
    assert decode.endpoints(body).addresses == addresses
