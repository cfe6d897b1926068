"""What can be told of a template before any namespace is selected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from appconnectivity.core import expressions
from appconnectivity.core.filling import AT, BARE, FLOWS, ITEM, Path, RenderError, told

MAX_EXPRESSIONS = 512

_VARIABLES = frozenset({"namespace", "parameters"})


def check(raw: Mapping[str, Any]) -> None:
    """Raises RenderError for what could be rendered for no namespace."""
    _check_shape(raw.get("flows"))
    found = [(at, text) for at, text in _texts(raw, at=AT) if _is_bare(at) or expressions.is_expression(text)]
    if len(found) > MAX_EXPRESSIONS:
        raise RenderError(AT, f"{len(found)} expressions, more than {MAX_EXPRESSIONS}")
    for at, text in found:
        known = _VARIABLES | {ITEM} if _is_repeated(raw, at=at) else _VARIABLES
        if unknown := sorted(_names(text, at=at) - known):
            raise RenderError(at, f"{unknown[0]} is not known here, only {', '.join(sorted(known))}")


def _check_shape(flows: Any) -> None:
    if flows is not None and not isinstance(flows, list):
        raise RenderError(FLOWS, "must be a list")
    for index, flow in enumerate(flows or ()):
        if not isinstance(flow, Mapping):
            raise RenderError((*FLOWS, index), "must be a map")
        for name in BARE:
            if name in flow and not isinstance(flow[name], str):
                raise RenderError((*FLOWS, index, name), "must be a text")


def _names(text: str, *, at: Path) -> frozenset[str]:
    names: frozenset[str] = told(expressions.names_in_expression if _is_bare(at) else expressions.names_in, text, at=at)
    return names


def _is_bare(at: Path) -> bool:
    """True for a flow's ``when`` and ``forEach`` (which labels may be called, too)."""
    return at[:-2] == FLOWS and at[-1] in BARE


def _is_repeated(raw: Mapping[str, Any], *, at: Path) -> bool:
    """True inside of a flow with ``forEach``, but for that expression itself."""
    inside = at[len(AT) :]
    return len(inside) > 2 and inside[0] == "flows" and inside[2] != "forEach" and "forEach" in raw["flows"][inside[1]]


def _texts(value: Any, *, at: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield at, value
        return
    entries = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, item in entries:
        yield from _texts(item, at=(*at, key))
