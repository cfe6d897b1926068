"""What a template has to do in which namespace, as a value: desired objects against those that stand. No I/O.

| namespace          | object of the template's name | what is done                                              |
|--------------------|-------------------------------|-----------------------------------------------------------|
| selected           | none                          | CREATE                                                    |
| selected           | ours, says the same           | KEEP                                                      |
| selected           | ours, says something else     | UPDATE                                                    |
| selected           | ours, being deleted           | RELEASE (finalizers would keep it half deleted)           |
| selected           | not ours, in place of ours    | UPDATE (whoever may delete ours can't put another there)  |
| selected           | not ours                      | CONFLICT                                                  |
| selected, no spec  | any                           | FAIL (what stands stays)                                  |
| not selected       | ours, enforced                | RETIRE (Audit: its policies go in their order)            |
| not selected       | ours, without policies        | DELETE                                                    |
| protected, ending  | any                           | (left out)                                                |

Of CREATE and UPDATE only so many are under way at a time; the rest WAITs. A repair never waits.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from appconnectivity.core import api, naming, status
from appconnectivity.core.filling import RenderError
from appconnectivity.core.findings import Finding, Reason
from appconnectivity.core.policy import FIELD_MANAGER
from appconnectivity.core.template import KIND, Place, Renderings

Body = Mapping[str, Any]


class Action(StrEnum):
    """What is to be done in one namespace; KEEP, WAIT, CONFLICT and FAIL write nothing."""

    CREATE = "create"
    UPDATE = "update"
    RELEASE = "release"
    RETIRE = "retire"
    DELETE = "delete"
    KEEP = "keep"
    WAIT = "wait"
    CONFLICT = "conflict"
    FAIL = "fail"


@dataclass(frozen=True)
class Stood:
    """What is known to have stood in a namespace: the namespace's uid, and the digest of the object's spec."""

    namespace_uid: str
    digest: str


@dataclass(frozen=True)
class Template:
    """One template as it was read; ``renderings`` is None where it is gone."""

    name: str
    uid: str = ""
    renderings: Renderings | None = None

    def owns(self, body: Body) -> bool:
        """Ours is what this template owns, or what our field manager has applied (not only its status)."""
        metadata = body["metadata"]
        return any(_is_to(reference, self.name) for reference in metadata.get("ownerReferences") or ()) or any(
            entry.get("manager") == FIELD_MANAGER and entry.get("operation") == "Apply" and not entry.get("subresource")
            for entry in metadata.get("managedFields") or ()
        )

    def selects(self, place: Place) -> bool:
        return self.renderings is not None and self.renderings.selector.matches(place.labels)

    def body(self, place: Place) -> dict[str, Any]:
        """The object that a namespace gets, as it is applied: every field that we own, and no other.

        Raises RenderError where there is none for it.
        """
        assert self.renderings is not None  # a template that is gone selects nothing
        spec = self.renderings.of(place)
        metadata: dict[str, Any] = {
            "annotations": {naming.DESCRIPTION_ANNOTATION: f"Kept as it is by {KIND} {self.name}; edits are undone."},
            "labels": {naming.MANAGED_BY_LABEL: naming.MANAGED_BY, naming.TEMPLATE_LABEL: self.name},
            "name": self.name,
            "namespace": place.name,
        }
        if self.uid:
            metadata["ownerReferences"] = [
                {"apiVersion": api.API_VERSION, "controller": True, "kind": KIND, "name": self.name, "uid": self.uid}
            ]
        return {"apiVersion": api.API_VERSION, "kind": api.KIND, "metadata": metadata, "spec": spec}


@dataclass(frozen=True)
class Step:
    """One namespace's action: ``body`` should stand there (as ``stands`` tells in short), and ``observed`` does."""

    action: Action
    namespace: str
    body: Body | None = None
    observed: Body | None = None
    stands: Stood | None = None
    finding: Finding | None = None
    is_repair: bool = False

    @property
    def is_selected(self) -> bool:
        """False where the namespace is on its way out of the template."""
        return self.body is not None or self.finding is not None


@dataclass(frozen=True)
class Rollout:
    """All steps of a template, by namespace; ``protected`` are those that it selects and must leave alone."""

    steps: tuple[Step, ...] = field(default_factory=tuple)
    protected: tuple[str, ...] = ()

    def of(self, *actions: Action) -> list[Step]:
        return [step for step in self.steps if step.action in actions]

    @property
    def takes_away(self) -> bool:
        return bool(self.of(Action.RETIRE, Action.DELETE))

    @property
    def selected(self) -> list[Step]:
        return [step for step in self.steps if step.is_selected]


def digest(body: Body) -> str:
    """Equal for objects whose specs say the same."""
    return naming.digest(body.get("spec"), length=16)


def plan(
    template: Template,
    *,
    namespaces: Collection[Body],
    objects: Iterable[Body],
    protected: Collection[str],
    written: Mapping[str, Stood],
    behind: Collection[str] = (),
) -> Rollout:
    """What brings the objects of the template's name (a complete LIST) to what it says for these namespaces.

    ``written`` tells, by namespace, what we know to have stood there. Namespaces that are ``behind`` (refused, or on
    their way for too long) hold up no other.
    """
    live = {body["metadata"]["namespace"]: body for body in objects}
    places = [body for body in namespaces if not _is_left_alone(body, protected=protected)]
    found = [_judge(template, body, live.get(body["metadata"]["name"]), written=written) for body in places]
    steps = sorted((step for step in found if step is not None), key=lambda step: step.namespace)
    limit = template.renderings.spec.max_concurrent if template.renderings else 0
    held_back = [place.name for place in map(_place, namespaces) if place.name in protected and template.selects(place)]
    return Rollout(_within_limit(steps, limit=limit, behind=behind), protected=tuple(sorted(held_back)))


def is_judged(body: Body) -> bool:
    """True where the operator has seen to this generation of the object, however that came out."""
    reported = body.get("status") or {}
    is_current = reported.get("observedGeneration") == body["metadata"].get("generation")
    return is_current and status.condition(reported, "Ready").get("status") in ("True", "False")


def _judge(template: Template, namespace: Body, live: Body | None, *, written: Mapping[str, Stood]) -> Step | None:
    place = _place(namespace)
    ours = live is not None and template.owns(live)
    if not template.selects(place):
        return _leave(place.name, live) if live is not None and ours else None
    try:
        body = template.body(place)
    except RenderError as error:
        return Step(Action.FAIL, place.name, observed=live, finding=Finding(Reason.RENDER_FAILED, str(error)))
    uid = namespace["metadata"].get("uid", "")
    stood, stands = written.get(place.name), Stood(uid, digest(body))
    known = stood if stood is not None and stood.namespace_uid == uid else None
    if live is not None and not ours and known is None:
        return Step(Action.CONFLICT, place.name, body, live, finding=_conflict(template.name))
    is_repair = known is not None and (known == stands or live is None or digest(live) != known.digest)
    return Step(_towards(body, live), place.name, body, live, stands, is_repair=is_repair)


def _towards(body: Body, live: Body | None) -> Action:
    if live is None:
        return Action.CREATE
    if live["metadata"].get("deletionTimestamp"):
        return Action.RELEASE
    return Action.KEEP if matches(body, live) else Action.UPDATE


def matches(body: Body, live: Body) -> bool:
    """True where the live object says all that ours should say, and nothing else in its spec."""
    desired, found = body["metadata"], live["metadata"]
    return (
        live.get("spec") == body["spec"]
        and desired["labels"].items() <= (found.get("labels") or {}).items()
        and desired["annotations"].items() <= (found.get("annotations") or {}).items()
        and all(reference in (found.get("ownerReferences") or ()) for reference in desired.get("ownerReferences", ()))
    )


def _leave(namespace: str, live: Body) -> Step | None:
    """On the way out: first without policies, in the order in which these have to go, then without the object."""
    if live["metadata"].get("deletionTimestamp"):
        return Step(Action.RELEASE, namespace, observed=live)
    if (live.get("spec") or {}).get("mode") != api.Mode.AUDIT:
        return Step(Action.RETIRE, namespace, observed=live)
    return Step(Action.DELETE if is_judged(live) else Action.WAIT, namespace, observed=live)


def _within_limit(steps: list[Step], *, limit: int, behind: Collection[str]) -> tuple[Step, ...]:
    """The steps, with those that have to wait for room; room goes first to namespaces that are not behind."""
    on_their_way = [step for step in steps if step.action is Action.KEEP and not is_judged(step.observed or {})]
    asking = [step for step in steps if step.action in (Action.CREATE, Action.UPDATE) and not step.is_repair]
    room = max(0, limit - sum(step.namespace not in behind for step in on_their_way))
    waiting = {step.namespace for step in sorted(asking, key=lambda step: step.namespace in behind)[room:]}
    return tuple(replace(step, action=Action.WAIT) if step.namespace in waiting else step for step in steps)


def _conflict(name: str) -> Finding:
    return Finding(
        Reason.NAME_CONFLICT,
        f"AppConnectivity {name} is not this template's and is left alone; rename or delete it",
    )


def _place(namespace: Body) -> Place:
    metadata = namespace["metadata"]
    return Place(metadata["name"], labels=metadata.get("labels") or {}, annotations=metadata.get("annotations") or {})


def _is_left_alone(namespace: Body, *, protected: Collection[str]) -> bool:
    return namespace["metadata"]["name"] in protected or bool(namespace["metadata"].get("deletionTimestamp"))


def _is_to(reference: Mapping[str, Any], name: str) -> bool:
    group = reference["apiVersion"].split("/")[0]
    return bool(group == api.GROUP and reference["kind"] == KIND and reference["name"] == name)
