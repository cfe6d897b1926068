"""Truth tables: for every pair of ends and every probed port what is expected, what is observed, what differs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

from appconnectivity.core.reachability import Host, Pod, World
from cluster.wire.lab import WireLab
from cluster.wire.traffic import Knock

PROTOCOLS = ("TCP", "UDP", "SCTP")
_MORE_LOOKS = 2
_EVERYTHING = "ALL"


@dataclass(frozen=True)
class Table:
    """What is open, complete: every probe of every pair is in ``probes``, and so either open or shut."""

    probes: frozenset[Knock]
    open: frozenset[Knock]

    @property
    def ends(self) -> list[str]:
        return sorted({end for probe in self.probes for end in (probe.source, probe.target)})


def expected(world: World, lines: Iterable[str], *, ports: Sequence[int]) -> Table:
    """The table that lines such as ``shop/a -> shop/b : TCP 8080-8090, UDP 53`` mean: these, and nothing else."""
    pairs = [(pair, what) for pair, _, what in (line.partition(" : ") for line in lines)]
    said = dict(pairs)
    if len(said) < len(pairs):
        raise ValueError(f"two lines for one pair: {sorted(pair for pair, _ in pairs)}")
    unknown = {ref for pair in said for ref in pair.split(" -> ")} - {end.ref for end in world.ends}
    if unknown:
        raise ValueError(f"not in the world: {', '.join(sorted(unknown))}")
    probes = frozenset(_probes(world, ports=ports))
    is_open = (probe for probe in probes if _says(said.get(f"{probe.source} -> {probe.target}", ""), probe))
    return Table(probes=probes, open=frozenset(is_open))


def observe(lab: WireLab, wanted: Table) -> Table:
    """Knocks at every door. Where one is wrongly shut, all of it is tried again after the enforcer has settled.

    Never only what was wrong: what is wrong in turns would come out right. And never where one is wrongly open: that
    it was open once is enough. How many tables were looked at again is counted in ``lab.second_looks``.
    """
    found = lab.knock(wanted.probes)
    for look in range(_MORE_LOOKS):
        if not found < wanted.open:
            break
        lab.second_looks += look == 0
        lab.settle()
        found = lab.knock(wanted.probes)
    return Table(probes=wanted.probes, open=found)


def prove(lab: WireLab, wanted: Table) -> None:
    """Raises AssertionError with the tables, port by port, where packets do not do what is wanted."""
    said = difference(wanted, observe(lab, wanted))
    if said:
        raise AssertionError(said)


def difference(wanted: Table, found: Table) -> str:
    """Empty where both agree; else, for each port that differs, the three tables side by side."""
    wrong = wanted.open ^ found.open
    parts = []
    for kind in sorted({_kind(probe) for probe in wrong}):
        parts.append(f"{' '.join(map(str, kind))}: {sum(_kind(probe) == kind for probe in wrong)} wrong")
        for title, doors in (("expected", wanted.open), ("observed", found.open), ("difference", wrong)):
            parts += [title, _drawn(wanted, doors, kind=kind)]
    return "\n".join(parts)


def ports_of(lines: Iterable[str], *, more: Iterable[int] = ()) -> tuple[int, ...]:
    """The ports that lines name, with their neighbours, and 53 and one that nobody names: what ought to be probed."""
    named = {int(number) for line in lines for number in re.findall(r"\d+", line.partition(" : ")[2])} | {*more}
    beside = {number + step for number in named for step in (-1, 0, 1)}
    return tuple(sorted({port for port in beside if 1 <= port <= 65535} | {53, 9999}))


def _probes(world: World, *, ports: Sequence[int]) -> Iterable[Knock]:
    for source, target in product(world.ends, repeat=2):
        if source.ref == target.ref or (isinstance(source, Host) and isinstance(target, Host)):
            continue
        families = {":" in ip for ip in _ips(source)}
        for ip, protocol, port in product(_ips(target), PROTOCOLS, ports):
            if (":" in ip) in families:
                yield Knock(source=source.ref, target=target.ref, ip=ip, protocol=protocol, port=port)


def _ips(end: Pod | Host) -> tuple[str, ...]:
    return (end.ip,) if isinstance(end, Host) else end.ips


def _says(text: str, probe: Knock) -> bool:
    if text == _EVERYTHING:
        return True
    return any(_has(part, probe) for part in text.split(", "))


def _has(part: str, probe: Knock) -> bool:
    protocol, _, spans = part.partition(" ")
    bounds = (span.split("-") for span in spans.split(",")) if protocol == probe.protocol else ()
    return any(int(bound[0]) <= probe.port <= int(bound[-1]) for bound in bounds)


def _kind(probe: Knock) -> tuple[str, str, int]:
    return "IPv6" if ":" in probe.ip else "IPv4", probe.protocol, probe.port


def _drawn(table: Table, doors: Iterable[Knock], *, kind: tuple[str, str, int]) -> str:
    """One line a source, one column a target: ``X`` for a door that is in ``doors``, ``.`` for one that is not, ``-``
    where there is none."""
    here = {(door.source, door.target) for door in doors if _kind(door) == kind}
    probed = {(probe.source, probe.target) for probe in table.probes if _kind(probe) == kind}
    width = max(len(ref) for ref in table.ends)
    rows = [
        f"  {source:{width}} "
        + " ".join("X" if (source, to) in here else "." if (source, to) in probed else "-" for to in table.ends)
        for source in table.ends
    ]
    return "\n".join(rows)
