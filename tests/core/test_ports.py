"""Ports: every form that people write, and what covers what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appconnectivity.core.ports import ALL_PORTS, MAX_PORT, Port, Ports, parse_port, parse_ports


@pytest.mark.parametrize(
    ("value", "port"),
    [
        pytest.param(8080, Port("TCP", 8080, 8080), id="a-number"),
        pytest.param("8080", Port("TCP", 8080, 8080), id="a-number-as-text"),
        pytest.param("53/UDP", Port("UDP", 53, 53), id="a-number-with-protocol"),
        pytest.param("30000-32767/TCP", Port("TCP", 30000, 32767), id="a-range"),
        pytest.param("38412/SCTP", Port("SCTP", 38412, 38412), id="sctp"),
        pytest.param("7-7", Port("TCP", 7, 7), id="a-range-of-one"),
        pytest.param("metrics", Port("TCP", name="metrics"), id="a-name"),
        pytest.param("dns/UDP", Port("UDP", name="dns"), id="a-name-with-protocol"),
        pytest.param("8080-http", Port("TCP", name="8080-http"), id="a-name-that-begins-with-digits"),
        pytest.param("*", None, id="all"),
    ],
)
def test_a_port_is_understood(value: int | str, port: Port | None) -> None:
    assert parse_port(value) == port


@pytest.mark.parametrize(
    ("value", "said"),
    [
        pytest.param(0, "a port must be 1..65535", id="zero"),
        pytest.param(65536, "a port must be 1..65535", id="too-high"),
        pytest.param("1-65536", "a port must be 1..65535", id="a-range-too-high"),
        pytest.param("90-80", "must not be below its start", id="a-range-backwards"),
        pytest.param(-1, "a port", id="negative"),
        pytest.param("", "is not a port", id="nothing"),
        pytest.param("80/tcp", "is not a port", id="protocol-in-small-letters"),
        pytest.param("80/ICMP", "is not a port", id="a-protocol-without-ports"),
        pytest.param("80 ", "is not a port", id="a-space"),
        pytest.param("80\n", "is not a port", id="a-newline"),
        pytest.param("http\n", "is not a port", id="a-name-with-a-newline"),
        pytest.param("٨٠", "is not a port", id="other-digits"),
        pytest.param("a--b", "is not a port", id="two-dashes"),
        pytest.param("-http", "is not a port", id="a-dash-first"),
        pytest.param("abcdefghijklmnop", "is not a port", id="a-name-of-16"),
        pytest.param("*/UDP", "is not a port", id="all-of-one-protocol"),
        pytest.param("123456", "is not a port", id="six-digits"),
    ],
)
def test_what_is_no_port_is_refused_with_a_way_out(value: int | str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_port(value)


def test_all_ports_swallow_the_others() -> None:
    assert parse_ports([80, "*"]) == ALL_PORTS


def test_the_order_and_repetition_of_ports_do_not_matter() -> None:
    assert parse_ports([443, 80, "80/TCP"]) == parse_ports(["80", 443])


def test_no_ports_are_not_all_ports() -> None:
    assert Ports().is_empty
    assert not ALL_PORTS.is_empty
    assert not Ports().covers(ALL_PORTS)


@pytest.mark.parametrize(
    ("mine", "theirs", "covers"),
    [
        pytest.param(["*"], [80, "metrics"], True, id="all-cover-any"),
        pytest.param([80], ["*"], False, id="one-does-not-cover-all"),
        pytest.param(["*"], ["*"], True, id="all-cover-all"),
        pytest.param([80], [80, 443], False, id="one-does-not-cover-two"),
        pytest.param(["80-90"], [85], True, id="a-range-covers-a-number-in-it"),
        pytest.param(["80-90"], ["85-91"], False, id="a-range-does-not-cover-beyond-its-end"),
        pytest.param(["80/UDP"], [80], False, id="another-protocol"),
        pytest.param(["metrics"], ["metrics"], True, id="the-same-name"),
        pytest.param(["metrics"], ["web"], False, id="another-name"),
        pytest.param(["1-65535"], ["metrics"], False, id="numbers-do-not-cover-a-name"),
        pytest.param(["metrics"], [80], False, id="a-name-does-not-cover-a-number"),
    ],
)
def test_ports_cover_ports(mine: list[int | str], theirs: list[int | str], covers: bool) -> None:
    assert parse_ports(mine).covers(parse_ports(theirs)) is covers


numbers = st.integers(1, MAX_PORT)


@given(st.tuples(numbers, numbers).map(sorted), st.tuples(numbers, numbers).map(sorted), numbers)
def test_what_is_in_a_covered_range_is_in_the_range(mine: list[int], theirs: list[int], number: int) -> None:
    outer, inner, one = (Ports.of([Port("TCP", first, last)]) for first, last in (mine, theirs, (number, number)))

    assert not (outer.covers(inner) and inner.covers(one)) or outer.covers(one)


@given(st.lists(st.tuples(numbers, st.sampled_from(["TCP", "UDP", "SCTP"])), min_size=1))
def test_written_ports_read_back(ports: list[tuple[int, str]]) -> None:
    parsed = parse_ports([f"{number}/{protocol}" for number, protocol in ports])

    assert {(port.first, port.protocol) for port in parsed.listed} == set(ports)
