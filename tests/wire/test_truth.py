"""The tables that packets are held against: read to the letter, and not looked at until they please."""

from __future__ import annotations

from typing import Any, cast

import pytest

from cluster.wire import truth
from cluster.wire.lab import WireLab
from cluster.wire.traffic import Knock
from wire.families import in_both
from wire.scene import app, world_of

WORLD = world_of({"shop": {}}, app("shop/a", "shop/b"), dual=True)
LINE = "shop/a -> shop/b : TCP 80"
WANTED = truth.expected(WORLD, [LINE], ports=(80,))
FIRST_OPEN, *REST_OPEN = sorted(WANTED.open, key=str)
SHUT = next(iter(WANTED.probes - WANTED.open))


class Looks:
    """A lab in which each look finds the next of these sets of doors open."""

    def __init__(self, *found: set[Knock]) -> None:
        self._found, self.second_looks = [*found], 0

    def knock(self, _: Any) -> frozenset[Knock]:
        return frozenset(self._found.pop(0))

    def settle(self) -> None:
        pass


def observe(looks: Looks) -> frozenset[Knock]:
    return truth.observe(cast("WireLab", looks), WANTED).open


def test_two_lines_for_one_pair_are_refused() -> None:
    with pytest.raises(ValueError, match="two lines for one pair"):
        truth.expected(WORLD, [LINE, "shop/a -> shop/b : TCP 443"], ports=(80, 443))


def test_a_protocol_that_is_named_twice_has_the_ports_of_both() -> None:
    found = truth.expected(WORLD, ["shop/a -> shop/b : TCP 80, UDP 53, TCP 8000-8010"], ports=(53, 80, 8005))

    assert {(probe.protocol, probe.port) for probe in found.open} == {("TCP", 80), ("TCP", 8005), ("UDP", 53)}


def test_a_door_that_was_open_once_though_it_should_be_shut_is_not_looked_at_again() -> None:
    looks = Looks({*WANTED.open, SHUT}, {*WANTED.open})

    assert observe(looks) == WANTED.open | {SHUT}
    assert looks.second_looks == 0


def test_a_door_that_is_still_shut_is_looked_at_again_and_that_is_counted() -> None:
    looks = Looks(set(), {*REST_OPEN}, {*WANTED.open})

    assert observe(looks) == WANTED.open
    assert looks.second_looks == 1


def test_a_difference_is_told_for_each_family() -> None:
    found = truth.Table(WANTED.probes, WANTED.open - {FIRST_OPEN})
    family = "IPv6" if ":" in FIRST_OPEN.ip else "IPv4"

    assert truth.difference(WANTED, found).startswith(f"{family} TCP 80: 1 wrong")
    assert truth.difference(WANTED, WANTED) == ""


def test_a_world_of_one_family_gets_the_other_and_a_hosts_twin_is_open_only_where_nothing_closes() -> None:
    world = world_of({"shop": {}}, app("shop/a", "shop/b"), hosts={"out": "203.0.113.1"})
    lines = ["shop/a -> host:out : TCP 443", "host:out -> shop/b : ALL"]

    both, said = in_both(world, lines)

    assert all(len(pod.ips) == 2 for pod in both.pods)
    assert [host.name for host in both.hosts] == ["out", "out-six"]
    assert said == [*lines, "host:out-six -> shop/b : ALL"]
    assert in_both(both, said) == (both, said)
