"""The plan: what is done about each name, in which order; and that nothing of others is touched."""

from __future__ import annotations

from typing import Any

import pytest

from appconnectivity.core.compile import Compiled
from appconnectivity.core.naming import ALLOW_DNS, DEFAULT_DENY, FINGERPRINT_ANNOTATION, MANAGED_BY_LABEL
from appconnectivity.core.plan import Action, Plan, plan
from appconnectivity.core.policy import FIELD_MANAGER, Policy, is_ours
from builders import compile_, facts, flow, foreign, live, obj, observed, service

COMPILED = compile_(obj(flow("a", "b")))
EGRESS, INGRESS = "shop.a-to-b.egress", "shop.a-to-b.ingress"


def policy(name: str, compiled: Compiled = COMPILED) -> Policy:
    return next(entry for entry in compiled.policies if entry.name == name)


def actions(found: Plan) -> dict[str, Action]:
    return {step.name: step.action for step in found.steps}


def changed(name: str, **metadata: Any) -> dict[str, Any]:
    body = live(policy(name))
    return body | {"metadata": body["metadata"] | metadata}


def with_spec(name: str, **spec: Any) -> dict[str, Any]:
    body = live(policy(name))
    return body | {"spec": {**body["spec"], **spec}}


ONE = Compiled(policies=(policy(EGRESS),), kept=frozenset({INGRESS}), objects=())
NOBODY: dict[str, Any] = {"managedFields": [], "ownerReferences": []}


@pytest.mark.parametrize(
    ("standing", "expected"),
    [
        pytest.param([], {EGRESS: Action.CREATE}, id="missing"),
        pytest.param([foreign(EGRESS)], {EGRESS: Action.CONFLICT}, id="a-foreign-one-has-the-name"),
        pytest.param([live(policy(EGRESS))], {EGRESS: Action.KEEP}, id="as-it-should-be"),
        pytest.param([with_spec(EGRESS, egress=[{}])], {EGRESS: Action.UPDATE}, id="opened-by-somebody"),
        pytest.param([with_spec(EGRESS, ingress=[])], {EGRESS: Action.UPDATE}, id="a-list-added-by-somebody"),
        pytest.param([changed(EGRESS, labels={})], {EGRESS: Action.UPDATE}, id="labels-stripped"),
        pytest.param([changed(EGRESS, labels=None)], {EGRESS: Action.UPDATE}, id="labels-gone"),
        pytest.param([changed(EGRESS, annotations={})], {EGRESS: Action.UPDATE}, id="annotations-stripped"),
        pytest.param([changed(EGRESS, ownerReferences=[])], {EGRESS: Action.UPDATE}, id="owner-stripped"),
        pytest.param([changed(EGRESS, managedFields=[])], {EGRESS: Action.KEEP}, id="ours-by-its-owner-alone"),
        pytest.param([changed(EGRESS, **NOBODY)], {EGRESS: Action.CONFLICT}, id="our-labels-prove-nothing"),
        pytest.param(
            [live(policy(EGRESS)), live(policy(INGRESS))], {EGRESS: Action.KEEP, INGRESS: Action.KEEP}, id="kept"
        ),
        pytest.param(
            [live(policy(EGRESS)), live(policy(DEFAULT_DENY))],
            {EGRESS: Action.KEEP, DEFAULT_DENY: Action.DELETE},
            id="no-longer-wanted",
        ),
        pytest.param(
            [live(policy(EGRESS)), foreign("theirs"), foreign(DEFAULT_DENY)],
            {EGRESS: Action.KEEP},
            id="others-are-left",
        ),
    ],
)
def test_each_case_of_the_table(standing: list[Any], expected: dict[str, Action]) -> None:
    assert actions(plan(ONE, standing)) == expected


def test_labels_and_annotations_of_others_on_a_policy_of_ours_are_theirs() -> None:
    body = live(policy(EGRESS))
    labels = body["metadata"]["labels"] | {"team": "x"}
    annotations = body["metadata"]["annotations"] | {"note": "y"}

    assert actions(plan(ONE, [changed(EGRESS, labels=labels, annotations=annotations)])) == {EGRESS: Action.KEEP}


@pytest.mark.parametrize(
    ("standing", "action"),
    [
        pytest.param([], Action.HOLD, id="deleted-again"),
        pytest.param([with_spec(EGRESS, egress=[])], Action.HOLD, id="changed-again"),
        pytest.param([live(policy(EGRESS))], Action.KEEP, id="as-it-should-be"),
        pytest.param([foreign(EGRESS)], Action.CONFLICT, id="foreign"),
    ],
)
def test_a_held_repair_waits(standing: list[Any], action: Action) -> None:
    found = plan(ONE, standing, hold={EGRESS})

    assert actions(found)[EGRESS] is action
    assert found.is_empty


def test_on_the_way_in_what_isolates_every_pod_comes_last_and_the_deny_after_dns() -> None:
    found = plan(COMPILED, [])

    assert [step.name for step in found.allows] == [EGRESS, INGRESS]
    assert [step.name for step in found.denies] == [ALLOW_DNS, DEFAULT_DENY]
    assert found.deny_deletions == found.allow_deletions == ()


def test_on_the_way_out_what_isolates_every_pod_comes_first_and_the_deny_before_dns() -> None:
    found = plan(compile_(), observed(COMPILED))

    assert [step.name for step in found.deny_deletions] == [DEFAULT_DENY, ALLOW_DNS]
    assert [step.name for step in found.allow_deletions] == [EGRESS, INGRESS]
    assert found.allows == found.denies == ()


WITHOUT_DNS = compile_(obj(flow("a", "b"), dns="None"))
INGRESS_ONLY = compile_(obj(flow("a", "b"), policyTypes=["Ingress"]))


@pytest.mark.parametrize(
    ("wanted", "before", "opening", "closing"),
    [
        pytest.param(COMPILED, WITHOUT_DNS, [ALLOW_DNS], [], id="dns-opens-where-egress-is-closed"),
        pytest.param(COMPILED, INGRESS_ONLY, [EGRESS], [ALLOW_DNS, DEFAULT_DENY], id="dns-closes-together-with-egress"),
    ],
)
def test_the_dns_allow_opens_or_isolates(
    wanted: Compiled, before: Compiled, opening: list[str], closing: list[str]
) -> None:
    found = plan(wanted, observed(before))

    assert ([step.name for step in found.allows], [step.name for step in found.denies]) == (opening, closing)


@pytest.mark.parametrize(
    ("wanted", "first", "last"),
    [
        pytest.param(WITHOUT_DNS, [], [ALLOW_DNS], id="the-last-door-of-a-closed-namespace"),
        pytest.param(INGRESS_ONLY, [ALLOW_DNS], [EGRESS], id="egress-is-let-go"),
    ],
)
def test_the_dns_allow_goes_before_the_allows_only_where_it_isolates(
    wanted: Compiled, first: list[str], last: list[str]
) -> None:
    found = plan(wanted, observed(COMPILED))

    assert ([step.name for step in found.deny_deletions], [step.name for step in found.allow_deletions]) == (
        first,
        last,
    )


def test_a_deny_without_its_labels_is_still_known_for_one_by_its_name() -> None:
    (step,) = plan(compile_(), [changed(DEFAULT_DENY, labels={})]).deny_deletions

    assert step.is_deny


def test_an_ends_deny_is_a_deny_too() -> None:
    found = plan(compile_(obj(flow("a", "b"), defaultDeny="Endpoints")), [])

    assert [step.name for step in found.denies] == ["shop.a.deny", "shop.b.deny"]


def test_a_changed_port_changes_the_policy_in_place_so_that_nothing_is_closed_in_between() -> None:
    found = plan(compile_(obj(flow("a", "b", 9090))), observed(COMPILED))

    assert [step.name for step in found.allows] == [EGRESS, INGRESS]
    assert {step.action for step in found.allows} == {Action.UPDATE}
    assert found.allow_deletions == ()


def test_a_renamed_flow_stands_under_its_new_name_before_the_old_one_goes() -> None:
    found = plan(compile_(obj(flow("a", "b", name="new"))), observed(COMPILED))

    assert [step.name for step in found.allows] == ["shop.new.egress", "shop.new.ingress"]
    assert [step.name for step in found.allow_deletions] == [EGRESS, INGRESS]


def test_an_object_made_anew_takes_its_policies_over() -> None:
    body = obj(flow("a", "b"))
    body["metadata"]["uid"] = "uid-second"
    found = plan(compile_(body), observed(COMPILED))

    assert set(actions(found).values()) == {Action.UPDATE}


@pytest.mark.parametrize(
    ("metadata", "ours"),
    [
        pytest.param({}, False, id="nothing"),
        pytest.param({"labels": {MANAGED_BY_LABEL: "appconnectivity"}}, False, id="a-label"),
        pytest.param({"annotations": {FINGERPRINT_ANNOTATION: "x"}}, False, id="an-annotation"),
        pytest.param({"managedFields": [{"manager": FIELD_MANAGER, "operation": "Apply"}]}, True, id="applied-by-us"),
        pytest.param(
            {"managedFields": [{"manager": FIELD_MANAGER, "operation": "Update"}]}, False, id="updated-by-some-namesake"
        ),
        pytest.param({"managedFields": [{"manager": "kubectl", "operation": "Apply"}]}, False, id="applied-by-others"),
        pytest.param(
            {
                "ownerReferences": [
                    {"apiVersion": "appconnectivity.io/v1", "kind": "AppConnectivity", "name": "x", "uid": "u"}
                ]
            },
            True,
            id="owned-by-any-version-of-our-kind",
        ),
        pytest.param(
            {"ownerReferences": [{"apiVersion": "example.com/v1", "kind": "AppConnectivity", "name": "x", "uid": "u"}]},
            False,
            id="owned-by-a-namesake-of-our-kind",
        ),
    ],
)
def test_ours_is_what_we_own_or_have_applied(metadata: dict[str, Any], ours: bool) -> None:
    assert is_ours({"metadata": metadata}) is ours


def test_a_flow_that_can_not_be_judged_is_left_alone() -> None:
    body = obj({"from": {"app": "a"}, "to": {"service": "db"}})
    before = observed(compile_(body, facts=facts(service("db"))))

    assert plan(compile_(body, standing=before), before).is_empty
