"""Our own evaluator, asked about single connections."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from appconnectivity.core.reachability import World, connections
from oracle.declared import Connection


def opened(world: World, policies: Iterable[Any], asked: Iterable[Connection]) -> set[Connection]:
    """Those of the asked connections that get through."""
    lines = (line.split(" : ") for line in connections(world, policies))
    texts = {tuple(pair.split(" -> ")): text for pair, text in lines}
    return {ask for ask in asked if holds(texts.get(ask[:2], ""), *ask[2:])}


@cache
def holds(text: str, protocol: str, port: int) -> bool:
    """True where a text such as ``TCP 80,8000-8010, UDP 53`` has the port."""
    if text == "ALL":
        return True
    for part in text.split(", "):
        if part.startswith(f"{protocol} "):
            spans = (span.split("-") for span in part.removeprefix(f"{protocol} ").split(","))
            return any(int(span[0]) <= port <= int(span[-1]) for span in spans)
    return False
