"""The compiler: what stands, what stays while it can't be judged, and what goes at once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from appconnectivity.core import compile as compile_module
from appconnectivity.core import isolation, naming
from appconnectivity.core.facts import Options
from appconnectivity.core.findings import FlowState, Reason
from appconnectivity.core.isolation import object_policies
from appconnectivity.core.plan import plan
from appconnectivity.core.policy import Role
from appconnectivity.core.resolve import resolve
from builders import (
    NOW,
    compile_,
    endpoints,
    facts,
    flow,
    foreign,
    intent,
    names,
    obj,
    observed,
    peer,
    result,
    row,
    service,
    spec_of,
)

A_TO_B = flow("a", "b")
TO_DB: dict[str, Any] = {"from": {"app": "a"}, "to": {"service": "db"}}
SHARED = {naming.ALLOW_DNS, naming.DEFAULT_DENY}


def own(*bodies: Any, **more: Any) -> set[str]:
    """What stands or stays for the flows themselves."""
    compiled = compile_(*bodies, **more)
    return (set(names(compiled)) | compiled.kept) - SHARED


BOTH_HALVES = {"shop.a-to-b.egress", "shop.a-to-b.ingress"}
DB_HALVES = {"shop.a-to-db.egress", "shop.a-to-db.ingress"}


@pytest.mark.parametrize(
    ("spec", "halves"),
    [
        pytest.param({}, BOTH_HALVES, id="both"),
        pytest.param({"policyTypes": ["Ingress"]}, {"shop.a-to-b.ingress"}, id="ingress"),
        pytest.param({"policyTypes": ["Egress"]}, {"shop.a-to-b.egress"}, id="egress"),
        pytest.param({"mode": "Audit"}, set(), id="audit"),
    ],
)
def test_a_local_flow_has_a_half_for_each_governed_direction(spec: dict[str, Any], halves: set[str]) -> None:
    assert own(obj(A_TO_B, **spec)) == halves


def test_a_flow_in_a_direction_that_is_not_governed_says_so() -> None:
    found = row(compile_(obj(flow("a", {"entity": "Internet"}, 443), policyTypes=["Ingress"])))

    assert found.state is FlowState.NOT_GOVERNED
    assert "policyTypes is [Ingress]" in found.finding.message


@pytest.mark.parametrize(
    ("port", "hint"),
    [("all", '; for every port write "*"'), ("any/UDP", '; for every port write "*"'), ("metrics", "")],
)
def test_a_port_that_is_called_as_if_it_meant_all_is_a_name_and_says_so(port: str, hint: str) -> None:
    found = row(compile_(obj(flow("a", "b", port))))

    assert found.finding.message == (
        f"port {port.partition('/')[0]} stays a name, which some CNIs get wrong; a number is safer{hint}"
    )


# What stays.


@pytest.mark.parametrize(
    ("body", "stays"),
    [
        pytest.param(obj(TO_DB), DB_HALVES, id="the-same-flow"),
        pytest.param(obj(TO_DB | {"name": "renamed"}), DB_HALVES, id="under-another-name"),
        pytest.param(obj(TO_DB | {"description": "why"}), DB_HALVES, id="with-a-description"),
        pytest.param(obj(TO_DB | {"ports": [5432]}), set(), id="with-other-ports"),
        pytest.param(obj(TO_DB | {"from": {"app": "c"}}), set(), id="from-another-end"),
        pytest.param(obj(TO_DB, appLabel="k8s-app"), set(), id="with-another-app-label"),
        pytest.param(obj(), set(), id="removed"),
        pytest.param(obj(TO_DB, name="other"), set(), id="in-another-object"),
        pytest.param(obj(TO_DB | {"expirationTime": "2026-06-01T11:59:59Z"}), set(), id="expired-meanwhile"),
        pytest.param(obj(TO_DB, policyTypes=["Ingress"]), {"shop.a-to-db.ingress"}, id="in-one-direction-only"),
        pytest.param(obj(TO_DB, mode="Audit"), set(), id="in-audit"),
        pytest.param(obj(TO_DB, mode="Learn"), DB_HALVES, id="the-object-is-not-understood"),
        pytest.param(obj(TO_DB | {"ports": [1]}, mode="Learn"), set(), id="not-understood-and-changed"),
        pytest.param(
            obj(TO_DB | {"expirationTime": "2026-06-01T11:59:59Z"}, mode="Learn"),
            set(),
            id="not-understood-and-expired",
        ),
        pytest.param(obj(TO_DB | {"methods": ["GET"]}), set(), id="narrowed-in-words-of-a-later-version"),
        pytest.param(obj(TO_DB | {"expirationTime": "next week"}), set(), id="with-an-end-that-can-not-be-read"),
    ],
)
def test_without_its_service_a_flow_keeps_exactly_what_was_written_for_it(body: Any, stays: set[str]) -> None:
    before = observed(compile_(obj(TO_DB), facts=facts(service("db"))))

    assert own(body, facts=facts(), standing=before) == stays


def test_a_flow_in_words_of_a_later_version_ends_when_it_says() -> None:
    later = flow("a", "b", methods=["GET"], expirationTime="2026-06-01T12:00:01Z")
    (entry,) = intent(later).entries
    kept = observed(compile_(obj(A_TO_B)))
    for body in kept:
        if body["metadata"]["name"] in BOTH_HALVES:
            body["metadata"]["annotations"][naming.FINGERPRINT_ANNOTATION] = naming.mark(
                entry.fingerprint, body["spec"]
            )
    compiled = compile_(obj(later), standing=kept)

    assert row(compiled).kept == BOTH_HALVES
    assert compiled.next_change == NOW + timedelta(seconds=1)
    assert row(compile_(obj(later), standing=kept, now=NOW + timedelta(seconds=1))).kept == frozenset()


def test_what_was_edited_by_hand_is_not_kept() -> None:
    """Nobody knows what it ought to say, so it goes: an edit must not open a door while a Service is away."""
    before = observed(compile_(obj(TO_DB), facts=facts(service("db"))))
    for body in before:
        if body["metadata"]["name"] == "shop.a-to-db.egress":
            body["spec"] = {**body["spec"], "egress": [{}]}

    assert own(obj(TO_DB), standing=before) == {"shop.a-to-db.ingress"}


def test_an_object_in_audit_keeps_nothing_and_says_so() -> None:
    before = observed(compile_(obj(TO_DB), facts=facts(service("db"))))
    found = row(compile_(obj(TO_DB, mode="Audit"), standing=before))

    assert found.kept == frozenset()
    assert found.finding.message.endswith("; nothing is opened for it")


def test_an_unresolved_flow_that_never_resolved_opens_nothing_and_says_so() -> None:
    found = row(compile_(obj(TO_DB)))

    assert (found.state, found.finding.reason) == (FlowState.UNRESOLVED, Reason.SERVICE_NOT_FOUND)
    assert found.finding.message == "Service db is not there (yet); nothing is opened for it"


def test_a_kept_flow_says_that_its_policies_stay() -> None:
    before = observed(compile_(obj(TO_DB), facts=facts(service("db"))))

    assert row(compile_(obj(TO_DB), standing=before)).finding.message.endswith("; its policies stay as they are")


def test_a_refused_object_keeps_the_shared_policies_that_it_owned() -> None:
    before = observed(compile_(obj(A_TO_B)))
    compiled = compile_(obj(A_TO_B, mode="Learn"), standing=before)

    assert set(names(compiled)) == SHARED
    assert [policy.to_dict() for policy in compiled.policies] == [
        policy.to_dict() for policy in compile_(obj(A_TO_B)).policies if policy.name in SHARED
    ]
    assert plan(compiled, before).is_empty


@pytest.mark.parametrize("removed", [{naming.DEFAULT_DENY}, {naming.ALLOW_DNS}, SHARED])
def test_what_isolates_is_put_back_for_a_refused_object_too(removed: set[str]) -> None:
    whole = observed(compile_(obj(A_TO_B)))
    left = [body for body in whole if body["metadata"]["name"] not in removed]
    compiled = compile_(obj(A_TO_B, mode="Learn"), standing=left)

    assert set(names(compiled)) == SHARED
    assert plan(compiled, whole).is_empty


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"defaultDeny": "Perimeter"}, id="not-understood"),
        pytest.param({"defaultDeny": "None"}, id="not-wanted"),
        pytest.param({"policyTypes": ["Egress"]}, id="in-another-direction"),
    ],
)
def test_for_a_refused_object_nothing_is_isolated_that_was_not(spec: dict[str, Any]) -> None:
    left = observed(compile_(obj(A_TO_B, policyTypes=["Ingress"], defaultDeny="None")))

    assert names(compile_(obj(A_TO_B, mode="Learn", **spec), standing=left)) == []


def test_a_refused_object_that_had_nothing_closes_nothing() -> None:
    compiled = compile_(obj(A_TO_B, mode="Learn"))

    assert names(compiled) == []
    assert compiled.kept == frozenset()


def test_a_refused_object_keeps_what_closed_its_ends() -> None:
    before = observed(compile_(obj(A_TO_B, defaultDeny="Endpoints")))
    compiled = compile_(obj(A_TO_B, defaultDeny="Perimeter"), standing=before)

    assert plan(compiled, before).is_empty


@pytest.mark.parametrize(
    "reason_to_look_away",
    [
        pytest.param(lambda known: replace(known, services={}), id="its-service-is-being-made-anew"),
        pytest.param(lambda known: replace(known, peers={}), id="its-namespace-could-not-be-found"),
    ],
)
def test_an_unchanged_flow_to_a_foreign_service_is_not_cut(reason_to_look_away: Any) -> None:
    ours: dict[str, Any] = {"from": {"app": "a"}, "to": {"service": "db", "namespace": "data"}}
    grant = obj(flow({"app": "a", "namespace": "shop"}, "db", 5432), name="db", namespace="data")
    known = facts(service("db", namespace="data"), peers={"data": peer(grant, name="data")})
    before = observed(compile_(obj(ours), facts=known))
    after = compile_(obj(ours), facts=reason_to_look_away(known), standing=before)

    assert "shop.a-to-db-in-data.egress" in {body["metadata"]["name"] for body in before}
    assert plan(after, before).is_empty


# What goes, and when.


@pytest.mark.parametrize(
    ("ends", "state", "stands"),
    [
        pytest.param("2026-06-01T12:00:00Z", FlowState.EXPIRED, set(), id="this-second"),
        pytest.param("2026-06-01T14:00:00+02:00", FlowState.EXPIRED, set(), id="this-second-elsewhere"),
        pytest.param("2026-06-01T12:00:01Z", FlowState.EXPIRING, BOTH_HALVES, id="in-a-second"),
        pytest.param("2026-06-02T12:00:00Z", FlowState.EXPIRING, BOTH_HALVES, id="in-a-day"),
        pytest.param("2026-06-02T12:00:01Z", FlowState.ACTIVE, BOTH_HALVES, id="in-more-than-a-day"),
        pytest.param("2000-01-01T00:00:00Z", FlowState.EXPIRED, set(), id="the-first-moment-that-there-is"),
        pytest.param("2099-12-31T23:59:59Z", FlowState.ACTIVE, BOTH_HALVES, id="the-last-moment-that-there-is"),
    ],
)
def test_a_flow_is_closed_from_its_end_on(ends: str, state: FlowState, stands: set[str]) -> None:
    body = obj(A_TO_B | {"expirationTime": ends})

    assert row(compile_(body)).state is state
    assert own(body) == stands


def test_the_next_look_is_at_the_next_warning_or_end() -> None:
    day = timedelta(days=1)
    body = obj(
        A_TO_B | {"expirationTime": "2026-06-05T12:00:00Z"}, flow("c", "d", expirationTime="2020-01-01T00:00:00Z")
    )
    end = datetime(2026, 6, 5, 12, tzinfo=UTC)

    assert compile_(body).next_change == end - day
    assert compile_(body, now=end - day).next_change == end
    assert compile_(body, now=end).next_change is None


@pytest.mark.parametrize("moment", [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)])
def test_no_end_however_far_stops_the_namespace(moment: datetime) -> None:
    """There is no day before the first one: arithmetic on it fails, and a whole namespace must not fail with it."""
    (entry,) = intent(flow("c", "d")).entries
    assert entry.flow is not None
    odd = replace(entry, flow=entry.flow.model_copy(update={"expiration_time": moment}))
    compiler = compile_module.Compiler(facts=facts(), options=Options(), now=NOW, standing={})
    compiled = compiler.compile([replace(intent(), name="odd", entries=(odd,)), intent(A_TO_B, name="good")])

    assert "good.a-to-b.egress" in names(compiled)


# Audit.


def test_audit_writes_nothing_and_shows_what_it_would() -> None:
    compiled = compile_(obj(A_TO_B, mode="Audit"))

    assert names(compiled) == []
    assert result(compiled).would_write == tuple(sorted(SHARED | BOTH_HALVES))


def test_audit_would_write_only_what_does_not_stand_already() -> None:
    compiled = compile_(obj(name="enforced"), obj(A_TO_B, mode="Audit"))

    assert set(result(compiled).would_write) == BOTH_HALVES
    assert set(names(compiled)) == SHARED


def test_audit_would_also_write_what_it_would_change() -> None:
    compiled = compile_(obj(name="enforced", policyTypes=["Ingress"]), obj(mode="Audit", dns="None"))

    assert result(compiled).would_write == (naming.DEFAULT_DENY,)
    assert spec_of(compiled, naming.DEFAULT_DENY)["policyTypes"] == ["Ingress"]


def test_audit_takes_nothing_from_other_objects() -> None:
    alone = compile_(obj(A_TO_B, name="enforced"))

    assert compile_(obj(A_TO_B, name="enforced"), obj(mode="Audit")).policies == alone.policies


# Whole namespaces.


def test_in_a_protected_namespace_nothing_is_written_and_nothing_removed() -> None:
    before = observed(compile_(obj(A_TO_B)))
    compiled = compile_(obj(A_TO_B), standing=before, options=Options(protected_namespaces=frozenset({"shop"})))

    assert names(compiled) == []
    assert not plan(compiled, before).deny_deletions + plan(compiled, before).allow_deletions
    refusal = result(compiled).refusal
    assert refusal is not None
    assert refusal.reason is Reason.NAMESPACE_PROTECTED


def test_one_objects_poison_stops_no_other_object(monkeypatch: pytest.MonkeyPatch) -> None:
    before = observed(compile_(obj(A_TO_B), obj(A_TO_B, name="good")))

    def poisoned(intent: Any, **rest: Any) -> Any:
        if intent.name == "shop":
            raise ZeroDivisionError("boom")
        return object_policies(intent, **rest)

    monkeypatch.setattr(isolation, "object_policies", poisoned)
    compiled = compile_(obj(A_TO_B), obj(A_TO_B, name="good"), standing=before)

    refusal = result(compiled).refusal
    assert refusal is not None
    assert refusal.reason is Reason.INTERNAL_ERROR
    assert "ZeroDivisionError: boom" in refusal.message
    assert plan(compiled, before).is_empty


def test_one_flows_poison_stops_no_other_flow(monkeypatch: pytest.MonkeyPatch) -> None:
    before = observed(compile_(obj(A_TO_B)))

    def poisoned(flow: Any, **rest: Any) -> Any:
        if flow.description == "poison":
            raise ZeroDivisionError("boom")
        return resolve(flow, **rest)

    monkeypatch.setattr(compile_module, "resolve", poisoned)
    compiled = compile_(obj(A_TO_B | {"description": "poison"}, flow("c", "d")), standing=before)

    bad = row(compiled, "a-to-b")
    assert (bad.state, bad.finding.reason) == (FlowState.INVALID, Reason.INTERNAL_ERROR)
    assert "ZeroDivisionError: boom" in bad.finding.message
    assert bad.kept == BOTH_HALVES
    assert row(compiled, "c-to-d").state is FlowState.ACTIVE


def test_two_objects_add_up_and_own_what_they_share() -> None:
    compiled = compile_(obj(A_TO_B, name="one"), obj(flow("c", "d"), name="two"))

    assert {policy.name: [owner.name for owner in policy.owners] for policy in compiled.policies} == {
        naming.ALLOW_DNS: ["one", "two"],
        naming.DEFAULT_DENY: ["one", "two"],
        "one.a-to-b.egress": ["one"],
        "one.a-to-b.ingress": ["one"],
        "two.c-to-d.egress": ["two"],
        "two.c-to-d.ingress": ["two"],
    }


def test_a_foreign_policy_with_our_marks_keeps_nothing() -> None:
    """Labels and annotations prove nothing: only what is ours reaches the compiler as standing, by its owners."""
    forged = foreign("shop.a-to-db.egress")
    forged["metadata"]["labels"] = {naming.OBJECT_LABEL: "shop", naming.ROLE_LABEL: Role.FLOW.value}
    compiled = compile_(obj(TO_DB))

    assert [step for step in plan(compiled, [forged]).steps if step.name == "shop.a-to-db.egress"] == []


# What each end becomes.

EVERY_POD_ELSEWHERE = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "n"}}}


@pytest.mark.parametrize(
    ("end", "peers"),
    [
        pytest.param({"podSelector": {}}, [{"podSelector": {}}], id="every-pod-here"),
        pytest.param(
            {"app": "b", "namespace": "shop"}, [{"podSelector": {"matchLabels": {"app": "b"}}}], id="here-by-name"
        ),
        pytest.param({"namespace": "n"}, [EVERY_POD_ELSEWHERE], id="a-whole-namespace"),
        pytest.param(
            {"podSelector": {}, "namespace": "n"}, [EVERY_POD_ELSEWHERE | {"podSelector": {}}], id="every-pod-there"
        ),
        pytest.param(
            {"app": "b", "namespace": "n"},
            [EVERY_POD_ELSEWHERE | {"podSelector": {"matchLabels": {"app": "b"}}}],
            id="both-selectors-in-one-peer",
        ),
        pytest.param({"namespaceSelector": {}}, [{"namespaceSelector": {}}], id="every-namespace"),
        pytest.param({"entity": "Cluster"}, [{"namespaceSelector": {}}], id="the-cluster"),
        pytest.param({"entity": "Any"}, [None], id="anyone"),
        pytest.param({"entity": "KubeAPIServer"}, [{"ipBlock": {"cidr": "10.9.9.9/32"}}], id="the-api-server"),
        pytest.param(
            {"ipBlocks": [{"cidr": "2001:db8::/32"}, {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}]},
            [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}, {"ipBlock": {"cidr": "2001:db8::/32"}}],
            id="networks-one-a-rule",
        ),
    ],
)
def test_an_end_is_a_peer(end: dict[str, Any], peers: list[Any]) -> None:
    known = replace(facts(), api_server=(endpoints("10.9.9.9", https=6443),))
    compiled = compile_(obj(flow("a", end, 6443, name="x")), facts=known)

    assert [rule.get("to", [None])[0] for rule in spec_of(compiled, "shop.x.egress")["egress"]] == peers


def test_the_internet_is_everything_but_what_is_private() -> None:
    options = Options(private_cidrs=("198.51.100.0/24", "2001:db8:1::/48"))
    compiled = compile_(obj(flow("a", {"entity": "Internet"}, 443, name="x")), options=options)
    v4, v6 = (rule["to"][0]["ipBlock"] for rule in spec_of(compiled, "shop.x.egress")["egress"])

    assert {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "198.51.100.0/24"} <= {
        *v4["except"]
    }
    assert (v6["cidr"], v6["except"]) == ("2000::/3", ["2001:db8:1::/48"])


@pytest.mark.parametrize(
    ("excluded", "blocks"),
    [
        pytest.param([], [{"cidr": "8000::/1"}, {"cidr": "::/1"}], id="all"),
        pytest.param(
            ["fd00::/8", "2001:db8::/32"],
            [{"cidr": "8000::/1", "except": ["fd00::/8"]}, {"cidr": "::/1", "except": ["2001:db8::/32"]}],
            id="exceptions-go-where-they-belong",
        ),
        pytest.param(["8000::/1"], [{"cidr": "::/1"}], id="a-half-is-an-exception"),
    ],
)
def test_all_of_ipv6_is_said_in_two_halves(excluded: list[str], blocks: list[Any]) -> None:
    """The same in the API's terms; kube-router takes ::/0 for something else, exceptions or not."""
    compiled = compile_(obj(flow("a", {"ipBlocks": [{"cidr": "::/0", "except": excluded}]}, 443, name="x")))

    assert [rule["to"][0]["ipBlock"] for rule in spec_of(compiled, "shop.x.egress")["egress"]] == blocks


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(
            flow("a", {"ipBlocks": [{"cidr": "10.0.0.0/8"}]}, "web"), Reason.NAMED_PORT_WITHOUT_PODS, id="cidr"
        ),
        pytest.param(flow("a", {"entity": "Internet"}, "web"), Reason.NAMED_PORT_WITHOUT_PODS, id="internet"),
        pytest.param(flow("a", {"entity": "Any"}, "web"), Reason.NAMED_PORT_WITHOUT_PODS, id="any"),
        pytest.param(flow({"namespace": "x"}, {"namespace": "y"}), Reason.NO_LOCAL_END, id="two-foreign-namespaces"),
        pytest.param(
            flow({"entity": "Any"}, {"app": "b", "namespace": "y"}), Reason.NO_LOCAL_END, id="anyone-to-elsewhere"
        ),
        pytest.param(
            flow({"app": "a", "namespaceSelector": {}}, {"namespaceSelector": {}}), Reason.NO_LOCAL_END, id="by-labels"
        ),
    ],
)
def test_what_can_not_mean_anything_is_invalid_with_a_reason(body: Any, reason: Reason) -> None:
    found = row(compile_(obj(body)))

    assert (found.state, found.finding.reason) == (FlowState.INVALID, reason)


def test_now_is_the_only_clock() -> None:
    body = obj(A_TO_B | {"expirationTime": "2026-06-01T12:00:00Z"})

    assert own(body, now=NOW - timedelta(microseconds=1)) == BOTH_HALVES
