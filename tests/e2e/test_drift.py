"""What others do to our policies is put back at once, and people are told who did it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from cluster.operator import USER, Operator
from e2e.conftest import Team, eventually, flow

REPAIR_SECONDS = 2.0
INGRESS, EGRESS = "shop.frontend-to-api.ingress", "shop.frontend-to-api.egress"
DENY, DNS = "appconnectivity.default-deny", "appconnectivity.allow-dns"

Patch = list[dict[str, Any]]


@pytest.fixture
def shop(operator: Operator, team: Team) -> Team:
    team.connect("shop", flow("frontend", "api", 8080))
    team.wait_ready()
    return team


def patch(team: Team, name: str, *operations: dict[str, Any], manager: str = "mallory") -> None:
    team.plane.kubectl(
        *("patch", "networkpolicy", name, "-n", team.namespace, "--type=json", f"--field-manager={manager}"),
        *("-p", json.dumps(operations)),
    )


def meaning(body: dict[str, Any]) -> dict[str, Any]:
    """What we say about a policy: all but the server's own bookkeeping."""
    kept = ("labels", "annotations", "ownerReferences")
    return {"spec": body["spec"], **{key: body["metadata"].get(key) for key in kept}}


def _json(path: str, value: Any) -> dict[str, Any]:
    return {"op": "add", "path": path, "value": value}


@pytest.mark.parametrize(
    ("name", "operation"),
    [
        pytest.param(INGRESS, _json("/spec/ingress/0/ports/0/port", 9999), id="port-edited"),
        pytest.param(INGRESS, _json("/spec/ingress", [{}]), id="opened-to-everyone"),
        pytest.param(INGRESS, _json("/spec/ingress/-", {"ports": [{"port": 22}]}), id="rule-added"),
        pytest.param(INGRESS, _json("/spec/podSelector", {}), id="selector-widened"),
        pytest.param(INGRESS, _json("/spec/egress", [{}]), id="other-list-of-rules-put-in"),
        pytest.param(INGRESS, _json("/spec/policyTypes", ["Ingress", "Egress"]), id="another-direction-isolated"),
        pytest.param(EGRESS, _json("/spec/egress/0/to", []), id="peers-emptied"),
        pytest.param(
            INGRESS, _json("/metadata/annotations/appconnectivity.io~1description", "harmless"), id="annotation-edited"
        ),
        pytest.param(DENY, _json("/spec/podSelector", {"matchLabels": {"no": "one"}}), id="deny-narrowed"),
        pytest.param(DENY, _json("/spec/ingress", [{}]), id="deny-opened"),
        pytest.param(DNS, _json("/spec/egress", [{}]), id="dns-opened-to-everything"),
    ],
)
def test_an_edited_policy_is_put_back_and_the_editor_is_named(
    operator: Operator, shop: Team, name: str, operation: dict[str, Any]
) -> None:
    before, repairs = meaning(shop.policies()[name]), operator.metric("appconnectivity_drift_repairs_total")

    patch(shop, name, operation)
    eventually(lambda: meaning(shop.policies()[name]) == before, within=REPAIR_SECONDS)

    event = eventually(lambda: shop.events("DriftRepaired"))[0]
    assert event["message"] == f"NetworkPolicy {name} was changed by mallory and has been put back"
    assert (event["type"], event["involvedObject"]["name"]) == ("Warning", "shop")
    assert operator.metric("appconnectivity_drift_repairs_total") == repairs + 1


@pytest.mark.parametrize(
    ("name", "path"),
    [
        pytest.param(INGRESS, "/spec/ingress", id="rules"),
        pytest.param(INGRESS, "/metadata/labels", id="labels"),
        pytest.param(INGRESS, "/metadata/ownerReferences", id="owner"),
        pytest.param(INGRESS, "/metadata/annotations", id="annotations"),
        pytest.param(DENY, "/metadata/ownerReferences", id="owner-of-the-deny"),
        pytest.param(DNS, "/spec/egress", id="rules-of-the-dns-allow"),
    ],
)
def test_what_was_taken_out_of_a_policy_is_put_back(operator: Operator, shop: Team, name: str, path: str) -> None:
    """Who takes something out owns no field of it afterwards, so the API server keeps no trace of who it was."""
    before = meaning(shop.policies()[name])

    patch(shop, name, {"op": "remove", "path": path})
    eventually(lambda: meaning(shop.policies()[name]) == before, within=REPAIR_SECONDS)

    event = eventually(lambda: shop.events("DriftRepaired"))[0]
    assert event["message"] == (
        f"NetworkPolicy {name} was changed (the API server's audit log says by whom) and has been put back"
    )


@pytest.mark.parametrize("name", [INGRESS, EGRESS, DENY, DNS])
def test_a_deleted_policy_comes_back(operator: Operator, shop: Team, name: str) -> None:
    before = meaning(shop.policies()[name])
    repairs = operator.metric("appconnectivity_drift_repairs_total", manager="unknown")

    shop.delete("networkpolicy", name)
    eventually(lambda: meaning(shop.policies().get(name, _GONE)) == before, within=REPAIR_SECONDS)

    event = eventually(lambda: shop.events("DriftRepaired"))[0]
    assert event["message"] == (
        f"NetworkPolicy {name} was deleted (the API server's audit log says by whom) and has been put back"
    )
    assert operator.metric("appconnectivity_drift_repairs_total", manager="unknown") == repairs + 1


def test_all_policies_deleted_at_once_come_back(operator: Operator, shop: Team) -> None:
    before = {name: meaning(body) for name, body in shop.policies().items()}

    shop.plane.kubectl("delete", "networkpolicies", "-n", shop.namespace, "--all")

    eventually(lambda: {name: meaning(body) for name, body in shop.policies().items()} == before, within=REPAIR_SECONDS)


def test_the_repair_is_counted_by_manager(operator: Operator, shop: Team) -> None:
    patch(shop, INGRESS, _json("/spec/ingress/0/ports/0/port", 9999), manager="argocd-controller")
    eventually(lambda: operator.metric("appconnectivity_drift_repairs_total", manager="argocd-controller") == 1)


def test_labels_and_annotations_of_others_are_left_alone(operator: Operator, shop: Team) -> None:
    patch(shop, INGRESS, _json("/metadata/labels/team", "red"), _json("/metadata/annotations/seen", "yes"))
    patch(shop, EGRESS, _json("/spec/egress/0/ports/0/port", 9999))
    eventually(lambda: shop.events("DriftRepaired"))

    metadata = shop.policies()[INGRESS]["metadata"]
    assert (metadata["labels"]["team"], metadata["annotations"]["seen"]) == ("red", "yes")
    assert len(shop.events("DriftRepaired")) == 1


def test_a_changed_intent_is_not_taken_for_drift(operator: Operator, shop: Team) -> None:
    shop.connect("shop", flow("frontend", "api", 9090))
    shop.wait_ready()

    assert shop.events("DriftRepaired") == []


def test_drift_while_the_operator_was_down_is_repaired_at_its_start(
    shop: Team, installed_operator: Callable[..., Operator]
) -> None:
    before = meaning(shop.policies()[INGRESS])
    patch(shop, INGRESS, _json("/spec/ingress/0/ports/0/port", 9999))

    installed_operator()

    eventually(lambda: meaning(shop.policies()[INGRESS]) == before)
    assert "by mallory" in eventually(lambda: shop.events("DriftRepaired"))[0]["message"]


def test_a_manager_that_fights_meets_bounded_repairs_and_is_named(operator: Operator, shop: Team) -> None:
    before = meaning(shop.policies()[INGRESS])
    end, port = time.monotonic() + 6, 20000
    while time.monotonic() < end:
        port += 1
        patch(shop, INGRESS, _json("/spec/ingress/0/ports/0/port", port))
        time.sleep(0.1)

    edits, repairs = port - 20000, _writes(shop, INGRESS) - 1
    assert edits > 10
    assert 5 <= repairs <= 8
    programmed = eventually(lambda: (found := shop.condition("shop", "Programmed"))["reason"] == "Contended" and found)
    assert programmed["status"] == "False"
    assert programmed["message"] == (f"mallory keeps changing NetworkPolicy {INGRESS}; stop it, repairs are spaced out")
    assert shop.condition("shop", "Ready")["reason"] == "Contended"
    eventually(lambda: meaning(shop.policies()[INGRESS]) == before)


def test_a_changed_intent_is_written_at_once_even_in_a_fight(operator: Operator, shop: Team) -> None:
    for port in range(20000, 20008):
        patch(shop, INGRESS, _json("/spec/ingress/0/ports/0/port", port))
        time.sleep(0.2)
    eventually(lambda: shop.condition("shop", "Programmed")["reason"] == "Contended")

    shop.connect("shop", flow("frontend", "api", 9090))

    eventually(
        lambda: shop.policies()[INGRESS]["spec"]["ingress"][0]["ports"][0]["port"] == 9090, within=REPAIR_SECONDS
    )


_GONE: dict[str, Any] = {"spec": None, "metadata": {}}


def _writes(team: Team, name: str) -> int:
    return sum(
        event["objectRef"].get("name") == name and event["objectRef"].get("namespace") == team.namespace
        for event in team.plane.writes(user=USER)
    )
