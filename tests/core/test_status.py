"""Status: conditions that tell the truth, one summary, rows and messages within bounds, and news worth an Event."""

from __future__ import annotations

from typing import Any

import pytest

from appconnectivity.core import changes, status
from appconnectivity.core.compile import Compiled, FlowResult, ObjectResult
from appconnectivity.core.facts import Options
from appconnectivity.core.findings import Finding, FlowState, Reason
from appconnectivity.core.naming import ALLOW_DNS, DEFAULT_DENY
from appconnectivity.core.policy import Owner
from appconnectivity.core.status import Outcome
from builders import compile_, facts, flow, intent, obj, peer, result, without_dns

A_TO_B = flow("a", "b")
EARLY, LATE = "2026-06-01T12:00:00Z", "2026-06-01T13:00:00Z"


def build(
    compiled: Compiled, outcome: Outcome | None = None, *, previous: Any = None, now: str = EARLY
) -> dict[str, Any]:
    return status.build(result(compiled), outcome or Outcome(), compiled=compiled, previous=previous or {}, now=now)


def said(found: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {entry["type"]: (entry["status"], entry["reason"]) for entry in found["conditions"]}


FINE = {
    "Ready": ("True", "Ready"),
    "Accepted": ("True", "Accepted"),
    "ResolvedRefs": ("True", "ResolvedRefs"),
    "Programmed": ("True", "Programmed"),
    "Connected": ("True", "Connected"),
}
TO_DB = {"from": {"app": "a"}, "to": {"service": "db"}}
WAITING = flow("a", {"app": "x", "namespace": "finance"})
FAILED = Outcome(failures={"shop.a-to-b.egress": Finding(Reason.FORBIDDEN, "no")})
HELD_UP = Outcome(
    failures={
        DEFAULT_DENY: Finding(Reason.WAITING_FOR_ALLOWS, "waits"),
        "shop.a-to-b.egress": Finding(Reason.FORBIDDEN, ""),
    }
)
UNDELETED = Outcome(undeleted={Owner("shop", "uid-shop"): Finding(Reason.FORBIDDEN, "no")})
NOT_WRITTEN = {
    "Connected": ("Unknown", "Forbidden"),
    "Ready": ("False", "Forbidden"),
    "Programmed": ("False", "Forbidden"),
}


@pytest.mark.parametrize(
    ("compiled", "outcome", "changed"),
    [
        pytest.param(compile_(obj(A_TO_B)), Outcome(), {}, id="all-is-well"),
        pytest.param(compile_(obj()), Outcome(), {}, id="isolation-alone"),
        pytest.param(
            compile_(obj("x", A_TO_B)),
            Outcome(),
            {
                "Connected": ("Unknown", "InvalidFlow"),
                "Ready": ("False", "InvalidFlow"),
                "Accepted": ("False", "InvalidFlow"),
                "Stalled": ("True", "InvalidFlow"),
            },
            id="a-flow-is-invalid",
        ),
        pytest.param(
            compile_(obj(A_TO_B | {"methods": []}, A_TO_B)),
            Outcome(),
            {
                "Ready": ("False", "UnsupportedByThisVersion"),
                "Connected": ("Unknown", "UnsupportedByThisVersion"),
                "Accepted": ("False", "UnsupportedByThisVersion"),
                "Stalled": ("True", "UnsupportedByThisVersion"),
            },
            id="a-flow-is-of-a-later-version",
        ),
        pytest.param(
            compile_(obj(A_TO_B, policyTypes="x")),
            Outcome(),
            {
                "Ready": ("False", "Invalid"),
                "Connected": ("Unknown", "Invalid"),
                "Accepted": ("False", "Invalid"),
                "Stalled": ("True", "Invalid"),
                "Programmed": ("False", "Invalid"),
            },
            id="the-object-is-invalid",
        ),
        pytest.param(
            compile_(obj(A_TO_B), options=Options(protected_namespaces=frozenset({"shop"}))),
            Outcome(),
            {
                "Ready": ("False", "NamespaceProtected"),
                "Connected": ("Unknown", "NamespaceProtected"),
                "Accepted": ("False", "NamespaceProtected"),
                "Stalled": ("True", "NamespaceProtected"),
                "Programmed": ("False", "NamespaceProtected"),
            },
            id="the-namespace-is-protected",
        ),
        pytest.param(
            compile_(obj(TO_DB)),
            Outcome(),
            {
                "Connected": ("Unknown", "ServiceNotFound"),
                "Ready": ("False", "ServiceNotFound"),
                "ResolvedRefs": ("False", "ServiceNotFound"),
            },
            id="a-service-is-missing",
        ),
        pytest.param(
            compile_(obj(A_TO_B), facts=without_dns(facts())),
            Outcome(),
            {"ResolvedRefs": ("True", "DNSAssumed")},
            id="dns-is-assumed",
        ),
        pytest.param(
            compile_(obj(A_TO_B, dns="None"), facts=without_dns(facts())), Outcome(), {}, id="dns-is-not-asked-for"
        ),
        pytest.param(
            compile_(obj(WAITING), facts=facts(peers={"finance": peer()})),
            Outcome(),
            {"Connected": ("False", "AwaitingGrant")},
            id="the-other-half-is-missing-and-yet-ready",
        ),
        pytest.param(
            compile_(obj(A_TO_B)),
            Outcome(conflicts=frozenset({DEFAULT_DENY})),
            {
                "Connected": ("Unknown", "NameConflict"),
                "Ready": ("False", "NameConflict"),
                "Programmed": ("False", "NameConflict"),
            },
            id="a-foreign-policy-has-the-name-of-the-deny",
        ),
        pytest.param(
            compile_(obj(A_TO_B)),
            Outcome(conflicts=frozenset({"other.x.egress"})),
            {},
            id="another-objects-conflict",
        ),
        pytest.param(
            compile_(obj(A_TO_B)),
            FAILED,
            NOT_WRITTEN,
            id="a-write-was-refused",
        ),
        pytest.param(compile_(obj(A_TO_B)), HELD_UP, NOT_WRITTEN, id="the-cause-comes-before-what-waits-for-it"),
        pytest.param(compile_(obj(A_TO_B)), UNDELETED, NOT_WRITTEN, id="what-ought-to-be-gone-could-not-be-deleted"),
        pytest.param(
            compile_(obj(A_TO_B)),
            Outcome(contended={DEFAULT_DENY: "kubectl-edit"}),
            {
                "Connected": ("Unknown", "Contended"),
                "Ready": ("False", "Contended"),
                "Programmed": ("False", "Contended"),
            },
            id="somebody-fights",
        ),
        pytest.param(
            compile_(obj(A_TO_B, mode="Audit")),
            Outcome(),
            {"Connected": ("Unknown", "Audit"), "Ready": ("True", "Audit"), "Programmed": ("False", "Audit")},
            id="audit",
        ),
        pytest.param(
            compile_(obj(TO_DB, mode="Audit")),
            Outcome(),
            {
                "Ready": ("False", "ServiceNotFound"),
                "Connected": ("Unknown", "ServiceNotFound"),
                "ResolvedRefs": ("False", "ServiceNotFound"),
                "Programmed": ("False", "Audit"),
            },
            id="audit-with-a-service-missing",
        ),
    ],
)
def test_conditions_say_what_is_and_ready_sums_up(
    compiled: Compiled, outcome: Outcome, changed: dict[str, Any]
) -> None:
    assert said(build(compiled, outcome)) == FINE | changed


def test_every_condition_is_of_the_generation_that_was_looked_at() -> None:
    found = build(compile_(obj(A_TO_B, generation=7)))

    assert found["observedGeneration"] == 7
    assert {entry["observedGeneration"] for entry in found["conditions"]} == {7}


def test_a_condition_keeps_its_time_until_its_status_turns() -> None:
    first = build(compile_(obj(A_TO_B)))
    same = build(compile_(obj(A_TO_B, flow("c", "d"), generation=2)), previous=first, now=LATE)
    turned = build(compile_(obj(TO_DB)), previous=first, now=LATE)

    assert {entry["lastTransitionTime"] for entry in same["conditions"]} == {EARLY}
    times = {entry["type"]: entry["lastTransitionTime"] for entry in turned["conditions"]}
    assert times == {"Ready": LATE, "ResolvedRefs": LATE, "Accepted": EARLY, "Programmed": EARLY, "Connected": LATE}


def test_an_unchanged_object_has_an_unchanged_status() -> None:
    compiled = compile_(obj(A_TO_B, TO_DB, WAITING), facts=facts(peers={"finance": peer()}))
    first = build(compiled)

    assert build(compiled, previous=first, now=LATE) == first


def of_flows(*reasons: Reason) -> Compiled:
    """An object whose flows are all invalid, each for its reason."""
    flows = tuple(FlowResult(f"f{n}", FlowState.INVALID, Finding(reason, "x")) for n, reason in enumerate(reasons))
    return Compiled(policies=(), kept=frozenset(), objects=(ObjectResult(intent=intent(), flows=flows),))


def test_an_error_of_our_own_is_none_of_the_spec_and_is_tried_again() -> None:
    ours = said(build(of_flows(Reason.INTERNAL_ERROR)))
    both = said(build(of_flows(Reason.INTERNAL_ERROR, Reason.NO_LOCAL_END)))

    assert ours["Ready"] == ours["Accepted"] == ("False", "InternalError")
    assert "Stalled" not in ours
    assert both["Accepted"] == ("False", "InvalidFlow")
    assert both["Stalled"] == ("True", "InvalidFlow")


def test_what_is_mended_is_not_stalled_any_more() -> None:
    stalled = build(compile_(obj("x", A_TO_B)))

    assert said(stalled)["Stalled"] == ("True", "InvalidFlow")
    assert "Stalled" not in said(build(compile_(obj(A_TO_B, generation=2)), previous=stalled))


def test_what_cannot_be_judged_just_now_is_neither_ready_nor_stalled_and_the_rest_stays_known() -> None:
    stalled = build(compile_(obj("x", A_TO_B)))
    body = obj("x", A_TO_B) | {"status": stalled}
    found = status.unknown(body, Finding(Reason.FORBIDDEN, "no"), now=LATE)

    unknown = {"Ready": ("Unknown", "Forbidden"), "Programmed": ("Unknown", "Forbidden")}
    assert said(found) == {kind: it for kind, it in said(stalled).items() if kind != "Stalled"} | unknown
    assert found["flows"] == stalled["flows"]


def test_a_row_for_each_flow_and_counts() -> None:
    compiled = compile_(obj(A_TO_B, TO_DB, "x", flow("c", "d", expirationTime="2026-06-01T13:00:00Z")))
    found = build(compiled)

    assert [(row["name"], row["state"], row["reason"]) for row in found["flows"]] == [
        ("a-to-b", "Active", "Active"),
        ("a-to-db", "Unresolved", "ServiceNotFound"),
        ("c-to-d", "Expiring", "Expiring"),
        ("flow-3", "Invalid", "Invalid"),
    ]
    assert found["flowsActive"] == "2/4"
    assert found["policyCount"] == 6
    assert "wouldWrite" not in found


def test_a_flow_whose_policy_is_foreign_is_in_conflict_and_the_others_go_on() -> None:
    outcome = Outcome(conflicts=frozenset({"shop.a-to-b.egress"}))
    found = build(compile_(obj(A_TO_B, flow("c", "d"))), outcome)

    assert [(row["name"], row["state"]) for row in found["flows"]] == [("a-to-b", "Conflict"), ("c-to-d", "Active")]
    assert found["policyCount"] == 5


def test_a_flow_whose_policy_could_not_be_written_is_not_active() -> None:
    found = build(compile_(obj(A_TO_B, flow("c", "d"))), FAILED)

    states = {row["name"]: (row["state"], row["reason"]) for row in found["flows"]}
    assert states == {"a-to-b": ("NotWritten", "Forbidden"), "c-to-d": ("Active", "Active")}
    assert found["flowsActive"] == "1/2"


def test_in_audit_no_flow_is_active() -> None:
    found = build(compile_(obj(A_TO_B, mode="Audit")))

    assert [(row["state"], row["reason"]) for row in found["flows"]] == [("NotWritten", "Audit")]
    assert found["flowsActive"] == "0/1"


def test_audit_shows_what_would_be_written() -> None:
    found = build(compile_(obj(A_TO_B, mode="Audit")))

    assert found["wouldWrite"] == [ALLOW_DNS, DEFAULT_DENY, "shop.a-to-b.egress", "shop.a-to-b.ingress"]
    assert (found["wouldWriteCount"], found["policyCount"]) == (4, 0)


def test_a_status_stays_within_its_bounds() -> None:
    many = tuple(
        FlowResult(f"f{n:03}", FlowState.INVALID, Finding(Reason.INVALID, "é" * 5000))
        for n in range(status.MAX_ROWS + 9)
    )
    would = tuple(f"p{n:03}" for n in range(200))
    everything = ObjectResult(intent=intent(mode="Audit"), flows=many, would_write=would)
    compiled = Compiled(policies=(), kept=frozenset(), objects=(everything,))
    found = build(compiled)

    assert len(found["flows"]) == len(found["wouldWrite"]) == status.MAX_ROWS
    assert found["flowsActive"] == f"0/{status.MAX_ROWS + 9}"
    assert found["wouldWriteCount"] == 200
    assert {len(row["message"]) for row in found["flows"]} == {status.MAX_ROW_MESSAGE}
    assert all(row["message"].endswith("…") for row in found["flows"])
    assert max(len(entry["message"]) for entry in found["conditions"]) == status.MAX_MESSAGE


def test_a_message_that_just_fits_is_not_cut() -> None:
    fits = FlowResult("f", FlowState.INVALID, Finding(Reason.INVALID, "x" * status.MAX_ROW_MESSAGE))
    compiled = Compiled(policies=(), kept=frozenset(), objects=(ObjectResult(intent=intent(), flows=(fits,)),))

    assert build(compiled)["flows"][0]["message"] == "x" * status.MAX_ROW_MESSAGE


def test_two_objects_count_the_policies_that_they_share() -> None:
    compiled = compile_(obj(A_TO_B), obj(flow("c", "d"), name="other"))

    assert build(compiled)["policyCount"] == 4


# News.


def told(before: Any, after: Any) -> list[tuple[Reason, bool]]:
    return [(finding.reason, warning) for finding, warning in changes.worth_telling(before, after)]


PENDING = {"conditions": [{"type": "Ready", "status": "Unknown", "reason": "Pending"}]}
WELL = build(compile_(obj(A_TO_B)))
LOST = build(compile_(obj(TO_DB)))
ASKING = build(compile_(obj(WAITING), facts=facts(peers={"finance": peer()})))
ENDING = build(compile_(obj(A_TO_B | {"expirationTime": "2026-06-01T13:00:00Z"})))
ENDED = build(compile_(obj(A_TO_B | {"expirationTime": "2026-06-01T11:00:00Z"})))


@pytest.mark.parametrize(
    ("before", "after", "news"),
    [
        pytest.param(WELL, WELL, [], id="nothing-new"),
        pytest.param(PENDING, WELL, [(Reason.READY, False)], id="a-new-object-is-ready"),
        pytest.param(PENDING, ASKING, [(Reason.READY, False), (Reason.AWAITING_GRANT, True)], id="a-new-one-waits"),
        pytest.param(WELL, LOST, [(Reason.SERVICE_NOT_FOUND, True)], id="a-service-is-gone"),
        pytest.param(LOST, WELL, [(Reason.READY, False)], id="and-is-back"),
        pytest.param(WELL, ASKING, [(Reason.AWAITING_GRANT, True)], id="a-grant-is-taken-away"),
        pytest.param(ASKING, WELL, [(Reason.CONNECTED, False)], id="and-given"),
        pytest.param(WELL, ENDING, [(Reason.EXPIRING, True)], id="a-flow-will-close"),
        pytest.param(ENDING, ENDING, [], id="which-is-told-once"),
        pytest.param(ENDING, ENDED, [(Reason.EXPIRED, True)], id="a-flow-has-closed"),
    ],
)
def test_only_what_has_changed_is_told(before: Any, after: Any, news: list[tuple[Reason, bool]]) -> None:
    assert told(before, after) == news


def test_a_changed_message_alone_is_no_news() -> None:
    assert told(WELL, build(compile_(obj(A_TO_B, flow("c", "d"))), previous=WELL)) == []


def test_every_reason_is_explained() -> None:
    assert [reason for reason in Reason if not reason.meaning.endswith(".")] == []


def test_audit_after_enforce_says_loudly_that_policies_were_removed() -> None:
    before = build(compile_(obj(A_TO_B)))
    after = build(compile_(obj(A_TO_B, mode="Audit", generation=2)), previous=before)

    found = {finding.message: warning for finding, warning in changes.worth_telling(before, after)}
    assert found["mode is Audit: the 4 policies of this object were removed; what only they closed is open again"]
    assert changes.worth_telling(after, after) == []
