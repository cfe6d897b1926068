"""Mode, the forms of default-deny, directions, DNS, expiry, protected namespaces: what each writes and takes away."""

from __future__ import annotations

import datetime
import time
from typing import Any

import pytest

from cluster.operator import USER, Operator
from e2e.conftest import Team, appconn, eventually, flow

DENY, DNS = "appconnectivity.default-deny", "appconnectivity.allow-dns"
INGRESS, EGRESS = "shop.frontend-to-api.ingress", "shop.frontend-to-api.egress"
ALL = {DENY, DNS, INGRESS, EGRESS}


def in_seconds(seconds: float) -> str:
    moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def status(team: Team, name: str = "shop") -> dict[str, Any]:
    return team.get("appconn", name)["status"]


def test_audit_writes_nothing_and_shows_what_it_would_write(operator: Operator, team: Team) -> None:
    team.connect("shop", flow("frontend", "api", 8080), mode="Audit")
    team.wait_ready()

    assert team.policies() == {}
    assert _policy_writes(team) == []
    found = status(team)
    assert (found["wouldWrite"], found["wouldWriteCount"], found["policyCount"]) == (sorted(ALL), 4, 0)
    assert [(row["name"], row["state"]) for row in found["flows"]] == [("frontend-to-api", "NotWritten")]
    programmed = team.condition("shop", "Programmed")
    assert (programmed["status"], programmed["reason"]) == ("False", "Audit")
    assert programmed["message"] == "mode is Audit: nothing is written; 4 policies would be"
    assert team.condition("shop", "Ready")["reason"] == "Audit"


def test_audit_after_enforce_takes_the_policies_away_deny_first(operator: Operator, team: Team) -> None:
    team.connect("shop", flow("frontend", "api", 8080))
    team.wait_ready()
    team.connect("shop", flow("frontend", "api", 8080), mode="Audit")
    eventually(lambda: not team.policies())
    team.wait_ready()

    deleted = [name for verb, name in _policy_writes(team) if verb == "delete"]
    assert (deleted[0], set(deleted)) == (DENY, ALL)
    assert status(team)["wouldWriteCount"] == 4

    team.connect("shop", flow("frontend", "api", 8080), mode="Enforce")
    team.wait_ready()
    assert set(team.policies()) == ALL
    assert "wouldWrite" not in status(team)


def test_audit_beside_an_enforced_object_shows_only_what_it_would_add(operator: Operator, team: Team) -> None:
    team.connect("shop", flow("frontend", "api", 8080), defaultDeny="Endpoints", dns="None")
    team.connect("trial", flow("api", "db", 5432), mode="Audit")
    team.wait_ready("shop")
    eventually(lambda: status(team, "trial").get("wouldWriteCount") == 4)
    assert status(team, "trial")["wouldWrite"] == [DNS, DENY, "trial.api-to-db.egress", "trial.api-to-db.ingress"]

    team.connect("shop", flow("frontend", "api", 8080))
    eventually(lambda: status(team, "trial")["wouldWriteCount"] == 2)

    assert status(team, "trial")["wouldWrite"] == ["trial.api-to-db.egress", "trial.api-to-db.ingress"]
    assert set(team.policies()) == ALL


def test_an_object_going_to_audit_leaves_what_the_others_share(operator: Operator, team: Team) -> None:
    team.connect("shop", flow("frontend", "api", 8080))
    team.connect("other", flow("api", "db", 5432))
    team.wait_ready("shop")
    team.wait_ready("other")

    team.connect("other", flow("api", "db", 5432), mode="Audit")

    eventually(lambda: set(team.policies()) == ALL)
    assert [o["name"] for o in team.policies()[DENY]["metadata"]["ownerReferences"]] == ["shop"]


def test_endpoints_closes_only_the_pods_that_are_named(operator: Operator, team: Team) -> None:
    team.connect("shop", flow("frontend", "api", 8080), defaultDeny="Endpoints")
    team.wait_ready()

    found = team.policies()
    names = {f"shop.{end}.{role}" for end in ("frontend", "api") for role in ("deny", "allow-dns")}
    assert set(found) == {INGRESS, EGRESS, *names}
    for end in ("frontend", "api"):
        assert found[f"shop.{end}.deny"]["spec"] == {
            "podSelector": {"matchLabels": {"app": end}},
            "policyTypes": ["Egress", "Ingress"],
        }
        assert found[f"shop.{end}.allow-dns"]["spec"]["podSelector"] == {"matchLabels": {"app": end}}


def test_none_adds_no_deny_and_lets_only_the_flows_sources_ask_dns(operator: Operator, team: Team) -> None:
    team.connect("shop", flow("frontend", "api", 8080), defaultDeny="None")
    team.wait_ready()

    assert set(team.policies()) == {INGRESS, EGRESS, "shop.frontend.allow-dns"}


def test_changing_the_form_of_the_deny_leaves_nothing_behind(operator: Operator, team: Team) -> None:
    spec = flow("frontend", "api", 8080)
    team.connect("shop", spec, defaultDeny="Endpoints")
    team.wait_ready()
    team.connect("shop", spec, defaultDeny="Namespace")
    eventually(lambda: set(team.policies()) == ALL)
    team.connect("shop", spec, defaultDeny="None", dns="None")
    eventually(lambda: set(team.policies()) == {INGRESS, EGRESS})


@pytest.mark.parametrize(
    ("direction", "expected"),
    [
        pytest.param("Ingress", {DENY, INGRESS}, id="ingress-only"),
        pytest.param("Egress", {DENY, DNS, EGRESS}, id="egress-only"),
    ],
)
def test_one_direction_leaves_the_other_alone(
    operator: Operator, team: Team, direction: str, expected: set[str]
) -> None:
    team.connect("shop", flow("frontend", "api", 8080), policyTypes=[direction])
    team.wait_ready()

    found = team.policies()
    assert set(found) == expected
    assert {kind for body in found.values() for kind in body["spec"]["policyTypes"]} == {direction}


def test_a_flow_whose_half_is_in_a_direction_left_alone_says_so(operator: Operator, team: Team) -> None:
    team.connect("shop", flow("api", {"entity": "Internet"}, 443), policyTypes=["Ingress"])
    team.wait_ready()

    row = team.row("shop", "api-to-internet")
    assert (row["state"], row["reason"]) == ("NotGoverned", "NotGoverned")
    assert row["message"] == "policyTypes is [Ingress], which leaves this flow's direction as it is"


def test_leaving_a_direction_opens_it_again(operator: Operator, team: Team) -> None:
    team.connect("shop", flow("frontend", "api", 8080))
    team.wait_ready()
    team.connect("shop", flow("frontend", "api", 8080), policyTypes=["Ingress"])

    eventually(lambda: set(team.policies()) == {DENY, INGRESS})
    eventually(lambda: team.policies()[DENY]["spec"]["policyTypes"] == ["Ingress"])


def test_the_shared_deny_is_the_union_of_the_objects_directions(operator: Operator, team: Team) -> None:
    team.connect("one", flow("a", "b", 80), policyTypes=["Ingress"])
    team.connect("two", flow("c", "d", 80), policyTypes=["Egress"])
    eventually(lambda: team.policies().get(DENY, {}).get("spec", {}).get("policyTypes") == ["Egress", "Ingress"])

    team.delete("appconn", "two")
    eventually(lambda: team.policies()[DENY]["spec"]["policyTypes"] == ["Ingress"])
    eventually(lambda: DNS not in team.policies())


def test_no_flows_are_isolation_alone(operator: Operator, team: Team) -> None:
    team.connect("shop")
    team.wait_ready()

    assert set(team.policies()) == {DENY, DNS}
    assert status(team)["flowsActive"] == "0/0"


def test_a_flow_closes_at_its_second(operator: Operator, team: Team) -> None:
    end = in_seconds(10)
    team.connect("shop", flow("frontend", "api", 8080, expirationTime=end, name="brief"), flow("frontend", "api", 9090))
    team.wait_ready()
    row = team.row("shop", "brief")
    assert (row["state"], row["message"]) == ("Expiring", f"will be closed at {end}")
    warning = eventually(lambda: team.events("Expiring"))[0]
    assert (warning["type"], warning["message"]) == ("Warning", f"flow brief: will be closed at {end}")
    assert "shop.brief.ingress" in team.policies()

    moment = datetime.datetime.fromisoformat(end).timestamp()
    time.sleep(max(0.0, moment - time.time() - 0.5))
    assert "shop.brief.ingress" in team.policies()
    time.sleep(max(0.0, moment - time.time()))
    eventually(lambda: set(team.policies()) == ALL, within=2)

    row = eventually(lambda: (found := team.row("shop", "brief"))["state"] == "Expired" and found)
    assert row["message"] == f"closed since {end}; remove the flow or set a later expirationTime"
    assert team.condition("shop", "Ready")["status"] == "True"
    assert [e["type"] for e in eventually(lambda: team.events("Expired"))] == ["Warning"]


def test_an_expired_flow_is_never_opened_and_a_later_time_opens_it(operator: Operator, team: Team) -> None:
    team.connect("shop", flow("frontend", "api", 8080, expirationTime="2026-01-01T00:00:00Z"))
    team.wait_ready()
    assert set(team.policies()) == {DENY, DNS}
    assert [verb for verb, name in _policy_writes(team) if name in (INGRESS, EGRESS)] == []

    team.connect("shop", flow("frontend", "api", 8080, expirationTime=in_seconds(300000)))
    team.wait_ready()
    assert set(team.policies()) == ALL
    assert team.row("shop", "frontend-to-api")["state"] == "Active"


def test_without_dns_no_dns_is_opened(operator: Operator, team: Team) -> None:
    team.connect("shop", flow("frontend", "api", 8080), dns="None")
    team.wait_ready()

    assert set(team.policies()) == ALL - {DNS}


@pytest.mark.parametrize("namespace", ["kube-system", "kube-public"])
def test_nothing_is_written_in_a_protected_namespace(operator: Operator, team: Team, namespace: str) -> None:
    before = team.plane.kubectl("get", "networkpolicies", "-n", namespace, "-o", "name").stdout
    team.apply(appconn("shop", flow("frontend", "api", 8080)), namespace=namespace)
    try:
        found = eventually(lambda: next((c for c in _conditions(team, namespace) if c["type"] == "Accepted"), None))
        assert (found["status"], found["reason"]) == ("False", "NamespaceProtected")
        assert found["message"] == (
            f"namespace {namespace} is protected by the operator's settings (protected-namespaces)"
        )
        ready = next(c for c in _conditions(team, namespace) if c["type"] == "Ready")
        assert (ready["status"], ready["reason"]) == ("False", "NamespaceProtected")
        assert team.plane.kubectl("get", "networkpolicies", "-n", namespace, "-o", "name").stdout == before
    finally:
        team.plane.kubectl("delete", "appconn", "shop", "-n", namespace)


def _conditions(team: Team, namespace: str) -> list[dict[str, Any]]:
    return team.get("appconn", "shop", namespace=namespace).get("status", {}).get("conditions", [])


def _policy_writes(team: Team) -> list[tuple[str, str]]:
    return [
        (event["verb"], event["objectRef"].get("name", ""))
        for event in team.plane.writes(user=USER)
        if event["objectRef"].get("namespace") == team.namespace and event["objectRef"]["resource"] == "networkpolicies"
    ]
