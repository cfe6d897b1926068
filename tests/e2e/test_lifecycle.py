"""Objects in, policies out: the life of an object and of its policies."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable

from cluster.operator import USER, Operator
from e2e.conftest import Team, appconn, eventually, flow

SHARED = {"appconnectivity.default-deny", "appconnectivity.allow-dns"}


def halves(name: str) -> set[str]:
    return {f"{name}.egress", f"{name}.ingress"}


def test_an_object_gets_its_policies_and_becomes_ready(operator: Operator, team: Team) -> None:
    team.connect("shop", flow("frontend", "api", 8080))
    team.wait_ready()

    assert set(team.policies()) == SHARED | halves("shop.frontend-to-api")
    row = team.plane.kubectl("get", "appconn", "shop", "-n", team.namespace).stdout.splitlines()
    assert row[0].split() == ["NAME", "READY", "REASON", "MODE", "FLOWS", "POLICIES", "AGE"]
    assert row[1].split()[:6] == ["shop", "True", "Ready", "Enforce", "1/1", "4"]


def test_a_new_object_is_unknown_before_the_operator_has_looked(operator: Operator, team: Team) -> None:
    body = appconn("shop", flow("frontend", "api", 8080))
    body["metadata"]["namespace"] = team.namespace
    created = team.plane.kubectl("create", "-f", "-", "-o", "json", input=json.dumps(body)).stdout

    condition = json.loads(created)["status"]["conditions"][0]
    assert (condition["type"], condition["status"], condition["reason"]) == ("Ready", "Unknown", "Pending")


def owners_of_deny(team: Team) -> list[str]:
    return sorted(name for name, _ in team.owners("appconnectivity.default-deny"))


def test_two_objects_share_the_deny_and_the_last_one_takes_it_with_it_deny_first(
    operator: Operator, team: Team
) -> None:
    team.connect("one", flow("a", "b", 80))
    team.connect("two", flow("c", "d", 80))
    team.wait_ready("one")
    team.wait_ready("two")
    eventually(lambda: owners_of_deny(team) == ["one", "two"])

    team.delete("appconn", "one")
    eventually(lambda: set(team.policies()) == SHARED | halves("two.c-to-d"))
    eventually(lambda: owners_of_deny(team) == ["two"])

    # Garbage collection works at the same time and knows no order: it is held still, to see the operator's own.
    os.kill(team.plane.pids["kube-controller-manager"], signal.SIGSTOP)
    try:
        team.delete("appconn", "two")
        eventually(lambda: not team.policies())
    finally:
        os.kill(team.plane.pids["kube-controller-manager"], signal.SIGCONT)
    eventually(lambda: {*_deleted(team)} >= SHARED | halves("two.c-to-d"))
    of_two = [name for name in _deleted(team) if not name.startswith("one.")]
    assert of_two[0] == "appconnectivity.default-deny"
    assert set(of_two) == SHARED | halves("two.c-to-d")


def test_a_changed_port_never_leaves_the_flow_without_a_policy(operator: Operator, team: Team) -> None:
    team.connect("shop", flow("frontend", "api", 8080))
    team.wait_ready()
    team.connect("shop", flow("frontend", "api", 9090))
    team.wait_ready()

    ports = team.policies()["shop.frontend-to-api.ingress"]["spec"]["ingress"][0]["ports"]
    assert ports == [{"port": 9090, "protocol": "TCP"}]
    verbs = _writes(team, "shop.frontend-to-api.ingress")
    assert verbs == ["patch", "patch"]


def test_a_renamed_flow_gets_its_new_policy_before_the_old_one_goes(operator: Operator, team: Team) -> None:
    team.connect("shop", flow("frontend", "api", 8080, name="old"))
    team.wait_ready()
    team.connect("shop", flow("frontend", "api", 9090, name="new"))
    eventually(lambda: set(team.policies()) == SHARED | halves("shop.new"))
    eventually(lambda: {*_deleted(team)} >= halves("shop.old"))

    names = [(event["verb"], event["objectRef"]["name"]) for event in _policy_writes(team)]
    assert max(names.index(("patch", name)) for name in halves("shop.new")) < min(
        names.index(("delete", name)) for name in halves("shop.old")
    )


def test_the_first_deny_is_written_after_all_allows_were_read_back(operator: Operator, team: Team) -> None:
    team.connect("shop", *(flow("frontend", f"api-{n}", 8080) for n in range(10)))
    team.wait_ready()

    events = [e for e in team.plane.audit_events(user=USER) if _about(team, e, resource="networkpolicies")]
    steps = [(e["verb"], e["objectRef"].get("name", "")) for e in events]
    deny = steps.index(("patch", "appconnectivity.default-deny"))
    allows = [index for index, (verb, name) in enumerate(steps) if verb == "patch" and name.startswith("shop.")]
    read_back = [index for index, (verb, _) in enumerate(steps) if verb == "list" and max(allows) < index < deny]
    assert len(allows) == 20
    assert max(allows) < deny
    assert read_back


def test_kubectl_wait_does_not_return_early_on_a_changed_spec(operator: Operator, team: Team) -> None:
    team.connect("shop", flow("frontend", "api", 8080))
    team.wait_ready()
    for port in range(9000, 9010):
        team.connect("shop", flow("frontend", "api", port))
        team.wait_ready()
        ports = team.policies()["shop.frontend-to-api.egress"]["spec"]["egress"][0]["ports"]
        assert ports[0]["port"] == port


def test_after_convergence_a_sweep_writes_nothing(team: Team, installed_operator: Callable[..., Operator]) -> None:
    team.connect("shop", flow("frontend", "api", 8080), flow("api", {"entity": "Internet"}, 443))
    sweeping = installed_operator("--sweep-interval", "0.5")
    team.wait_ready()
    time.sleep(1)
    before = len(team.plane.writes(user=USER))
    sweeps = sweeping.metric("appconnectivity_reconciles_total", result="ok")
    eventually(lambda: sweeping.metric("appconnectivity_reconciles_total", result="ok") >= sweeps + 3)

    assert team.plane.writes(user=USER)[before:] == []


def _about(team: Team, event: dict, *, resource: str) -> bool:
    reference = event.get("objectRef", {})
    return reference.get("namespace") == team.namespace and reference.get("resource") == resource


def _policy_writes(team: Team) -> list[dict]:
    return [event for event in team.plane.writes(user=USER) if _about(team, event, resource="networkpolicies")]


def _deleted(team: Team) -> list[str]:
    """In their order. The audit log is written after the policy is gone."""
    return [event["objectRef"]["name"] for event in _policy_writes(team) if event["verb"] == "delete"]


def _writes(team: Team, name: str) -> list[str]:
    return [event["verb"] for event in _policy_writes(team) if event["objectRef"]["name"] == name]
