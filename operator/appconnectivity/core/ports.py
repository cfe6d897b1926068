"""Ports as people write them and as NetworkPolicy wants them: parsing, order, and what covers what."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

PROTOCOLS = ("TCP", "UDP", "SCTP")
MAX_PORT = 65535

# One pattern for all string forms; the CRD carries the same. A name is an IANA service name (RFC 6335 5.1).
_RANGE = re.compile(r"^(?P<first>[0-9]{1,5})(-(?P<last>[0-9]{1,5}))?(/(?P<protocol>TCP|UDP|SCTP))?$")
_NAME = re.compile(r"^(?P<name>[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?)(/(?P<protocol>TCP|UDP|SCTP))?$")
_FORMS = 'write 8080, "53/UDP", "30000-32767/TCP", a port name such as "metrics", or "*"'


@dataclass(frozen=True, order=True)
class Port:
    """Pod ports of one protocol: a number, a range (first < last), or a name (then first and last are 0)."""

    protocol: str
    first: int = 0
    last: int = 0
    name: str = ""

    @property
    def is_named(self) -> bool:
        return bool(self.name)

    def covers(self, other: Port) -> bool:
        """True where every pod port that ``other`` means is meant by this one too."""
        if self.protocol != other.protocol or self.name != other.name:
            return False
        return self.first <= other.first and other.last <= self.last

    def __str__(self) -> str:
        number = str(self.first) if self.first == self.last else f"{self.first}-{self.last}"
        return f"{self.protocol} {self.name or number}"


@dataclass(frozen=True)
class Ports:
    """Some ports, or all of them: two things that an empty list must never be mistaken for."""

    listed: tuple[Port, ...] = ()
    all: bool = False

    @classmethod
    def of(cls, ports: Iterable[Port]) -> Ports:
        return cls(listed=tuple(sorted(set(ports))))

    @property
    def is_empty(self) -> bool:
        return not self.all and not self.listed

    @property
    def has_names(self) -> bool:
        return any(port.is_named for port in self.listed)

    def covers(self, other: Ports) -> bool:
        """True where every port of ``other`` is in here, each in one entry (never by adding entries up)."""
        if self.all or other.all:
            return self.all
        return all(any(mine.covers(theirs) for mine in self.listed) for theirs in other.listed)

    def __str__(self) -> str:
        return "all ports" if self.all else ", ".join(map(str, self.listed))


ALL_PORTS = Ports(all=True)


def parse_port(value: int | str) -> Port | None:
    """One entry of ``ports``; None stands for ``"*"``.

    Raises ValueError with the forms that are understood.
    """
    if type(value) is int and 1 <= value <= MAX_PORT:  # as most are; and no bool
        return Port(protocol="TCP", first=value, last=value)
    if value == "*":
        return None
    text = str(value)
    if match := _RANGE.fullmatch(text):
        first = int(match["first"])
        last = int(match["last"] or first)
        return _numbered(text=text, first=first, last=last, protocol=match["protocol"] or "TCP")
    match = _NAME.fullmatch(text)
    if not match or not re.search("[a-z]", match["name"]) or "--" in match["name"]:
        raise ValueError(f"{text!r} is not a port: {_FORMS}")
    return Port(protocol=match["protocol"] or "TCP", name=match["name"])


def parse_ports(values: Iterable[int | str]) -> Ports:
    """All entries of ``ports``; ``"*"`` makes it all ports, whatever else is listed."""
    parsed = [parse_port(value) for value in values]
    if None in parsed:
        return ALL_PORTS
    return Ports.of(port for port in parsed if port is not None)


def _numbered(*, text: str, first: int, last: int, protocol: str) -> Port:
    if not 1 <= first <= MAX_PORT or last > MAX_PORT:
        raise ValueError(f"{text!r}: a port must be 1..{MAX_PORT}")
    if last < first:
        raise ValueError(f"{text!r}: the end of a range must not be below its start")
    return Port(protocol=protocol, first=first, last=last)
