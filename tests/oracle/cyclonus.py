"""cyclonus, the evaluator of NetworkPolicies that others wrote, asked about many connections at once.

Its evaluator is taken as it comes (https://github.com/mattfenwick/cyclonus, built from ``tests/cluster/cyclonus``);
see ``beyond`` for what it gets wrong.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from appconnectivity.core.reachability import Host, Pod, World
from cluster import binaries
from oracle.declared import Connection, Place, places, routes

_LONGEST_RUN_SECONDS = 250


class Refused(Exception):
    """cyclonus did not answer, or not every question."""


def opened(world: World, asked: Sequence[Connection], sets: Sequence[Sequence[Any]]) -> list[set[Connection]]:
    """For each set of policies those of the asked connections of the world that cyclonus lets through.

    Raises Refused, and MissingBinaries where cyclonus can't be built.
    """
    program = binaries.programs("oracle")["cyclonus"]
    questions = _questions(world, asked)
    text = "\n".join([_document(world, questions), *map(json.dumps, sets)])
    done = subprocess.run(
        [program], input=text.encode(), capture_output=True, timeout=_LONGEST_RUN_SECONDS, check=False
    )
    lines = done.stdout.decode().splitlines()
    if done.returncode or [len(line) for line in lines] != [len(questions)] * len(sets):
        raise Refused(f"{len(lines)} answers to {len(sets)} questions: {done.stderr[-2000:].decode()}")
    return [
        {question.ask for question, verdict in zip(questions, line, strict=True) if verdict == "1"} for line in lines
    ]


def beyond(policies: Iterable[Any]) -> str:
    """Why cyclonus can't judge these policies; empty where it can. Each reason has its test in ``test_cyclonus``."""
    for selector in _selectors(policies):
        if "" in selector.get("matchLabels", {}).values():
            return "takes a label that is asked to be empty as met by a pod that does not have it"
        if any(entry["operator"] == "NotIn" for entry in selector.get("matchExpressions", ())):
            return "takes NotIn as not met by a pod without the label"
    return ""


def _selectors(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in ("podSelector", "namespaceSelector"):
                yield inner
            else:
                yield from _selectors(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _selectors(inner)


@dataclass(frozen=True)
class _Question:
    """A connection in one of the address families that its ends share; where any gets through, the connection does."""

    ask: Connection
    source: Place
    target: Place


def _questions(world: World, asked: Sequence[Connection]) -> list[_Question]:
    ends = {end.ref: end for end in world.ends}
    found = {pair: routes(ends[pair[0]], ends[pair[1]]) for pair in {ask[:2] for ask in asked}}
    return [_Question(ask, *route) for ask in asked for route in found[ask[:2]]]


def _document(world: World, questions: Iterable[_Question]) -> str:
    everyone = [place for end in world.ends for place in places(end)]
    number = {(place.end.ref, place.address): index for index, place in enumerate(everyone)}
    return json.dumps(
        {
            "Peers": [_peer(world, place) for place in everyone],
            "Questions": [
                {
                    "Source": number[question.source.end.ref, question.source.address],
                    "Destination": number[question.target.end.ref, question.target.address],
                    "Protocol": question.ask[2],
                    "Port": question.ask[3],
                    "PortName": _port_name(question.target.end, *question.ask[2:]),
                }
                for question in questions
            ],
        }
    )


def _peer(world: World, place: Place) -> Any:
    end, address = place.end, {"IP": str(place.address or "")}
    if isinstance(end, Host):
        return address
    labels = {"PodLabels": dict(end.labels), "NamespaceLabels": dict(world.namespaces[end.namespace])}
    return address | {"Internal": {"Namespace": end.namespace} | labels}


def _port_name(target: Pod | Host, protocol: str, port: int) -> str:
    """What the target calls this port: cyclonus leaves it to the one who asks to look that up."""
    ports = target.ports if isinstance(target, Pod) else {}
    return next((name for name, found in ports.items() if found == (protocol, port)), "")
