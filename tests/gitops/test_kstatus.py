"""Flux's view: the rules of kstatus over the same statuses, so that ``wait: true`` needs no rules of its own."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from gitops.health import ARGOCD
from gitops.kstatus import compute

EXPECTED = {
    "pending": "InProgress",
    "progressing_after_a_change": "InProgress",
    "progressing_after_a_correction": "InProgress",
    "adopting": "InProgress",
    "waiting_for_a_service": "InProgress",
    "conflict": "InProgress",
    "invalid": "Failed",
    "deleting": "Terminating",
    "ready": "Current",
    "awaiting_grant": "Current",
    "audit": "Current",
    "template_pending": "InProgress",
    "template_progressing_after_a_change": "InProgress",
    "template_rolling_out": "InProgress",
    "template_namespaces_failed": "InProgress",
    "template_invalid": "Failed",
    "template_ready": "Current",
}


def kept(name: str) -> dict[str, Any]:
    body: dict[str, Any] = yaml.safe_load((ARGOCD / "testdata" / f"{name}.yaml").read_text())
    return body


@pytest.mark.parametrize("name", EXPECTED)
def test_waiting_ends_when_the_object_is_ready_and_fails_only_where_waiting_does_not_help(name: str) -> None:
    assert compute(kept(name)) == EXPECTED[name]


def test_every_kept_status_is_judged() -> None:
    assert {path.stem for path in (ARGOCD / "testdata").iterdir()} == EXPECTED.keys()


def test_a_new_object_would_pass_for_done_were_it_not_for_the_status_that_the_crd_gives_it() -> None:
    pending = kept("pending")

    assert compute(pending) == "InProgress"
    assert compute(pending | {"status": {}}) == "Current"


def test_a_corrected_object_would_still_fail_were_it_not_for_the_observed_generation() -> None:
    corrected = kept("progressing_after_a_correction")
    status = {key: value for key, value in corrected["status"].items() if key != "observedGeneration"}

    assert compute(corrected) == "InProgress"
    assert compute(corrected | {"status": status}) == "Failed"


def test_an_invalid_object_would_be_waited_for_in_vain_were_it_not_for_the_condition_stalled() -> None:
    invalid = kept("invalid")
    others = [it for it in invalid["status"]["conditions"] if it["type"] != "Stalled"]

    assert compute(invalid) == "Failed"
    assert compute(invalid | {"status": invalid["status"] | {"conditions": others}}) == "InProgress"
