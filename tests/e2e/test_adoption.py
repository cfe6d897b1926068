"""The first policies of a namespace, with what keeps it open meanwhile: the order, the report, and the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cluster.operator import USER, Operator
from e2e.conftest import Team, eventually, flow

TRANSITION = {"appconnectivity.transition-ingress", "appconnectivity.transition-egress"}
OURS = {
    "appconnectivity.default-deny",
    "appconnectivity.allow-dns",
    "shop.frontend-to-api.ingress",
    "shop.frontend-to-api.egress",
}


@pytest.fixture
def patient(installed_operator: Callable[..., Operator]) -> Operator:
    """Alone at work: one without patience would take the transition away."""
    return installed_operator("--adoption-seconds", "6")


def test_the_namespace_stays_open_for_its_time_and_says_so(team: Team, patient: Operator) -> None:
    team.connect("shop", flow("frontend", "api", 8080))

    ready = eventually(lambda: _because(team, "Adopting"))
    assert ready["status"] == "False"
    assert "4 policies stand; all of the namespace stays open until 20" in ready["message"]
    assert set(team.policies()) == OURS | TRANSITION
    assert team.get("appconn", "shop")["status"]["policyCount"] == 4
    team.wait_ready()
    assert set(team.policies()) == OURS
    assert [event["type"] for event in team.events("Adopting")] == ["Normal"]
    order = [event["objectRef"]["name"] for event in team.plane.writes(user=USER) if _is_policy(team, event)]
    assert set(order[:2]) == TRANSITION == set(order[-2:])


def test_a_namespace_with_policies_of_others_is_never_opened(team: Team, patient: Operator) -> None:
    team.apply(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "theirs"},
            "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
        }
    )
    team.connect("shop", flow("frontend", "api", 8080))
    team.wait_ready()

    assert not team.events("Adopting")
    assert not TRANSITION & {e["objectRef"].get("name") for e in team.plane.writes(user=USER) if _is_policy(team, e)}


def test_policies_that_somebody_deletes_are_put_back_without_opening_anything(team: Team, patient: Operator) -> None:
    team.connect("shop", flow("frontend", "api", 8080))
    team.wait_ready()
    team.plane.kubectl("delete", "networkpolicies", "--all", "-n", team.namespace)

    eventually(lambda: set(team.policies()) == OURS)
    writes = [e["objectRef"].get("name") for e in team.plane.writes(user=USER) if _is_policy(team, e)]
    assert len([name for name in writes if name in TRANSITION]) == 4


def _because(team: Team, reason: str) -> dict[str, Any]:
    found = team.condition("shop", "Ready")
    return found if found.get("reason") == reason else {}


def _is_policy(team: Team, event: dict[str, Any]) -> bool:
    target = event["objectRef"]
    return bool(target["resource"] == "networkpolicies" and target.get("namespace") == team.namespace)
