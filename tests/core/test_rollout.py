"""The plan of a template: what is done in which namespace, and how its status tells of it."""

from __future__ import annotations

from typing import Any

import pytest

from appconnectivity.core import rollout, template_status
from appconnectivity.core.findings import Finding, Reason
from appconnectivity.core.policy import FIELD_MANAGER
from appconnectivity.core.rollout import Action, Rollout, Stood, Template
from appconnectivity.core.template import Renderings, TemplateSpec, parse
from builders import flow

Body = dict[str, Any]
NOW = "2026-06-01T12:00:00Z"


def template(*flows: Body, limit: int = 10) -> Template:
    spec = parse(
        {
            "namespaceSelector": {"matchLabels": {"baseline": "standard"}},
            "maxConcurrent": limit,
            "template": {"spec": {"flows": [*flows]}},
        }
    )
    assert isinstance(spec, TemplateSpec)
    return Template(name="standard", uid="t-1", renderings=Renderings(spec))


TEMPLATE = template(flow("a", "b"))
GONE = Template(name="standard")


def namespace(name: str = "team", *, selected: bool = True, **metadata: Any) -> Body:
    labels = {"baseline": "standard"} if selected else {}
    return {"metadata": {"name": name, "labels": labels, **metadata}}


def standing(name: str = "team", *, of: Template = TEMPLATE, ready: str = "True", **more: Any) -> Body:
    """The template's object as the API server has it: seen to, unless ``ready`` is Unknown."""
    (step,) = plan(namespace(name), template=of).steps
    body: Body = {**(step.body or {})}
    status = {
        "observedGeneration": 1,
        "conditions": [{"type": "Ready", "status": ready, "reason": more.pop("reason", "Ready"), "message": "m"}],
    }
    metadata = {**body["metadata"], "uid": f"o-{name}", "generation": 1, **more.pop("metadata", {})}
    return body | {"metadata": metadata, "status": status, "spec": body["spec"] | more}


def foreign(name: str = "team") -> Body:
    metadata = {"name": "standard", "namespace": name, "managedFields": [{"manager": "kubectl", "operation": "Update"}]}
    return {"metadata": metadata, "spec": {"flows": []}}


def plan(*namespaces: Body, template: Template = TEMPLATE, objects: tuple[Body, ...] = (), **more: Any) -> Rollout:
    given = {"protected": frozenset[str](), "written": {}} | more
    return rollout.plan(template, namespaces=namespaces, objects=objects, **given)


def actions(*args: Any, **kwargs: Any) -> dict[str, str]:
    return {step.namespace: step.action.value for step in plan(*args, **kwargs).steps}


DELETING: dict[str, Any] = {"deletionTimestamp": NOW}
HELD = DELETING | {"finalizers": ["mallory.example/keep"]}
OWN = {"written": {"team": Stood("", rollout.digest(standing()))}}


@pytest.mark.parametrize(
    ("place", "live", "more", "expected"),
    [
        pytest.param(namespace(), [], {}, {"team": "create"}, id="nothing there"),
        pytest.param(namespace(), [standing()], {}, {"team": "keep"}, id="as it should be"),
        pytest.param(namespace(), [standing(mode="Audit")], {}, {"team": "update"}, id="changed"),
        pytest.param(namespace(), [standing(appLabel="x")], {}, {"team": "update"}, id="a field too many"),
        pytest.param(namespace(), [standing(metadata={"labels": {}})], {}, {"team": "update"}, id="without its labels"),
        pytest.param(namespace(), [standing(metadata=DELETING)], {}, {"team": "release"}, id="being deleted"),
        pytest.param(namespace(), [foreign()], {}, {"team": "conflict"}, id="somebody else's"),
        pytest.param(namespace(), [foreign()], OWN, {"team": "update"}, id="somebody else's in the place of ours"),
        pytest.param(namespace(selected=False), [], {}, {}, id="not selected, nothing there"),
        pytest.param(namespace(selected=False), [foreign()], {}, {}, id="not selected, somebody else's"),
        pytest.param(namespace(selected=False), [standing()], {}, {"team": "retire"}, id="no longer selected"),
        pytest.param(
            namespace(selected=False), [standing(mode="Audit")], {}, {"team": "delete"}, id="retired and seen to"
        ),
        pytest.param(
            namespace(selected=False),
            [standing(mode="Audit", ready="Unknown")],
            {},
            {"team": "wait"},
            id="retired and not seen to yet",
        ),
        pytest.param(
            namespace(selected=False), [standing(metadata=HELD)], {}, {"team": "release"}, id="held though it must go"
        ),
        pytest.param(
            namespace(uid="n-2"), [foreign()], OWN, {"team": "conflict"}, id="somebody else's in a namespace made anew"
        ),
        pytest.param(namespace(), [standing()], {"template": GONE}, {"team": "retire"}, id="the template is gone"),
        pytest.param(namespace(**DELETING), [standing()], {}, {}, id="the namespace is ending"),
        pytest.param(namespace(), [standing()], {"protected": {"team"}}, {}, id="the namespace is protected"),
    ],
)
def test_what_is_done_in_a_namespace(place: Body, live: list[Body], more: Any, expected: dict[str, str]) -> None:
    assert actions(place, objects=tuple(live), **more) == expected


def test_what_our_field_manager_has_applied_is_ours_even_without_an_owner() -> None:
    applied = {"manager": FIELD_MANAGER, "operation": "Apply"}
    ours = {**foreign(), "metadata": {**foreign()["metadata"], "managedFields": [applied]}}
    reported = {**ours, "metadata": {**ours["metadata"], "managedFields": [applied | {"subresource": "status"}]}}

    assert actions(namespace(), objects=(ours,)) == {"team": "update"}
    assert actions(namespace(), objects=(reported,)) == {"team": "conflict"}


def test_an_object_that_another_template_owns_is_not_ours() -> None:
    owner = {
        "apiVersion": "appconnectivity.io/v1alpha1",
        "kind": "AppConnectivityTemplate",
        "name": "other",
        "uid": "u",
    }
    other = {**foreign(), "metadata": {**foreign()["metadata"], "ownerReferences": [owner]}}

    assert actions(namespace(), objects=(other,)) == {"team": "conflict"}


def test_a_namespace_that_can_not_be_rendered_holds_up_no_other() -> None:
    picky = template(flow("{{ namespace.labels.app }}", "b"))
    good = namespace("good", labels={"baseline": "standard", "app": "a"})

    found = plan(namespace("bad"), good, template=picky)

    assert {step.namespace: step.action for step in found.steps} == {"bad": Action.FAIL, "good": Action.CREATE}
    assert found.steps[0].finding == Finding(
        Reason.RENDER_FAILED,
        "spec.template.spec.flows[0].from.app: '{{ namespace.labels.app }}': namespace.labels has no 'app'",
    )


def test_only_so_many_are_under_way_at_a_time() -> None:
    few = template(flow("a", "b"), limit=2)
    places = [namespace(f"n{number}") for number in range(5)]
    first = standing("n0", of=few, ready="Unknown")

    assert actions(*places, template=few, objects=(first,)) == {
        "n0": "keep",
        "n1": "create",
        "n2": "wait",
        "n3": "wait",
        "n4": "wait",
    }


def test_a_repair_waits_for_nobody() -> None:
    one = template(flow("a", "b"), limit=1)
    busy, broken = standing("n0", of=one, ready="Unknown"), standing("n1", of=one, mode="Audit")
    written = {"n1": Stood("", rollout.digest(standing("n1", of=one)))}

    found = plan(namespace("n0"), namespace("n1"), template=one, objects=(busy, broken), written=written)

    assert [(step.action, step.is_repair) for step in found.steps] == [(Action.KEEP, False), (Action.UPDATE, True)]


def test_a_repair_waits_for_nobody_though_the_template_has_changed_meanwhile() -> None:
    one, changed = template(flow("a", "b"), limit=1), template(flow("a", "c"), limit=1)
    busy, edited = standing("n0", of=changed, ready="Unknown"), standing("n1", of=one, mode="Audit")
    written = {name: Stood("", rollout.digest(standing(name, of=one))) for name in ("n1", "n2", "n3")}
    places = [namespace(name) for name in ("n0", "n1", "n2", "n3")]

    found = actions(*places, template=changed, objects=(busy, edited, standing("n3", of=one)), written=written)

    assert found == {"n0": "keep", "n1": "update", "n2": "create", "n3": "wait"}


def test_a_namespace_that_is_behind_holds_up_no_other() -> None:
    one = template(flow("a", "b"), limit=1)
    stuck = standing("n0", of=one, ready="Unknown")
    places = [namespace(name) for name in ("n0", "n1", "n2")]

    assert actions(*places, template=one, objects=(stuck,), behind={"n0", "n1"}) == {
        "n0": "keep",
        "n1": "wait",
        "n2": "create",
    }


def test_a_changed_template_is_no_repair() -> None:
    old = standing()
    changed = template(flow("a", "c"))

    (step,) = plan(
        namespace(), template=changed, objects=(old,), written={"team": Stood("", rollout.digest(old))}
    ).steps

    assert (step.action, step.is_repair) == (Action.UPDATE, False)


# The status.


def status(found: Rollout | None, refusal: Finding | None = None, failures: Any = None, previous: Any = None) -> Body:
    body = {"metadata": {"generation": 3}, "status": previous or {}}
    return template_status.build(found, failures or {}, refusal=refusal, body=body, now=NOW)


def ready(built: Body) -> tuple[str, str]:
    found = built["conditions"][0]
    assert (found["type"], found["observedGeneration"]) == ("Ready", 3)
    return found["status"], found["reason"]


@pytest.mark.parametrize(
    ("live", "expected", "counts"),
    [
        pytest.param([standing()], ("True", "RolledOut"), (1, 1, 1, 0), id="ready"),
        pytest.param([], ("False", "RollingOut"), (1, 0, 0, 0), id="not there yet"),
        pytest.param([standing(ready="Unknown")], ("False", "RollingOut"), (1, 1, 0, 0), id="not seen to yet"),
        pytest.param(
            [standing(ready="False", reason="Adopting")], ("False", "RollingOut"), (1, 1, 0, 0), id="kept open yet"
        ),
        pytest.param(
            [standing(ready="False", reason="NameConflict")],
            ("False", "NamespacesFailed"),
            (1, 1, 0, 1),
            id="not ready for a reason of its own",
        ),
        pytest.param([foreign()], ("False", "NamespacesFailed"), (1, 0, 0, 1), id="somebody else's"),
    ],
)
def test_the_status_says_how_far_it_is(
    live: list[Body], expected: tuple[str, str], counts: tuple[int, int, int, int]
) -> None:
    built = status(plan(namespace(), objects=tuple(live)))

    assert ready(built) == expected
    assert tuple(built[f"{what}Count"] for what in ("selected", "updated", "ready", "failed")) == counts


def test_a_template_that_selects_nothing_is_rolled_out_and_says_so() -> None:
    built = status(plan(namespace(selected=False)))

    assert ready(built) == ("True", "RolledOut")
    assert built["conditions"][0]["message"].startswith("no namespace that could be served has the labels")


def test_a_selected_namespace_that_is_protected_is_named() -> None:
    places = [namespace("team"), namespace("kube-system"), namespace("kube-public", selected=False)]

    built = status(plan(*places, objects=(standing(),), protected={"kube-system", "kube-public"}))

    assert (ready(built), built["readyNamespaces"]) == (("True", "RolledOut"), "1/1")
    assert built["conditions"][0]["message"] == "1/1 namespaces are ready; kube-system: protected, and left alone"


def test_progress_is_told_before_failures_are() -> None:
    found = plan(namespace("a"), namespace("b"), objects=(foreign("a"),))

    built = status(found)

    assert ready(built) == ("False", "RollingOut")
    assert [row["namespace"] for row in built["failures"]] == ["a"]


def test_a_refused_write_is_a_failure_of_that_namespace() -> None:
    built = status(plan(namespace()), failures={"team": Finding(Reason.FORBIDDEN, "no")})

    assert ready(built) == ("False", "NamespacesFailed")
    assert built["failures"] == [{"namespace": "team", "reason": "Forbidden", "message": "no"}]


def test_a_template_that_means_nothing_is_stalled_and_serves_no_namespace_as_it_is() -> None:
    before = status(plan(namespace(), objects=(standing(),)))

    built = status(None, refusal=Finding(Reason.INVALID, "nonsense"), previous=before)

    assert {c["type"]: c["status"] for c in built["conditions"]} == {
        "Ready": "False",
        "Accepted": "False",
        "Stalled": "True",
    }
    assert (built["readyNamespaces"], built["updatedCount"], built["selectedCount"]) == ("0/1", 0, 1)


def test_a_long_list_of_failures_is_cut_and_counted() -> None:
    places = [namespace(f"n{number:03}") for number in range(100)]

    built = status(plan(*places, objects=tuple(foreign(place["metadata"]["name"]) for place in places)))

    assert (len(built["failures"]), built["failedCount"]) == (template_status.MAX_FAILURES, 100)
    assert "and 96 more" in built["conditions"][0]["message"]
