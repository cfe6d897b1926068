"""Flows between namespaces: nobody opens another team's door, and both halves are told of each other."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from cluster.operator import USER, Operator
from e2e.conftest import Team, eventually, flow

NewTeam = Callable[..., Team]


@pytest.fixture
def theirs(new_team: NewTeam) -> Team:
    """Another team, which has isolated its namespace."""
    other = new_team(tier="backend")
    other.connect("base")
    other.wait_ready("base")
    return other


def connected(team: Team, name: str = "shop") -> tuple[str, str]:
    found = team.condition(name, "Connected")
    return found.get("status", ""), found.get("reason", "")


def await_connected(team: Team, status: str, *, within: float = 15.0) -> dict[str, Any]:
    def as_wished() -> dict[str, Any]:
        found = team.condition("shop", "Connected")
        return found if found.get("status") == status else {}

    return eventually(as_wished, within=within, what=f"Connected={status}")


def pasted(message: str) -> dict[str, Any]:
    """The flow that the message asks the other namespace to declare."""
    found = re.search(r"must declare: (\{.*\})", message)
    assert found, message
    return yaml.safe_load(found[1])


def test_a_flow_into_another_namespace_writes_nothing_there(operator: Operator, team: Team, theirs: Team) -> None:
    before, writes = theirs.policies(), _writes_in(theirs)

    team.connect("shop", flow("api", {"app": "billing", "namespace": theirs.namespace}, 9090))
    team.wait_ready()
    await_connected(team, "False")

    assert "shop.api-to-billing-in-" + theirs.namespace + ".egress" in team.policies()
    assert theirs.policies() == before
    assert _writes_in(theirs) == writes


def test_both_halves_connect_and_taking_one_away_disconnects(operator: Operator, team: Team, theirs: Team) -> None:
    team.connect("shop", flow("api", {"app": "billing", "namespace": theirs.namespace}, 9090))
    await_connected(team, "False")
    theirs.connect("grant", flow({"app": "api", "namespace": team.namespace}, "billing", 9090))
    await_connected(team, "True")
    eventually(lambda: connected(theirs, "grant") == ("True", "Connected"))

    theirs.delete("appconn", "grant")
    found = await_connected(team, "False", within=2)

    assert found["reason"] == "AwaitingGrant"
    assert f"an AppConnectivity in namespace {theirs.namespace} must declare:" in found["message"]
    assert team.row("shop", f"api-to-billing-in-{theirs.namespace}")["state"] == "AwaitingGrant"
    assert team.condition("shop", "Ready")["status"] == "True"
    assert any(e["type"] == "Warning" for e in team.events("AwaitingGrant"))


@pytest.mark.parametrize(
    ("ours", "spec"),
    [
        pytest.param(lambda ns: flow("api", {"app": "billing", "namespace": ns}, 9090), {}, id="into-a-name"),
        pytest.param(lambda ns: flow({"app": "billing", "namespace": ns}, "api", 9090), {}, id="out-of-a-name"),
        pytest.param(lambda ns: flow("api", {"namespace": ns}, "*"), {}, id="into-every-pod"),
        pytest.param(
            lambda ns: flow("api", {"app": "billing", "namespaceSelector": {"matchLabels": {"of": ns}}}, 9090),
            {},
            id="into-namespaces-by-label",
        ),
        pytest.param(lambda ns: flow("api", {"service": "db", "namespace": ns}), {}, id="into-a-service"),
        pytest.param(lambda ns: flow("api", {"app": "b", "namespace": ns}, "metrics", "dns/UDP"), {}, id="port-names"),
        pytest.param(
            lambda ns: flow("api", {"app": "b", "namespace": ns}, "8000-8010/TCP", "53/UDP", 443), {}, id="port-ranges"
        ),
        pytest.param(
            lambda ns: flow(
                {"podSelector": {"matchLabels": {"app": "true"}}},
                {
                    "podSelector": {"matchExpressions": [{"key": "x", "operator": "In", "values": ["1", "null"]}]},
                    "namespace": ns,
                },
                9090,
            ),
            {},
            id="words-that-yaml-takes-for-something-else",
        ),
        pytest.param(
            lambda ns: flow("api", {"app": "billing", "namespace": ns}, 9090),
            {"appLabel": "app.kubernetes.io/name"},
            id="another-app-label",
        ),
    ],
)
def test_the_words_of_the_message_can_be_pasted_into_the_other_object(
    operator: Operator, team: Team, theirs: Team, ours: Callable[[str], dict[str, Any]], spec: dict[str, Any]
) -> None:
    team.plane.kubectl("label", "namespace", theirs.namespace, f"of={theirs.namespace}")
    theirs.apply(_service("db", port=5432))
    team.connect("shop", ours(theirs.namespace), **spec)
    message = await_connected(team, "False")["message"]

    theirs.connect("grant", pasted(message))

    await_connected(team, "True")
    eventually(lambda: connected(theirs, "grant") == ("True", "Connected"))


def test_every_namespace_that_a_label_selects_has_to_grant(operator: Operator, team: Team, new_team: NewTeam) -> None:
    others = [new_team(zone=team.namespace) for _ in range(2)]
    for other in others:
        other.connect("base")
        other.wait_ready("base")
    team.connect("shop", flow("api", {"app": "b", "namespaceSelector": {"matchLabels": {"zone": team.namespace}}}, 80))

    message = await_connected(team, "False")["message"]
    assert "an AppConnectivity in 2 of the namespaces that match must declare:" in message
    others[0].connect("grant", pasted(message))
    eventually(lambda: "in 1 of the namespaces" in team.condition("shop", "Connected")["message"])
    others[1].connect("grant", pasted(message))
    await_connected(team, "True")

    third = new_team(zone=team.namespace)
    third.connect("base")
    await_connected(team, "False")


def test_a_wider_grant_counts_and_a_narrower_one_does_not(operator: Operator, team: Team, theirs: Team) -> None:
    team.connect("shop", flow("api", {"app": "billing", "namespace": theirs.namespace}, "9000-9010"))
    await_connected(team, "False")

    theirs.connect("grant", flow({"app": "api", "namespace": team.namespace}, "billing", 9001))
    theirs.wait_ready("grant")
    time.sleep(0.5)
    assert connected(team) == ("False", "AwaitingGrant")

    theirs.connect("grant", flow({"namespace": team.namespace}, {"podSelector": {}}, "8000-9999"))
    await_connected(team, "True")


def test_a_namespace_that_nothing_isolates_needs_no_grant(operator: Operator, team: Team, new_team: NewTeam) -> None:
    open_team = new_team()
    team.connect("shop", flow("api", {"app": "billing", "namespace": open_team.namespace}, 9090))
    await_connected(team, "True")

    open_team.connect("base")
    await_connected(team, "False")


def test_a_foreign_deny_isolates_too(operator: Operator, team: Team, new_team: NewTeam) -> None:
    other = new_team()
    team.connect("shop", flow("api", {"app": "billing", "namespace": other.namespace}, 9090))
    await_connected(team, "True")

    other.apply(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "closed"},
            "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
        }
    )
    await_connected(team, "False")
    other.delete("networkpolicy", "closed")
    await_connected(team, "True")


def test_a_grant_in_audit_does_not_count(operator: Operator, team: Team, theirs: Team) -> None:
    team.connect("shop", flow("api", {"app": "billing", "namespace": theirs.namespace}, 9090))
    await_connected(team, "False")
    grant = flow({"app": "api", "namespace": team.namespace}, "billing", 9090)

    theirs.connect("grant", grant, mode="Audit")
    theirs.wait_ready("grant")
    time.sleep(0.5)
    assert connected(team) == ("False", "AwaitingGrant")

    theirs.connect("grant", grant, mode="Enforce")
    await_connected(team, "True")


def test_a_missing_namespace_and_one_that_has_not_granted_are_told_in_the_same_words(
    operator: Operator, team: Team, theirs: Team
) -> None:
    team.connect(
        "shop",
        flow("api", {"app": "billing", "namespace": "nowhere"}, 9090, name="one"),
        flow("api", {"app": "billing", "namespace": theirs.namespace}, 9090, name="two"),
    )
    await_connected(team, "False")

    missing, ungranted = team.row("shop", "one"), team.row("shop", "two")
    assert {**missing, "name": ""} == {
        **ungranted,
        "name": "",
        "message": ungranted["message"].replace(theirs.namespace, "nowhere"),
    }


def test_a_flow_heals_when_the_missing_namespace_appears(operator: Operator, team: Team) -> None:
    name = f"{team.namespace}-late"
    team.connect("shop", flow("api", {"app": "billing", "namespace": name}, 9090))
    await_connected(team, "False")
    assert team.condition("shop", "Ready")["status"] == "True"

    team.plane.kubectl("create", "namespace", name)
    await_connected(team, "True")
    team.plane.kubectl("delete", "namespace", name, "--wait=false")


def test_whether_a_foreign_service_exists_does_not_show_before_it_grants(
    operator: Operator, team: Team, theirs: Team
) -> None:
    theirs.apply(_service("stands", port=5432))
    for name in ("stands", "misses"):
        team.connect(name, flow("api", {"service": name, "namespace": theirs.namespace}, name="flow"))
    statuses = [_settled(team, name) for name in ("stands", "misses")]

    assert statuses[0]["flows"][0]["state"] == "AwaitingGrant"
    assert _words(statuses[0], "stands") == _words(statuses[1], "misses")
    assert not [name for name in team.policies() if ".flow." in name]


def test_a_foreign_service_opens_once_it_is_granted(operator: Operator, team: Team, theirs: Team) -> None:
    theirs.apply(_service("db", port=5432))
    team.connect("shop", flow("api", {"service": "db", "namespace": theirs.namespace}, name="to-db"))
    await_connected(team, "False")

    theirs.connect("grant", flow({"app": "api", "namespace": team.namespace}, {"service": "db"}))
    await_connected(team, "True")

    rule = team.policies()["shop.to-db.egress"]["spec"]["egress"][0]
    assert rule["ports"] == [{"port": 15432, "protocol": "TCP"}]
    assert rule["to"][0]["podSelector"] == {"matchLabels": {"app": "db"}}


def test_neither_end_local_is_refused_with_a_reason(operator: Operator, team: Team, theirs: Team) -> None:
    other = {"app": "a", "namespace": theirs.namespace}
    team.connect("shop", flow(other, {"app": "b", "namespace": theirs.namespace}, 80, name="theirs"))

    row = eventually(lambda: team.row("shop", "theirs"))
    assert (row["state"], row["reason"]) == ("Invalid", "NoLocalEnd")
    assert f"neither end is in namespace {team.namespace}" in row["message"]


def _service(name: str, *, port: int) -> dict[str, Any]:
    ports = [{"port": port, "targetPort": 10000 + port}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": ports},
    }


def _settled(team: Team, name: str) -> dict[str, Any]:
    eventually(lambda: team.get("appconn", name)["status"].get("observedGeneration"))
    return team.get("appconn", name)["status"]


def _words(status: dict[str, Any], name: str) -> str:
    """The status as text, without the object's own name and without times."""
    plain = {**status, "conditions": [{**c, "lastTransitionTime": ""} for c in status["conditions"]]}
    return yaml.safe_dump(plain).replace(name, "NAME")


def _writes_in(team: Team) -> list[str]:
    return [
        event["auditID"]
        for event in team.plane.writes(user=USER)
        if event["objectRef"].get("namespace") == team.namespace and event["objectRef"]["resource"] != "events"
    ]
