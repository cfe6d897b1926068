"""Putting values into the spec that a template holds.

Every text is rendered for itself, into the place where it stands: what a label or an annotation says can become a
value, never structure. Nor can it become a word that opens everything or turns something round: such words come from
whoever writes the template.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from appconnectivity.core import api, expressions, ports
from appconnectivity.core.expressions import ExpressionError, shown
from appconnectivity.core.findings import Reason
from appconnectivity.core.intent import Fault, field_path

# How often flows may be looked at for one namespace, of which so many may be there in the end as an object may have.
MAX_REPEATED = 256

AT = ("spec", "template", "spec")
FLOWS = (*AT, "flows")
BARE = ("when", "forEach")
ITEM = "item"
# Words that choose what is opened at all, or turn a demand into its opposite.
_WORDS = frozenset({"mode", "defaultDeny", "policyTypes", "dns", "appLabel", "entity", "key", "operator"})
_LEAST_PREFIX = {4: 8, 6: 16}

Path = tuple[str | int, ...]


class RenderError(ValueError):
    """Why nothing can be had from a template. ``path`` is the place in it, with which the text begins; ``reason`` is
    that of a template of which nothing can be had at all."""

    def __init__(self, path: Path, why: str, *, reason: Reason = Reason.INVALID) -> None:
        super().__init__(f"{field_path(*path)}: {why}")
        self.path = path
        self.reason = reason


@dataclass(frozen=True)
class Scope:
    """What expressions may refer to; ``given`` are the names whose values come from the namespace."""

    variables: Mapping[str, Any]
    given: frozenset[str] = frozenset({"namespace"})

    def with_item(self, item: str, *, given: bool) -> Scope:
        return Scope(
            variables={**self.variables, ITEM: item}, given=self.given | {ITEM} if given else self.given - {ITEM}
        )


@dataclass(frozen=True)
class Filled:
    """A spec in which values stand. ``origins`` are, for each of its flows, the index that this has in the template."""

    spec: dict[str, Any]
    origins: tuple[int, ...]

    def place(self, location: Path) -> Path:
        """Where in the template stands what this part of the spec was made of."""
        if location[:1] != ("flows",) or len(location) == 1:
            return (*AT, *location)
        return (*FLOWS, self.origins[int(location[1])], *location[2:])

    def refusal(self, fault: Fault, raw: Mapping[str, Any], *, name: str = "") -> RenderError:
        """A fault of what came of ``raw``, for the namespace of this name, with the expression and its value."""
        path = self.place(fault.location)
        written, made = part(raw, path[len(AT) :]), part(self.spec, fault.location)
        said = f"as rendered for {name}: {fault.said}" if name else fault.said
        if isinstance(written, str) and expressions.is_expression(written):
            said = f"{_came_to(written, str(made))}{f' for {name}' if name else ''}: {fault.said}"
        return RenderError(path, said, reason=fault.reason)


def fill(raw: Mapping[str, Any], *, scope: Scope) -> Filled:
    """The spec with every default spelled out, as ``raw`` and the scope have it. Raises RenderError."""
    return filled(raw, _flows(raw.get("flows") or [], scope=scope), scope=scope)


def filled(raw: Mapping[str, Any], flows: Iterable[tuple[int, Any]], *, scope: Scope) -> Filled:
    """As ``fill``, with these flows, each after its index."""
    header = {key: _put(value, at=(*AT, key), scope=scope) for key, value in raw.items() if key != "flows"}
    found = list(flows)
    spec = _defaults() | header | {"flows": [body for _, body in found]}
    return Filled(spec, tuple(index for index, _ in found))


def part(value: Any, path: Path) -> Any:
    """What stands there; None where nothing does."""
    for key in path:
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _defaults() -> dict[str, Any]:
    return api.Header().model_dump(mode="json", by_alias=True, exclude_none=True)


def _flows(raws: list[Any], *, scope: Scope) -> list[tuple[int, Any]]:
    found: list[tuple[int, Any]] = []
    inner = [scopes(raw, at=(*FLOWS, index), scope=scope) for index, raw in enumerate(raws)]
    if (count := sum(map(len, inner))) > MAX_REPEATED:
        raise RenderError(FLOWS, f"{count} items of forEach and flows without it, more than {MAX_REPEATED}")
    for index, raw in enumerate(raws):
        at = (*FLOWS, index)
        found += [(index, flow(raw, at=at, scope=one)) for one in inner[index] if is_there(raw, at=at, scope=one)]
        if len(found) > api.MAX_FLOWS:
            raise RenderError(at, f"with this there are more than {api.MAX_FLOWS} flows")
    return found


def scopes(raw: Mapping[str, Any], *, at: Path, scope: Scope) -> list[Scope]:
    """One for each time that a flow may be there: for each item of its ``forEach``."""
    if "forEach" not in raw:
        return [scope]
    text = raw["forEach"]
    given = bool(told(expressions.names_in_expression, text, at=(*at, "forEach")) & scope.given)
    found = told(expressions.items, text, scope.variables, at=(*at, "forEach"))
    return [scope.with_item(item, given=given) for item in found]


def is_there(raw: Mapping[str, Any], *, at: Path, scope: Scope) -> bool:
    """What ``when`` says of a flow."""
    return "when" not in raw or told(expressions.is_true, raw["when"], scope.variables, at=(*at, "when"))


def flow(raw: Mapping[str, Any], *, at: Path, scope: Scope) -> Any:
    """The flow itself, once."""
    return _put({key: value for key, value in raw.items() if key not in BARE}, at=at, scope=scope)


def _put(value: Any, *, at: Path, scope: Scope) -> Any:
    if isinstance(value, Mapping):
        return {key: _put(item, at=(*at, key), scope=scope) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_put(item, at=(*at, index), scope=scope) for index, item in enumerate(value)]
    if not isinstance(value, str) or not expressions.is_expression(value):
        return value
    made: str = told(expressions.render, value, scope.variables, at=at)
    if told(expressions.names_in, value, at=at) & scope.given:
        _refuse_words(made, text=value, at=at)
    return made


def _refuse_words(made: str, *, text: str, at: Path) -> None:
    """Raises RenderError for a value of the namespace's that would be more than a value."""
    name = next(str(key) for key in reversed(at) if isinstance(key, str))
    if name in _WORDS and "matchLabels" not in at:
        raise RenderError(at, f"{shown(text)}: this can come from parameters, not from what a namespace says of itself")
    if name == "ports" and not _is_one_port(made):
        raise RenderError(at, f"{_came_to(text, made)}: what a namespace says of itself must be one port")
    if name in ("cidr", "except") and not _is_modest(made):
        raise RenderError(at, f"{_came_to(text, made)}, too much to be opened by what a namespace says")


def _is_one_port(text: str) -> bool:
    try:
        port = ports.parse_port(text)
    except ValueError:
        return True  # which is told better where the whole spec is checked
    return port is not None and port.first == port.last


def _is_modest(text: str) -> bool:
    try:
        network = api.parse_cidr(text)
    except ValueError:
        return True
    return network.prefixlen >= _LEAST_PREFIX[network.version]


def _came_to(text: str, made: str) -> str:
    # Short enough for the reason after it, in the row that the namespace has in the status of the template.
    return f"{shown(text, most=60)} is {shown(made, most=40)}"


def told(function: Any, *arguments: Any, at: Path) -> Any:
    """What the function returns; its ExpressionError as a RenderError that says where."""
    try:
        return function(*arguments)
    except ExpressionError as error:
        raise RenderError(at, str(error)) from error
