"""What keeps a namespace open while it is closed or opened: when it may, for how long, and when it never may."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from appconnectivity.core.compile import Compiled
from appconnectivity.core.naming import UNTIL_ANNOTATION
from appconnectivity.core.plan import Action, plan
from appconnectivity.core.transition import Transition, transition
from builders import NOW, compile_, flow, foreign, live, obj, observed

LASTING = timedelta(seconds=10)
COMPILED = compile_(obj(flow("a", "b")))
NOTHING = compile_()
OPEN = ["appconnectivity.transition-egress", "appconnectivity.transition-ingress"]
DURING, AFTER = NOW + timedelta(seconds=9), NOW + LASTING


def judge(
    compiled: Compiled, standing: list[Any], *, now: datetime = NOW, was_closed: bool = False, lasting: Any = LASTING
) -> Transition:
    return transition(compiled, standing, namespace="shop", was_closed=was_closed, now=now, lasting=lasting)


def names(found: Transition) -> list[str]:
    return [policy.name for policy in found.policies]


ENTERING = judge(COMPILED, [])
STANDING = [live(policy) for policy in ENTERING.policies]


@pytest.mark.parametrize(
    ("compiled", "standing", "more", "expected"),
    [
        pytest.param(COMPILED, [], {}, OPEN, id="the-first-policies-of-an-open-namespace"),
        pytest.param(COMPILED, STANDING, {"now": DURING}, OPEN, id="a-crash-right-after-the-first-write"),
        pytest.param(COMPILED, [*STANDING, *observed(COMPILED)], {"now": DURING}, OPEN, id="its-time-is-not-over"),
        pytest.param(COMPILED, [*STANDING, *observed(COMPILED)], {"now": AFTER}, [], id="its-time-is-over"),
        pytest.param(COMPILED, observed(COMPILED), {}, [], id="never-again-once-isolated"),
        pytest.param(COMPILED, observed(COMPILED)[:1], {}, [], id="nor-for-what-is-missing"),
        pytest.param(COMPILED, [], {"was_closed": True}, [], id="nor-where-somebody-has-deleted-all-of-ours"),
        pytest.param(COMPILED, [foreign("x")], {}, [], id="never-beside-policies-of-others"),
        pytest.param(COMPILED, [*STANDING, foreign("x")], {"now": DURING}, [], id="which-came-meanwhile"),
        pytest.param(COMPILED, [], {"lasting": timedelta(0)}, [], id="not-wanted-by-the-settings"),
        pytest.param(NOTHING, observed(COMPILED), {}, OPEN, id="the-last-policies-go"),
        pytest.param(NOTHING, STANDING, {"now": DURING}, OPEN, id="the-last-policies-are-gone"),
        pytest.param(NOTHING, STANDING, {"now": AFTER}, [], id="and-then-this-one-goes"),
        pytest.param(NOTHING, [*observed(COMPILED), foreign("x")], {}, [], id="others-stay-when-ours-go"),
        pytest.param(NOTHING, [], {}, [], id="nothing-to-do"),
    ],
)
def test_the_namespace_is_kept_open_only_from_open_to_closed_and_back(
    compiled: Compiled, standing: list[Any], more: dict[str, Any], expected: list[str]
) -> None:
    assert names(judge(compiled, standing, **more)) == expected


def test_the_time_is_written_down_and_not_extended() -> None:
    later = judge(COMPILED, STANDING, now=DURING)

    assert ENTERING.until_text == later.until_text == "2026-06-01T12:00:10Z"
    assert {step.action for step in plan(COMPILED, STANDING, transition=later.policies).transitions} == set()


@pytest.mark.parametrize("text", ["2099-01-01T00:00:00Z", "soon", ""])
def test_a_time_that_the_operator_would_not_write_counts_as_over(text: str) -> None:
    forged = [body | {"metadata": body["metadata"] | {"annotations": {UNTIL_ANNOTATION: text}}} for body in STANDING]

    assert judge(COMPILED, [*forged, *observed(COMPILED)]) == Transition()


def test_only_the_directions_that_get_isolated_are_kept_open() -> None:
    assert names(judge(compile_(obj(flow("a", "b"), policyTypes=["Ingress"])), [])) == OPEN[1:]


def test_it_opens_every_pod_to_everyone_and_belongs_to_the_objects() -> None:
    egress, ingress = ENTERING.policies

    assert egress.spec == {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]}
    assert ingress.spec == {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]}
    assert [owner.name for owner in ingress.owners] == ["shop"]


def test_it_is_written_before_all_else_and_goes_when_nobody_wants_it() -> None:
    steps = plan(COMPILED, [], transition=ENTERING.policies)
    assert [step.name for step in steps.transitions] == OPEN
    assert not {step.name for step in (*steps.allows, *steps.denies)} & set(OPEN)

    over = plan(COMPILED, [*STANDING, *observed(COMPILED)])
    assert {step.name: step.action for step in over.steps if step.action is not Action.KEEP} == dict.fromkeys(
        OPEN, Action.DELETE
    )


def test_the_clock_may_stand_anywhere_in_a_second() -> None:
    found = judge(COMPILED, [], now=datetime(2026, 6, 1, 12, 0, 0, 999_999, tzinfo=UTC))
    standing = [live(policy) for policy in found.policies]

    assert names(judge(COMPILED, standing, now=datetime(2026, 6, 1, 12, 0, 1, tzinfo=UTC))) == OPEN
