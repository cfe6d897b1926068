"""Drift: told from a changed intent, with who did it; and repairs that are spaced out in a fight."""

from __future__ import annotations

from typing import Any

import pytest

from appconnectivity.core.drift import (
    FREE_REPAIRS,
    LONGEST_PAUSE_SECONDS,
    QUIET_SECONDS,
    Drift,
    RepairLog,
    find,
    last_manager,
)
from appconnectivity.core.plan import plan
from builders import compile_, flow, live, obj, observed

COMPILED = compile_(obj(flow("a", "b")))
WRITTEN = {policy.name: policy.digest for policy in COMPILED.policies}
NAME = "shop.a-to-b.egress"


def tampered(*managers: tuple[str, str]) -> list[dict[str, Any]]:
    """All policies as they should be, but one: opened to everyone by ``managers``, each with its time."""
    entries = [{"manager": who, "operation": "Update", "time": time} for who, time in managers]
    bodies = observed(COMPILED)
    for body in bodies:
        if body["metadata"]["name"] == NAME:
            body["spec"] = {**body["spec"], "egress": [{}]}
            body["metadata"]["managedFields"] = [*body["metadata"]["managedFields"], *entries]
    return bodies


def missing() -> list[dict[str, Any]]:
    return [body for body in observed(COMPILED) if body["metadata"]["name"] != NAME]


@pytest.mark.parametrize(
    ("standing", "written", "drifts"),
    [
        pytest.param(observed(COMPILED), WRITTEN, (), id="as-it-should-be"),
        pytest.param(missing(), WRITTEN, (Drift(NAME, "deleted"),), id="deleted"),
        pytest.param(missing(), {}, (), id="missing-after-a-start-is-no-drift"),
        pytest.param(
            tampered(("kubectl-edit", "2026-06-01T12:00:00Z")),
            WRITTEN,
            (Drift(NAME, "changed", "kubectl-edit"),),
            id="edit",
        ),
        pytest.param(
            tampered(("kubectl-edit", "2026-06-01T12:00:00Z")),
            {},
            (Drift(NAME, "changed", "kubectl-edit"),),
            id="at-start",
        ),
        pytest.param(tampered(), WRITTEN, (Drift(NAME, "changed"),), id="by-nobody-knows-whom"),
        pytest.param(tampered(), {}, (), id="at-start-without-a-trace-it-may-be-an-older-version"),
        pytest.param(
            tampered(("kubectl-edit", "2026-06-01T12:00:00Z")),
            {NAME: "another-digest"},
            (),
            id="a-changed-intent-is-no-drift",
        ),
        pytest.param([], {}, (), id="a-first-object-is-no-drift"),
    ],
)
def test_drift_is_what_somebody_else_has_changed(standing: Any, written: Any, drifts: tuple[Drift, ...]) -> None:
    assert find(plan(COMPILED, standing), written=written) == drifts


def test_a_held_repair_is_drift_all_the_same() -> None:
    found = find(plan(COMPILED, missing(), hold={NAME}), written=WRITTEN)

    assert found == (Drift(NAME, "deleted"),)


def test_the_last_of_several_managers_did_it() -> None:
    bodies = tampered(("late", "2026-06-01T12:00:09Z"), ("early", "2026-06-01T12:00:00Z"))

    assert next(d.manager for d in find(plan(COMPILED, bodies), written=WRITTEN)) == "late"


def test_our_own_manager_is_nobody_else() -> None:
    assert last_manager(live(COMPILED.policies[0])) == ""


def fought(times: int, *, at: float = 0.0) -> RepairLog:
    log = RepairLog()
    for _ in range(times):
        log.record(NAME, now=at)
    return log


def test_the_first_repairs_are_immediate() -> None:
    assert [fought(times).wait(NAME, now=0.0) for times in range(FREE_REPAIRS)] == [0.0] * FREE_REPAIRS


def test_more_repairs_are_spaced_out_up_to_a_limit() -> None:
    waits = [fought(FREE_REPAIRS + more).wait(NAME, now=0.0) for more in range(8)]

    assert waits == sorted(waits)
    assert waits[:3] == [2.0, 4.0, 8.0]
    assert waits[-1] == LONGEST_PAUSE_SECONDS


def test_a_pause_runs_out() -> None:
    log = fought(FREE_REPAIRS)

    assert log.wait(NAME, now=1.5) == 0.5
    assert log.wait(NAME, now=2.0) == 0.0


def test_a_fight_is_over_after_a_quiet_time() -> None:
    log = fought(FREE_REPAIRS)

    assert log.is_contended(NAME, now=QUIET_SECONDS)
    assert not log.is_contended(NAME, now=QUIET_SECONDS + 1)
    log.record(NAME, now=QUIET_SECONDS + 1)
    assert log.wait(NAME, now=QUIET_SECONDS + 1) == 0.0


def test_one_policys_fight_does_not_hold_another_up() -> None:
    assert fought(20).wait("another", now=0.0) == 0.0


def test_the_log_forgets_what_is_quiet_and_nothing_else() -> None:
    log = fought(FREE_REPAIRS)
    log.record("recent", now=QUIET_SECONDS)
    log.forget_idle(now=QUIET_SECONDS + 1)

    assert not log.is_contended(NAME, now=0.0)
    assert log.wait("recent", now=QUIET_SECONDS + 1) == 0.0


def test_the_longest_fight_keeps_its_pause() -> None:
    assert fought(5000).wait(NAME, now=0.0) == LONGEST_PAUSE_SECONDS
