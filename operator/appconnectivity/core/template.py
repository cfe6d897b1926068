"""AppConnectivityTemplate: the spec that each selected namespace gets, and its rendering for one of them.

Every text is rendered for itself, into the place where it stands: what a label or an annotation says can become a
value, never structure. Nor can it become a word that opens everything or turns something round: such words come from
whoever writes the template.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field, StringConstraints, ValidationError

from appconnectivity.core import api, expressions, naming, ports
from appconnectivity.core.expressions import ExpressionError, Values
from appconnectivity.core.findings import Finding, Reason
from appconnectivity.core.intent import explain, field_path
from appconnectivity.core.selectors import Selector

KIND = "AppConnectivityTemplate"
PLURAL = "appconnectivitytemplates"

MAX_PARAMETERS = 32
MAX_EXPRESSIONS = 512
# How often flows may be looked at for one namespace, of which so many may be there in the end as an object may have.
MAX_REPEATED = 256
DEFAULT_CONCURRENT = 20

_AT = ("spec", "template", "spec")
_BARE = ("when", "forEach")
_VARIABLES = frozenset({"namespace", "parameters"})
_ITEM = "item"
# Words that choose what is opened at all, or turn a demand into its opposite.
_WORDS = frozenset({"mode", "defaultDeny", "policyTypes", "dns", "appLabel", "entity", "key", "operator"})
_LEAST_PREFIX = {4: 8, 6: 16}

Path = tuple[str | int, ...]


class RenderError(ValueError):
    """Why a namespace gets nothing new from a template. Names the place in the template."""


class _Selection(api.LabelSelector):
    """Which namespaces; unlike elsewhere an empty selector is refused, since it would mean all of them."""

    def model_post_init(self, _: Any) -> None:
        if not self.match_labels and not self.match_expressions:
            raise ValueError("select by at least one label; for every namespace write that a label Exists")


class _Body(api._Model):
    spec: dict[str, Any]


class TemplateSpec(api._Model):
    """The spec of an AppConnectivityTemplate, save for what ``template.spec`` comes to when it is rendered."""

    namespace_selector: _Selection
    parameters: Annotated[
        dict[
            Annotated[str, StringConstraints(max_length=63, pattern="^[A-Za-z_][A-Za-z0-9_]*$")],
            Annotated[str, StringConstraints(max_length=expressions.MAX_RESULT)],
        ],
        Field(max_length=MAX_PARAMETERS),
    ] = Field(default_factory=dict)
    max_concurrent: Annotated[int, Field(ge=1, le=1000)] = DEFAULT_CONCURRENT
    template: _Body


@dataclass(frozen=True)
class Place:
    """A namespace, as far as a template may know it."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Scope:
    """What expressions may refer to; ``given`` are the names whose values come from the namespace."""

    variables: Mapping[str, Any]
    given: frozenset[str] = frozenset({"namespace"})

    def with_item(self, item: str, *, given: bool) -> _Scope:
        return _Scope(
            variables={**self.variables, _ITEM: item}, given=self.given | {_ITEM} if given else self.given - {_ITEM}
        )


def parse(raw: Any) -> TemplateSpec | Finding:
    """The spec of a template, or what is wrong with it: whatever can be told without a namespace."""
    try:
        spec = TemplateSpec.model_validate(raw)
        _check(spec.template.spec)
    except ValidationError as error:
        return explain(error, at="spec")
    except RenderError as error:
        return Finding(Reason.INVALID, str(error))
    return spec


def render(template: TemplateSpec, place: Place) -> dict[str, Any]:
    """The spec of the AppConnectivity that ``place`` gets, with every default spelled out. Raises RenderError."""
    namespace = {
        "name": place.name,
        "labels": Values("namespace.labels", place.labels),
        "annotations": Values("namespace.annotations", place.annotations),
    }
    variables = {"namespace": Values("namespace", namespace)}
    scope = _Scope(variables=variables | {"parameters": Values("parameters", template.parameters)})
    raw = template.template.spec
    header = {key: _fill(value, at=(*_AT, key), scope=scope) for key, value in raw.items() if key != "flows"}
    spec = _defaults() | header | {"flows": _flows(raw.get("flows") or [], at=(*_AT, "flows"), scope=scope)}
    try:
        api.Spec.model_validate(spec)
    except ValidationError as error:
        raise RenderError(f"as rendered for {place.name}: {explain(error, at='spec').message}") from error
    return spec


@dataclass
class Renderings:
    """One version of a template, and what it came to for each namespace, as long as this says the same of itself."""

    spec: TemplateSpec
    selector: Selector = field(init=False)
    _made: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)
    _distinct: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.selector = Selector.of_api(self.spec.namespace_selector)

    def of(self, place: Place) -> dict[str, Any]:
        """As ``render``. What is the same for many namespaces is kept once."""
        said = naming.digest([place.labels, place.annotations], length=32)
        if self._made.get(place.name, ("",))[0] != said:
            made = render(self.spec, place)
            self._made[place.name] = said, self._distinct.setdefault(naming.digest(made, length=32), made)
        return self._made[place.name][1]


def _defaults() -> dict[str, Any]:
    return api.Header().model_dump(mode="json", by_alias=True, exclude_none=True)


def _flows(raws: list[Any], *, at: Path, scope: _Scope) -> list[Any]:
    found: list[Any] = []
    scopes = [_scopes(raw, at=(*at, index), scope=scope) for index, raw in enumerate(raws)]
    if (count := sum(map(len, scopes))) > MAX_REPEATED:
        raise RenderError(f"{field_path(*at)}: {count} items of forEach and flows without it, more than {MAX_REPEATED}")
    for index, (raw, inner) in enumerate(zip(raws, scopes, strict=True)):
        found += _flow(raw, at=(*at, index), scopes=inner)
        if len(found) > api.MAX_FLOWS:
            raise RenderError(f"{field_path(*at, index)}: with this there are more than {api.MAX_FLOWS} flows")
    return found


def _flow(raw: Mapping[str, Any], *, at: Path, scopes: list[_Scope]) -> Iterator[Any]:
    """The flow as often as its ``forEach`` and ``when`` say."""
    body = {key: value for key, value in raw.items() if key not in _BARE}
    for inner in scopes:
        if "when" not in raw or _told(expressions.is_true, raw["when"], inner.variables, at=(*at, "when")):
            yield _fill(body, at=at, scope=inner)


def _scopes(raw: Mapping[str, Any], *, at: Path, scope: _Scope) -> list[_Scope]:
    if "forEach" not in raw:
        return [scope]
    text = raw["forEach"]
    given = bool(_told(expressions.names_in_expression, text, at=(*at, "forEach")) & scope.given)
    found = _told(expressions.items, text, scope.variables, at=(*at, "forEach"))
    return [scope.with_item(item, given=given) for item in found]


def _fill(value: Any, *, at: Path, scope: _Scope) -> Any:
    if isinstance(value, Mapping):
        return {key: _fill(item, at=(*at, key), scope=scope) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_fill(item, at=(*at, index), scope=scope) for index, item in enumerate(value)]
    if not isinstance(value, str) or not expressions.is_expression(value):
        return value
    made = _told(expressions.render, value, scope.variables, at=at)
    if _told(expressions.names_in, value, at=at) & scope.given:
        _refuse_words(made, at=at)
    return made


def _refuse_words(made: str, *, at: Path) -> None:
    """Raises RenderError for a value of the namespace's that would be more than a value."""
    name = next(str(part) for part in reversed(at) if isinstance(part, str))
    if name in _WORDS and "matchLabels" not in at:
        raise RenderError(f"{field_path(*at)}: this can come from parameters, not from what a namespace says of itself")
    if name == "ports" and not _is_one_port(made):
        raise RenderError(f"{field_path(*at)}: what a namespace says of itself must be one port, not {made[:40]!r}")
    if name in ("cidr", "except") and not _is_modest(made):
        raise RenderError(f"{field_path(*at)}: {made[:40]!r} is too much to be opened by what a namespace says")


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


def _check(raw: Mapping[str, Any]) -> None:
    """Raises RenderError for what could be rendered for no namespace."""
    _check_shape(raw.get("flows"))
    found = [(at, text) for at, text in _texts(raw, at=_AT) if at[-1] in _BARE or expressions.is_expression(text)]
    if len(found) > MAX_EXPRESSIONS:
        raise RenderError(f"{field_path(*_AT)}: {len(found)} expressions, more than {MAX_EXPRESSIONS}")
    for at, text in found:
        names = _told(expressions.names_in_expression if at[-1] in _BARE else expressions.names_in, text, at=at)
        known = _VARIABLES | {_ITEM} if _is_repeated(raw, at=at) else _VARIABLES
        if unknown := sorted(names - known):
            raise RenderError(f"{field_path(*at)}: {unknown[0]} is not known here, only {', '.join(sorted(known))}")


def _check_shape(flows: Any) -> None:
    if flows is not None and not isinstance(flows, list):
        raise RenderError(f"{field_path(*_AT, 'flows')}: must be a list")
    for index, flow in enumerate(flows or ()):
        at = (*_AT, "flows", index)
        if not isinstance(flow, Mapping):
            raise RenderError(f"{field_path(*at)}: must be a map")
        for name in _BARE:
            if name in flow and not isinstance(flow[name], str):
                raise RenderError(f"{field_path(*at, name)}: must be a text")


def _is_repeated(raw: Mapping[str, Any], *, at: Path) -> bool:
    """True inside of a flow with ``forEach``, but for that expression itself."""
    inside = at[len(_AT) :]
    return len(inside) > 2 and inside[0] == "flows" and inside[2] != "forEach" and "forEach" in raw["flows"][inside[1]]


def _texts(value: Any, *, at: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield at, value
        return
    entries = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, item in entries:
        yield from _texts(item, at=(*at, key))


def _told(function: Any, *arguments: Any, at: Path) -> Any:
    """What the function returns; its ExpressionError as a RenderError that says where."""
    try:
        return function(*arguments)
    except ExpressionError as error:
        raise RenderError(f"{field_path(*at)}: {error}") from error
