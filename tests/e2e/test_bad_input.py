"""Bad input: what a person is told, and that nothing good goes down with it.

What the CRD itself refuses is in tests/crd/invalid, a file for each reason. Here is what needs other objects or the
operator to be judged, and what comes in past the CRD's validation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from cluster.controlplane import ControlPlane
from cluster.operator import ROOT, Operator, install
from e2e.conftest import Team, appconn, eventually, flow

ANYWHERE = {"ipBlocks": [{"cidr": "0.0.0.0/0"}]}
LINK_LOCAL = {"ipBlocks": [{"cidr": "169.254.0.0/16"}]}
ABROAD = {"app": "api", "namespace": "elsewhere"}
WEB = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web"},
    "spec": {"selector": {"app": "api"}, "ports": [{"port": 80, "targetPort": 8080}]},
}


def settled(team: Team, name: str = "shop") -> dict[str, Any]:
    """The object's Ready condition, once it is about the present spec."""

    def check() -> dict[str, Any]:
        body = team.get("appconn", name)
        found = team.condition(name, "Ready")
        is_current = found.get("observedGeneration") == body.get("metadata", {}).get("generation")
        return found if is_current else {}

    return eventually(check, what=f"a status of the present spec of {name}")


@pytest.mark.parametrize(
    ("bad", "state", "reason", "said"),
    [
        pytest.param(
            flow({"app": "a", "namespace": "elsewhere"}, ABROAD, 80, name="bad"),
            "Invalid",
            "NoLocalEnd",
            "neither end is in namespace",
            id="neither end is local",
        ),
        pytest.param(
            flow("a", ANYWHERE, "http", name="bad"),
            "Invalid",
            "NamedPortWithoutPods",
            "a port name is a container's; say numbers for addresses",
            id="a port name at addresses",
        ),
        pytest.param(
            flow("a", {"service": "nowhere"}, name="bad"),
            "Unresolved",
            "ServiceNotFound",
            "Service nowhere is not there (yet); nothing is opened for it",
            id="a service that is missing",
        ),
        pytest.param(
            flow("a", ABROAD, 80, name="bad"),
            "AwaitingGrant",
            "AwaitingGrant",
            "an AppConnectivity in namespace elsewhere must declare: {from: {app: a, namespace: ",
            id="a namespace that is missing reads like one without a grant",
        ),
        pytest.param(
            flow("a", {"service": "web"}, 81, name="bad"),
            "Unresolved",
            "ServicePortNotFound",
            "Service web has no port TCP 81; it has: 80/TCP",
            id="a port that the service does not have",
        ),
    ],
)
def test_a_bad_flow_is_explained_and_takes_no_good_one_down(
    operator: Operator, team: Team, bad: dict[str, Any], state: str, reason: str, said: str
) -> None:
    team.apply(WEB)
    team.connect("shop", flow("frontend", "api", 8080, name="good"), bad)
    row = eventually(lambda: team.row("shop", "bad"))

    assert (row["state"], row["reason"]) == (state, reason)
    assert said in row["message"]
    assert team.row("shop", "good")["state"] == "Active"
    assert {"shop.good.egress", "shop.good.ingress", "appconnectivity.default-deny"} <= set(team.policies())


@pytest.mark.parametrize(
    ("good", "said"),
    [
        pytest.param(flow("a", ANYWHERE, 443, name="f"), "0.0.0.0/0 is every address of its family", id="everywhere"),
        pytest.param(
            flow("a", LINK_LOCAL, 80, name="f"), "add 169.254.169.254/32 to except", id="the cloud's metadata server"
        ),
        pytest.param(
            flow("a", "api", 80, name="f"), "Service web maps port 80 to 8080", id="the service's port, not the pods'"
        ),
        pytest.param(flow("a", "api", "http", name="f"), "port http stays a name", id="a port name"),
    ],
)
def test_what_works_and_may_surprise_is_noted_and_not_in_the_way(
    operator: Operator, team: Team, good: dict[str, Any], said: str
) -> None:
    team.apply(WEB)
    team.connect("shop", good)
    team.wait_ready()

    assert said in team.row("shop", "f")["message"]


def test_without_dns_a_flow_to_a_service_is_noted(operator: Operator, team: Team) -> None:
    team.apply(WEB)
    team.connect("shop", flow("a", {"service": "web"}, name="f"), dns="None")
    team.wait_ready()

    assert "the Service's name does not resolve" in team.row("shop", "f")["message"]
    assert "appconnectivity.allow-dns" not in team.policies()


def test_no_flows_means_isolation_alone(operator: Operator, team: Team) -> None:
    team.connect("shop")
    team.wait_ready()

    assert set(team.policies()) == {"appconnectivity.default-deny", "appconnectivity.allow-dns"}


def test_a_flow_said_twice_is_one(operator: Operator, team: Team) -> None:
    team.connect("shop", flow("a", "b", 80), flow("a", "b", 80))
    team.wait_ready()

    assert len(team.policies()) == 4


def test_a_flow_to_itself_is_allowed(operator: Operator, team: Team) -> None:
    team.connect("shop", flow("a", "a", 80))
    team.wait_ready()


def test_pods_need_not_exist(operator: Operator, team: Team) -> None:
    team.connect("shop", flow("nobody", "nothing", 80))
    team.wait_ready()


def test_a_protected_namespace_is_left_alone(operator: Operator, team: Team) -> None:
    team.apply(appconn("shop", flow("a", "b", 80)), namespace="kube-public")
    body = eventually(
        lambda: [
            c
            for c in team.get("appconn", "shop", namespace="kube-public").get("status", {}).get("conditions", [])
            if c["type"] == "Accepted"
        ]
    )
    team.plane.kubectl("delete", "appconn", "shop", "-n", "kube-public")

    assert (body[0]["status"], body[0]["reason"]) == ("False", "NamespaceProtected")
    assert "protected-namespaces" in body[0]["message"]
    assert team.plane.kubectl("get", "networkpolicies", "-n", "kube-public", "-o", "name").stdout == ""


@pytest.fixture(scope="module")
def loose() -> Iterator[ControlPlane]:
    """A control plane with a CRD that lets everything in, as an older or a later one might, and an operator."""
    with ControlPlane() as plane:
        install(plane)
        crd = yaml.safe_load((ROOT / "crds" / "appconnectivity.yaml").read_text())
        properties = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
        properties["spec"] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        crd["spec"]["versions"][0].pop("selectableFields")
        plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=yaml.safe_dump(crd))
        running = Operator(plane)
        running.wait_ready()
        yield plane
        running.stop()


@pytest.fixture
def loose_team(loose: ControlPlane, request: pytest.FixtureRequest) -> Team:
    name = f"loose-{abs(hash(request.node.name)) % 10**8}"
    loose.kubectl("create", "namespace", name)
    return Team(plane=loose, namespace=name)


GOOD = flow("frontend", "api", 8080, name="good")


@pytest.mark.parametrize(
    ("spec", "reason", "said"),
    [
        pytest.param({"mode": "Simulate"}, "UnsupportedByThisVersion", "spec.mode", id="a mode of a later version"),
        pytest.param({"l7": {}}, "UnsupportedByThisVersion", "spec.l7: this field is unknown", id="a later field"),
        pytest.param({"policyTypes": []}, "Invalid", "spec.policyTypes", id="no policy types"),
        pytest.param({"appLabel": "not a label"}, "Invalid", "spec.appLabel", id="a bad label key"),
    ],
)
def test_the_last_good_policies_stay_when_an_object_becomes_invalid_and_it_heals(
    loose_team: Team, spec: dict[str, Any], reason: str, said: str
) -> None:
    team = loose_team
    team.connect("shop", GOOD)
    team.wait_ready()
    before = {name: body["spec"] for name, body in team.policies().items()}

    team.connect("shop", GOOD, **spec)
    ready = settled(team)
    assert (ready["status"], ready["reason"]) == ("False", reason)
    assert said in ready["message"]
    # A flow is what it says under its app label: with another label it is another flow, and keeps nothing.
    kept = before if "appLabel" not in spec else {n: s for n, s in before.items() if n.startswith("appconnectivity.")}
    assert {name: body["spec"] for name, body in team.policies().items()} == kept

    team.plane.kubectl("delete", "appconn", "shop", "-n", team.namespace, "--cascade=orphan")
    team.connect("shop", GOOD)
    team.wait_ready()
    assert {name: body["spec"] for name, body in team.policies().items()} == before


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        pytest.param({"from": {"app": "a"}, "to": {"app": "b"}}, "ports are needed", id="no ports"),
        pytest.param({"from": {}, "to": {"app": "b"}, "ports": [1]}, "say exactly one of", id="an empty end"),
        pytest.param("nonsense", "spec.flows[1]", id="no object at all"),
        pytest.param({"from": {"app": "a"}, "to": {"app": "b"}, "ports": [0]}, "1..65535", id="port 0"),
        pytest.param(
            {"from": {"app": "a"}, "to": {"ipBlocks": [{"cidr": "10.0.0.1/8"}]}, "ports": [1]},
            "10.0.0.1/8",
            id="host bits",
        ),
        pytest.param(
            {"from": {"app": "a"}, "to": {"app": "b"}, "ports": [1], "l7": 1}, "spec.flows[1].l7", id="a later field"
        ),
    ],
)
def test_a_flow_that_came_in_past_the_crd_is_refused_alone(loose_team: Team, bad: Any, said: str) -> None:
    team = loose_team
    team.connect("shop", GOOD, bad)
    ready = settled(team)

    assert ready["status"] == "False"
    assert said in ready["message"]
    assert {"shop.good.egress", "shop.good.ingress", "appconnectivity.default-deny"} <= set(team.policies())

    team.connect("shop", GOOD)
    team.wait_ready()
