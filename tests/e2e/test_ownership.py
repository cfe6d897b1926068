"""What is ours and what is not: foreign policies are never touched, and ours are never lost to a mix-up."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from cluster.operator import USER, Operator
from e2e.conftest import Team, appconn, eventually, flow

DENY, DNS = "appconnectivity.default-deny", "appconnectivity.allow-dns"
INGRESS, EGRESS = "shop.frontend-to-api.ingress", "shop.frontend-to-api.egress"


def foreign(name: str, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, **metadata},
        "spec": {"podSelector": {"matchLabels": {"app": "legacy"}}, "policyTypes": ["Ingress"]},
    }


def uid(team: Team, name: str) -> str:
    return team.get("appconn", name)["metadata"]["uid"]


def test_foreign_policies_are_the_same_bytes_before_and_after(operator: Operator, team: Team) -> None:
    marked = {"app.kubernetes.io/managed-by": "appconnectivity", "appconnectivity.io/object": "shop"}
    team.apply(foreign("plain"), foreign("shop.looks-like-ours"), foreign("marked", labels=marked))
    before = team.policies()

    team.connect("shop", flow("frontend", "api", 8080))
    team.wait_ready()
    team.connect("shop", flow("frontend", "api", 9090))
    team.wait_ready()
    team.delete("appconn", "shop")
    eventually(lambda: set(team.policies()) == set(before))

    assert team.policies() == before
    written = {e["objectRef"].get("name") for e in _writes(team)}
    assert not written & set(before)


@pytest.mark.parametrize("taken", [INGRESS, DENY, DNS])
def test_a_foreign_policy_with_a_name_of_ours_is_left_alone_and_the_rest_goes_on(
    operator: Operator, team: Team, taken: str
) -> None:
    team.apply(foreign(taken))
    before = team.policies()[taken]

    team.connect("shop", flow("frontend", "api", 8080), flow("api", "db", 5432))
    programmed = eventually(lambda: _false(team, "Programmed"))

    assert programmed["reason"] == "NameConflict"
    assert programmed["message"] == f"NetworkPolicy {taken} is not ours and is left alone; rename or delete it"
    assert team.condition("shop", "Ready")["reason"] == "NameConflict"
    expected = {DENY, DNS, INGRESS, EGRESS, "shop.api-to-db.ingress", "shop.api-to-db.egress"}
    assert set(team.policies()) == expected
    assert team.policies()[taken] == before
    assert operator.metric("appconnectivity_name_conflicts", namespace=team.namespace) == 1
    assert [e["type"] for e in eventually(lambda: team.events("NameConflict"))] == ["Warning"]
    assert team.row("shop", "api-to-db")["state"] == "Active"
    assert team.row("shop", "frontend-to-api")["state"] == ("Conflict" if taken == INGRESS else "Active")

    team.delete("networkpolicy", taken)
    team.wait_ready()
    assert team.owners(taken) == [("shop", uid(team, "shop"))]
    assert operator.metric("appconnectivity_name_conflicts", namespace=team.namespace) == 0


def test_a_foreign_policy_that_says_the_same_as_ours_stays_foreign(operator: Operator, team: Team) -> None:
    team.connect("shop", flow("frontend", "api", 8080))
    team.wait_ready()
    copy = team.policies()[INGRESS]
    team.delete("appconn", "shop")
    eventually(lambda: not team.policies())
    metadata = {key: copy["metadata"][key] for key in ("name", "labels", "annotations")}
    team.apply({**copy, "metadata": metadata})
    before = team.policies()[INGRESS]

    team.connect("shop", flow("frontend", "api", 8080))
    eventually(lambda: _false(team, "Programmed"))

    assert team.condition("shop", "Programmed")["reason"] == "NameConflict"
    assert team.policies()[INGRESS] == before


def test_a_recreated_object_takes_its_policies_over(operator: Operator, team: Team) -> None:
    team.connect("shop", flow("frontend", "api", 8080))
    team.wait_ready()
    old = uid(team, "shop")

    team.plane.kubectl(
        "replace", "--force", "-n", team.namespace, "-f", "-", input=_text(appconn("shop", flow("frontend", "api", 80)))
    )
    new = uid(team, "shop")
    team.wait_ready()

    assert new != old
    eventually(lambda: _all_owned_by(team, new))
    time.sleep(2)  # garbage collection of the old owner's policies has had its chance
    assert _all_owned_by(team, new)
    assert set(team.policies()) == {DENY, DNS, INGRESS, EGRESS}


def test_a_stale_owner_is_taken_off(operator: Operator, team: Team) -> None:
    """An owner of our kind that is not (or no longer) an object of this namespace, put on by hand or by a restore."""
    team.connect("shop", flow("frontend", "api", 8080))
    team.wait_ready()
    stale = {
        "apiVersion": "appconnectivity.io/v1alpha1",
        "kind": "AppConnectivity",
        "name": "gone",
        "uid": "00000000-0000-4000-8000-000000000000",
    }
    patch = _text([{"op": "add", "path": "/metadata/ownerReferences/-", "value": stale}])
    for name in (INGRESS, DENY):
        team.plane.kubectl("patch", "networkpolicy", name, "-n", team.namespace, "--type=json", "-p", patch)

    eventually(lambda: _all_owned_by(team, uid(team, "shop")), within=2)


def test_two_objects_have_policies_of_their_own_and_share_the_deny(operator: Operator, team: Team) -> None:
    team.connect("one", flow("frontend", "api", 8080))
    team.connect("two", flow("frontend", "api", 8080))
    team.wait_ready("one")
    team.wait_ready("two")

    both = sorted([("one", uid(team, "one")), ("two", uid(team, "two"))])
    eventually(lambda: team.owners(DENY) == team.owners(DNS) == both)
    assert team.owners("one.frontend-to-api.ingress") == both[:1]
    assert team.owners("two.frontend-to-api.ingress") == both[1:]

    team.delete("appconn", "one")
    eventually(lambda: team.owners(DENY) == team.owners(DNS) == both[1:])
    left = {DENY, DNS, "two.frontend-to-api.ingress", "two.frontend-to-api.egress"}
    eventually(lambda: set(team.policies()) == left)


def test_objects_whose_names_share_a_prefix_do_not_take_each_other_s_policies(operator: Operator, team: Team) -> None:
    team.connect("shop", flow("a", "b", 80, name="web"))
    team.connect("shop.web", flow("a", "b", 80, name="db"))
    team.wait_ready("shop")
    team.wait_ready("shop.web")

    team.delete("appconn", "shop")

    left = {DENY, DNS, "shop.web.db.egress", "shop.web.db.ingress"}
    eventually(lambda: set(team.policies()) == left)
    team.wait_ready("shop.web")


def test_a_policy_of_ours_is_never_owned_across_namespaces_nor_blocks_deletion(operator: Operator, team: Team) -> None:
    team.connect("shop", flow("frontend", "api", 8080))
    team.wait_ready()

    for body in team.policies().values():
        references = body["metadata"]["ownerReferences"]
        assert all("blockOwnerDeletion" not in reference for reference in references)
        assert "finalizers" not in body["metadata"]
    metadata = team.get("appconn", "shop")["metadata"]
    assert "finalizers" not in metadata
    assert set(metadata["annotations"]) == {"kubectl.kubernetes.io/last-applied-configuration"}


def _false(team: Team, kind: str) -> dict[str, Any]:
    found = team.condition("shop", kind)
    return found if found.get("status") == "False" else {}


def _all_owned_by(team: Team, wanted: str) -> bool:
    found = [body["metadata"].get("ownerReferences", []) for body in team.policies().values()]
    return bool(found) and all([owner["uid"] for owner in owners] == [wanted] for owners in found)


def _writes(team: Team) -> list[dict[str, Any]]:
    return [
        event
        for event in team.plane.writes(user=USER)
        if event["objectRef"].get("namespace") == team.namespace and event["objectRef"]["resource"] == "networkpolicies"
    ]


def _text(body: Any) -> str:
    return json.dumps(body)
