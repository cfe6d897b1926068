"""What can be told of a template before any namespace is selected: by its text, and by filling it for a namespace of
which nothing is known.

Values that are for a namespace to say are not judged, nor are flows that parameters switch off.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from appconnectivity.core import api, expressions
from appconnectivity.core.expressions import Values
from appconnectivity.core.filling import (
    AT,
    BARE,
    FLOWS,
    ITEM,
    MAX_REPEATED,
    Path,
    RenderError,
    Scope,
    filled,
    flow,
    is_there,
    part,
    scopes,
    told,
)
from appconnectivity.core.intent import faults

MAX_EXPRESSIONS = 512

_NAMESPACE, _PARAMETERS = "namespace", "parameters"
# Stands for whatever a namespace says. Of letters alone, so that filters leave it recognizable.
_SOMETHING = "sometext"


class _Anything(Values):
    """What a namespace says of itself: whatever is asked for is there."""

    def __contains__(self, key: object) -> bool:
        return True

    def __getitem__(self, key: str) -> str:
        return _SOMETHING


class _Parameters(Values):
    """The parameters, where one that is looked up by what a namespace says is there, too."""

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key) or _SOMETHING in str(key).lower()

    def __getitem__(self, key: str) -> str:
        return str(self.get(key, _SOMETHING))


def check(raw: Mapping[str, Any]) -> None:
    """Raises RenderError for what is wrong with the shape of a template's spec, or with the text of an expression."""
    _check_shape([] if raw.get("flows") is None else raw["flows"])
    found = list(_expressions(raw, at=AT))
    if len(found) > MAX_EXPRESSIONS:
        raise RenderError(AT, f"{len(found)} expressions, more than {MAX_EXPRESSIONS}")
    for at, text in found:
        known = {_NAMESPACE, _PARAMETERS} | ({ITEM} if _for_each(raw, at=at) else set())
        if unknown := sorted(_names(text, at=at) - known):
            said = f"{unknown[0]} is not known here, only {', '.join(sorted(known))}; texts stand in quotes"
            raise RenderError(at, said)


def rehearse(raw: Mapping[str, Any], parameters: Mapping[str, str]) -> None:
    """Raises RenderError for what comes out wrong for a namespace that has a text for whatever is asked for.

    It takes one way through each choice, so another namespace may be served well all the same.
    """
    said = {key: _Anything(f"namespace.{key}", {}) for key in ("labels", "annotations")}
    namespace = Values(_NAMESPACE, {"name": _SOMETHING, **said})
    scope = Scope({_NAMESPACE: namespace, _PARAMETERS: _Parameters(_PARAMETERS, parameters)})
    made = filled(raw, _flows(raw.get("flows") or [], scope=scope), scope=scope)
    try:
        api.Spec.model_validate(made.spec)
    except ValidationError as error:
        for fault in faults(error):
            if not _is_given(raw, at=made.place(fault.location)):
                raise made.refusal(fault, raw) from error


def _flows(raws: list[Any], *, scope: Scope) -> Iterator[tuple[int, Any]]:
    """Each flow that may be there, for as many of its items as can be looked at if all flows have so many."""
    for index, raw in enumerate(raws):
        at = (*FLOWS, index)
        for one in scopes(raw, at=at, scope=scope)[: MAX_REPEATED // len(raws)]:
            if is_there(raw, at=at, scope=one) or _is_for_namespaces(raw, at=at, scope=one):
                yield index, flow(raw, at=at, scope=one)


def _is_for_namespaces(raw: Mapping[str, Any], *, at: Path, scope: Scope) -> bool:
    """True where it is by what a namespace says, and that alone, that the flow is there or not."""
    names = _names(raw["when"], at=(*at, "when"))
    return bool(names & scope.given) and _PARAMETERS not in names


def _is_given(raw: Mapping[str, Any], *, at: Path) -> bool:
    """True where a namespace has a say in what stands at this place of the template, or below it."""
    found = _expressions(part(raw, at[len(AT) :]), at=at)
    return any(_names(text, at=place) & _given(_for_each(raw, at=place)) for place, text in found)


def _given(listed: str) -> set[str]:
    """The names whose values come from the namespace, in a flow with this ``forEach``."""
    return {_NAMESPACE, ITEM} if listed and _NAMESPACE in expressions.names_in_expression(listed) else {_NAMESPACE}


def _check_shape(flows: Any) -> None:
    if not isinstance(flows, list):
        raise RenderError(FLOWS, "must be a list")
    if len(flows) > api.MAX_FLOWS:
        raise RenderError(FLOWS, f"{len(flows)} flows, more than {api.MAX_FLOWS}")
    for index, raw in enumerate(flows):
        if not isinstance(raw, Mapping):
            raise RenderError((*FLOWS, index), "must be a map")
        for name in BARE:
            if name in raw and not isinstance(raw[name], str):
                raise RenderError((*FLOWS, index, name), "must be a text")


def _names(text: str, *, at: Path) -> frozenset[str]:
    names: frozenset[str] = told(expressions.names_in_expression if _is_bare(at) else expressions.names_in, text, at=at)
    return names


def _is_bare(at: Path) -> bool:
    """True for a flow's ``when`` and ``forEach`` (which labels may be called, too)."""
    return at[:-2] == FLOWS and at[-1] in BARE


def _for_each(raw: Mapping[str, Any], *, at: Path) -> str:
    """The ``forEach`` of the flow in which this is, but not for that itself; empty where there is none."""
    inside = at[len(AT) :]
    if len(inside) < 3 or inside[0] != "flows" or inside[2] == "forEach":
        return ""
    return str(part(raw, (*inside[:2], "forEach")) or "")


def _expressions(value: Any, *, at: Path) -> Iterator[tuple[Path, str]]:
    for place, text in _texts(value, at=at):
        if _is_bare(place) or expressions.is_expression(text):
            yield place, text


def _texts(value: Any, *, at: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield at, value
        return
    entries = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, item in entries:
        yield from _texts(item, at=(*at, key))
