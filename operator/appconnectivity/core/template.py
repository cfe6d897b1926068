"""AppConnectivityTemplate: the spec that each selected namespace gets, and its rendering for one of them."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field, StringConstraints, ValidationError

from appconnectivity.core import api, expressions, naming, rehearsal
from appconnectivity.core.expressions import Values
from appconnectivity.core.filling import Path, RenderError, Scope, fill
from appconnectivity.core.findings import Finding
from appconnectivity.core.intent import faults, field_path
from appconnectivity.core.selectors import Selector

KIND = "AppConnectivityTemplate"
PLURAL = "appconnectivitytemplates"

MAX_PARAMETERS = 32
DEFAULT_CONCURRENT = 20


@dataclass(frozen=True)
class Refusal(Finding):
    """Why a template means nothing, and where in it."""

    path: Path = ()


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


def parse(raw: Any) -> TemplateSpec | Refusal:
    """The spec of a template, or what is wrong with its text."""
    try:
        spec = TemplateSpec.model_validate(raw)
        rehearsal.check(spec.template.spec)
    except ValidationError as error:
        fault = next(faults(error))
        path = ("spec", *fault.location)
        return Refusal(fault.reason, f"{field_path(*path)}: {fault.said}", path)
    except RenderError as error:
        return Refusal(error.reason, str(error), error.path)
    return spec


def doubt(template: TemplateSpec) -> Refusal | None:
    """What is likely to be wrong for every namespace; of one that is selected its rendering tells for certain."""
    try:
        rehearsal.rehearse(template.template.spec, template.parameters)
    except RenderError as error:
        return Refusal(error.reason, str(error), error.path)
    return None


def render(template: TemplateSpec, place: Place) -> dict[str, Any]:
    """The spec of the AppConnectivity that ``place`` gets, with every default spelled out. Raises RenderError."""
    namespace = {
        "name": place.name,
        "labels": Values("namespace.labels", place.labels),
        "annotations": Values("namespace.annotations", place.annotations),
    }
    variables = {"namespace": Values("namespace", namespace), "parameters": Values("parameters", template.parameters)}
    made = fill(template.template.spec, scope=Scope(variables))
    try:
        api.Spec.model_validate(made.spec)
    except ValidationError as error:
        raise made.refusal(next(faults(error)), template.template.spec, name=place.name) from error
    return made.spec


@dataclass
class Renderings:
    """One version of a template, and what it came to for each namespace, as long as this says the same of itself."""

    spec: TemplateSpec
    selector: Selector = field(init=False)
    _made: dict[str, tuple[str, dict[str, Any] | RenderError]] = field(default_factory=dict)
    _distinct: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.selector = Selector.of_api(self.spec.namespace_selector)

    def of(self, place: Place) -> dict[str, Any]:
        """As ``render``. What is the same for many namespaces is kept once."""
        said = naming.digest([place.labels, place.annotations], length=32)
        if place.name not in self._made or self._made[place.name][0] != said:
            self._made[place.name] = said, self._make(place)
        made = self._made[place.name][1]
        if isinstance(made, RenderError):
            raise made.with_traceback(None)
        return made

    def keep(self, names: Set[str]) -> None:
        """Forgets what was made for other namespaces, and what is said by none any more."""
        if self._made.keys() <= names and len(self._distinct) <= len(self._made):
            return
        self._made = {name: entry for name, entry in self._made.items() if name in names}
        kept = (made for _, made in self._made.values() if not isinstance(made, RenderError))
        self._distinct = {naming.digest(made, length=32): made for made in kept}

    def _make(self, place: Place) -> dict[str, Any] | RenderError:
        try:
            made = render(self.spec, place)
        except RenderError as error:
            error.__cause__ = error.__context__ = None  # else all that it came of would be kept with it
            return error.with_traceback(None)
        return self._distinct.setdefault(naming.digest(made, length=32), made)
