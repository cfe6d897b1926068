"""Bad input: where each fault is caught, and the words that a person gets.

The rows of RELIABILITY.md part 3 that are not here: a missing namespace and a missing grant (test_consent), a name
that a foreign policy holds (test_ownership), a protected namespace (test_audit_and_modes), a Service's port for its
target port (test_references), stale generations (test_lifecycle).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from cluster.controlplane import ControlPlane
from cluster.operator import ROOT, USER, Operator
from e2e.conftest import Team, appconn, eventually, flow

GOOD = flow("frontend", "api", 8080)
GOOD_POLICIES = {"shop.frontend-to-api.egress", "shop.frontend-to-api.ingress"}
SHARED = {"appconnectivity.default-deny", "appconnectivity.allow-dns"}
CRD = "appconnectivities.appconnectivity.io"

FIELD = "spec.flows[0]"
NOT_A_PORT = 'not a port: write 8080, "53/UDP", "30000-32767/TCP", a port name such as "metrics", or "*"'
ONE_END = (
    "say exactly one of app, podSelector, service, ipBlocks, entity, or only namespace or namespaceSelector;"
    " for every pod of this namespace write podSelector: {}"
)


def on(port: Any) -> dict[str, Any]:
    return flow("frontend", "api", port)


def to(**end: Any) -> dict[str, Any]:
    return flow("frontend", end, 8080)


def block(cidr: str, *excepted: str) -> dict[str, Any]:
    return to(ipBlocks=[{"cidr": cidr, **({"except": [*excepted]} if excepted else {})}])


def expression(operator: str, *values: str) -> dict[str, Any]:
    return to(podSelector={"matchExpressions": [{"key": "tier", "operator": operator, "values": [*values]}]})


@pytest.mark.parametrize(
    ("bad", "field", "message"),
    [
        pytest.param(on(0), f"{FIELD}.ports[0]", "a port must be 1..65535", id="port-0"),
        pytest.param(on(65536), f"{FIELD}.ports[0]", "a port must be 1..65535", id="port-65536"),
        pytest.param(on("0-80"), f"{FIELD}.ports[0]", "a port must be 1..65535", id="range-from-0"),
        pytest.param(on("eighty two"), f"{FIELD}.ports[0]", NOT_A_PORT, id="port-in-words"),
        pytest.param(
            on("8010-8000"), f"{FIELD}.ports[0]", "the end of a range must not be below its start", id="range-backwards"
        ),
        pytest.param(on("-8010"), f"{FIELD}.ports[0]", NOT_A_PORT, id="range-without-start"),
        pytest.param(on("8080/tcp"), f"{FIELD}.ports[0]", NOT_A_PORT, id="protocol-in-small-letters"),
        pytest.param(on("8080/ICMP"), f"{FIELD}.ports[0]", NOT_A_PORT, id="protocol-icmp"),
        pytest.param(
            flow("frontend", "api"),
            FIELD,
            'ports are needed (except to a service or to KubeAPIServer); "*" means all',
            id="no-ports",
        ),
        pytest.param(
            {**flow("frontend", "api"), "ports": []},
            f"{FIELD}.ports",
            "should have at least 1 items",
            id="empty-list-of-ports",
        ),
        pytest.param(to(), f"{FIELD}.to", ONE_END, id="empty-end"),
        pytest.param(to(app="api", service="api"), f"{FIELD}.to", ONE_END, id="two-ends-in-one"),
        pytest.param(to(app="-api"), f"{FIELD}.to.app", "should match", id="label-value"),
        pytest.param(to(app="a" * 64), f"{FIELD}.to.app", "may not be more than 63", id="long-label-value"),
        pytest.param(
            to(podSelector={"matchLabels": {"a key": "x"}}),
            f"{FIELD}.to.podSelector.matchLabels",
            "a key of matchLabels is not a valid label key",
            id="label-key",
        ),
        pytest.param(
            expression("In"),
            f"{FIELD}.to.podSelector.matchExpressions[0]",
            "values are required for In and NotIn",
            id="in-without-values",
        ),
        pytest.param(
            expression("Exists", "x"),
            f"{FIELD}.to.podSelector.matchExpressions[0]",
            "must be empty for Exists and DoesNotExist",
            id="exists-with-values",
        ),
        pytest.param(
            block("203.0.113/24"), f"{FIELD}.to.ipBlocks[0]", "cidr is not a CIDR such as 203.0.113.0/24", id="no-cidr"
        ),
        pytest.param(
            block("203.0.113.7/24"),
            f"{FIELD}.to.ipBlocks[0]",
            "cidr has host bits set; write the network's own address",
            id="host-bits",
        ),
        pytest.param(
            block("203.0.113.0/24", "198.51.100.0/28"),
            f"{FIELD}.to.ipBlocks[0]",
            "except must be strictly within cidr",
            id="except-outside",
        ),
        pytest.param(
            block("::ffff:203.0.113.0/120"), f"{FIELD}.to.ipBlocks[0]", "nor is IPv4 written as IPv6", id="mapped-ipv4"
        ),
        pytest.param(
            flow({"service": "web"}, "api", 8080),
            FIELD,
            "a Service opens no connections; name its pods with app or podSelector",
            id="from-a-service",
        ),
        pytest.param(
            flow({"entity": "Internet"}, {"entity": "Any"}, 443),
            FIELD,
            "one end must be pods: neither ipBlocks nor entity has a NetworkPolicy of its own",
            id="no-pods-at-either-end",
        ),
        pytest.param({**GOOD, "prot": "TCP"}, f"{FIELD}.prot", "unknown field", id="typing-error-in-a-field"),
        pytest.param({**GOOD, "expirationTime": "soon"}, f"{FIELD}.expirationTime", "should match", id="no-time"),
        pytest.param(
            {**GOOD, "description": "x" * 257}, f"{FIELD}.description", "may not be more than 256", id="long-text"
        ),
        pytest.param({**GOOD, "ports": [*range(1, 18)]}, f"{FIELD}.ports", "at most 16", id="many-ports"),
    ],
)
def test_the_api_server_refuses_a_flow_and_says_why(
    installed: ControlPlane, bad: dict[str, Any], field: str, message: str
) -> None:
    said = refusal(installed, appconn("shop", bad))

    assert field in said
    assert message in said


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(
            appconn("shop", {**GOOD, "name": "one"}, {**GOOD, "name": "one"}),
            "two flows have the same name",
            id="twins",
        ),
        pytest.param(appconn("shop", *[GOOD] * 65), "must have at most 64 items", id="too-many-flows"),
        pytest.param(
            appconn("a" * 64, GOOD),
            "metadata.name must be at most 63 characters, since it is part of the policies' names",
            id="long-name",
        ),
        pytest.param(
            appconn("appconnectivity", GOOD),
            "metadata.name appconnectivity is reserved: the shared policies' names begin with it",
            id="reserved-name",
        ),
        pytest.param(appconn("shop", mode="DryRun"), 'supported values: "Enforce", "Audit"', id="unknown-mode"),
        pytest.param(appconn("shop", policyTypes=[]), "at least 1 items", id="no-direction"),
        pytest.param(appconn("shop", appLabel="a b"), "spec.appLabel", id="app-label"),
    ],
)
def test_the_api_server_refuses_an_object_and_says_why(
    installed: ControlPlane, body: dict[str, Any], message: str
) -> None:
    assert message in refusal(installed, body)


def refusal(plane: ControlPlane, body: dict[str, Any]) -> str:
    done = plane.kubectl("create", "--dry-run=server", "-n", "default", "-f", "-", input=json.dumps(body), check=False)
    assert done.returncode == 1, done.stdout
    return done.stderr


@pytest.mark.parametrize(
    ("named", "note"),
    [
        pytest.param(
            flow("frontend", {"ipBlocks": [{"cidr": "0.0.0.0/0", "except": ["169.254.169.254/32"]}]}, 443),
            "",
            id="everything-but-the-metadata-server-needs-no-note",
        ),
        pytest.param(
            flow("frontend", {"ipBlocks": [{"cidr": "0.0.0.0/0"}]}, 443),
            "0.0.0.0/0 is every address of its family; this includes the cloud's metadata server:"
            " add 169.254.169.254/32 to except",
            id="every-address-is-allowed-and-said",
        ),
        pytest.param(
            flow("frontend", {"ipBlocks": [{"cidr": "169.254.0.0/16"}]}, 80),
            "this includes the cloud's metadata server: add 169.254.169.254/32 to except",
            id="metadata-server",
        ),
        pytest.param(flow("frontend", {"entity": "Any"}, 443), "", id="any-was-asked-for"),
        pytest.param(flow("frontend", "frontend", 8080), "", id="flow-to-itself"),
        pytest.param(flow("frontend", {"podSelector": {}}, "*"), "", id="every-pod-was-asked-for"),
        pytest.param(
            flow("frontend", "api", "metrics"),
            "port metrics stays a name, which some CNIs get wrong; a number is safer",
            id="port-name",
        ),
    ],
)
def test_what_is_allowed_and_may_surprise_is_said_in_the_row(
    operator: Operator, team: Team, named: dict[str, Any], note: str
) -> None:
    team.connect("shop", {**named, "name": "it"})
    team.wait_ready()

    row = team.row("shop", "it")
    assert (row["state"], row.get("message", "")) == ("Active", note)
    assert "shop.it.egress" in team.policies()


def test_dns_left_out_beside_a_service_by_name_is_said(operator: Operator, team: Team) -> None:
    team.apply(_service("api", selector={"app": "api"}, ports=[{"port": 80}]))
    team.connect("shop", flow("frontend", {"service": "api"}, name="it"), dns="None")
    team.wait_ready()

    assert team.row("shop", "it")["message"] == "dns is None, so the Service's name does not resolve for these pods"


def test_a_flow_said_twice_is_one_flow(operator: Operator, team: Team) -> None:
    team.connect("shop", GOOD, {**GOOD, "description": "the same again"})
    team.wait_ready()

    assert set(team.policies()) == SHARED | GOOD_POLICIES
    assert team.get("appconn", "shop")["status"]["flowsActive"] == "1/1"


def test_pods_are_not_looked_at_so_none_of_them_is_no_fault(operator: Operator, team: Team) -> None:
    """No pods (a Job between its runs), or pods on the host's network: the intent is the same, and Ready."""
    team.connect("shop", flow("nobody", "no-one", 80))
    team.wait_ready()

    may = team.plane.kubectl("auth", "can-i", "list", "pods", "-A", "--as", USER, check=False)
    assert may.stdout.strip() == "no"


def test_the_longest_names_fit(operator: Operator, team: Team) -> None:
    name = "o" * 63
    source, destination = "s" * 63, "d" * 63
    team.connect(name, flow(source, destination, 80), {**GOOD, "name": "f" * 63})
    team.wait_ready(name)

    found = team.policies()
    assert len(found) == 6
    assert f"{name}.{'f' * 63}.ingress" in found


FAULTS = [
    pytest.param(
        flow({"app": "a", "namespace": "other"}, {"app": "b", "namespace": "other"}, 80),
        "Invalid",
        "NoLocalEnd",
        "neither end is in namespace NAMESPACE; an object can only open doors of its own namespace;"
        " nothing is opened for it",
        id="no-local-end",
    ),
    pytest.param(
        flow("api", {"entity": "Internet"}, "https"),
        "Invalid",
        "NamedPortWithoutPods",
        "TCP https: a port name is a container's; say numbers for addresses; nothing is opened for it",
        id="port-name-for-addresses",
    ),
    pytest.param(
        flow("api", {"service": "gone"}),
        "Unresolved",
        "ServiceNotFound",
        "Service gone is not there (yet); nothing is opened for it",
        id="service-not-there",
    ),
]


@pytest.mark.parametrize(("bad", "state", "reason", "message"), FAULTS)
def test_a_bad_flow_takes_no_good_one_down_and_heals_without_a_restart(
    operator: Operator, team: Team, bad: dict[str, Any], state: str, reason: str, message: str
) -> None:
    team.connect("shop", {**bad, "name": "it"}, GOOD)
    row = eventually(lambda: team.row("shop", "it"))

    assert (row["state"], row["reason"]) == (state, reason)
    assert row["message"] == message.replace("NAMESPACE", team.namespace)
    assert team.row("shop", "frontend-to-api")["state"] == "Active"
    assert set(team.policies()) == SHARED | GOOD_POLICIES
    about = team.condition("shop", "Accepted" if state == "Invalid" else "ResolvedRefs")
    assert (about["status"], about["message"]) == ("False", f"flow it: {row['message']}")
    assert team.condition("shop", "Ready")["status"] == "False"

    team.connect("shop", flow("api", "db", 5432, name="it"), GOOD)
    team.wait_ready()
    assert set(team.policies()) == SHARED | GOOD_POLICIES | {"shop.it.egress", "shop.it.ingress"}


@pytest.mark.parametrize(("bad", "state", "reason", "message"), FAULTS)
def test_a_good_flow_that_turns_bad_does_not_keep_what_it_said_before(
    operator: Operator, team: Team, bad: dict[str, Any], state: str, reason: str, message: str
) -> None:
    team.connect("shop", flow("api", "db", 5432, name="it"), GOOD)
    team.wait_ready()

    team.connect("shop", {**bad, "name": "it"}, GOOD)

    eventually(lambda: set(team.policies()) == SHARED | GOOD_POLICIES)
    eventually(lambda: team.row("shop", "it")["reason"] == reason)


@pytest.fixture
def from_the_future(installed: ControlPlane) -> Iterator[ControlPlane]:
    """The CRD of a later version, as it stands after the operator was rolled back; ours again in the end."""
    spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties"
    one_flow = f"{spec}/flows/items/properties"
    _patch_crd(
        installed,
        {"op": "add", "path": f"{spec}/mode/enum/-", "value": "Learn"},
        {"op": "add", "path": f"{one_flow}/to/properties/entity/enum/-", "value": "Mesh"},
        {"op": "add", "path": f"{one_flow}/rate", "value": {"type": "integer"}},
    )
    try:
        future = appconn("future", {**flow("a", {"entity": "Mesh"}, 80), "rate": 1}, mode="Learn")
        eventually(lambda: _is_taken(installed, future))
        yield installed
    finally:
        path = "/spec/versions/0/schema"
        _patch_crd(installed, {"op": "replace", "path": path, "value": _own_schema()})
        eventually(lambda: not _is_taken(installed, future))


def test_what_a_later_version_may_say_is_refused_and_the_last_good_policies_stay(
    operator: Operator, team: Team, from_the_future: ControlPlane
) -> None:
    team.connect("shop", GOOD)
    team.wait_ready()
    before = team.policies()

    team.connect("shop", GOOD, mode="Learn")
    accepted = eventually(lambda: _refused(team))

    assert accepted["reason"] == "UnsupportedByThisVersion"
    assert accepted["message"] == "spec.mode: Input should be 'Enforce' or 'Audit'"
    ready = team.condition("shop", "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "UnsupportedByThisVersion")
    assert team.policies() == before

    team.connect("shop", flow("frontend", "api", 9090), mode="Learn")
    eventually(lambda: set(team.policies()) == SHARED)

    team.connect("shop", GOOD, mode="Enforce")
    team.wait_ready()
    assert set(team.policies()) == set(before)


def test_a_flow_that_a_later_version_may_say_takes_no_good_one_down(
    operator: Operator, team: Team, from_the_future: ControlPlane
) -> None:
    team.connect("shop", flow("a", {"entity": "Mesh"}, 80, name="entity"), {**GOOD, "rate": 5, "name": "field"}, GOOD)
    accepted = eventually(lambda: _refused(team))

    assert accepted["reason"] == "UnsupportedByThisVersion"
    known = "'Internet', 'Cluster', 'Any' or 'KubeAPIServer'"
    assert team.row("shop", "entity")["message"] == (
        f"spec.flows[0].to.entity: Input should be {known}; nothing is opened for it"
    )
    assert team.row("shop", "field")["message"] == (
        "spec.flows[1].rate: this field is unknown to this version of the operator; nothing is opened for it"
    )
    assert set(team.policies()) == SHARED | GOOD_POLICIES


def _refused(team: Team) -> dict[str, Any]:
    found = team.condition("shop", "Accepted")
    return found if found.get("status") == "False" else {}


def _patch_crd(plane: ControlPlane, *operations: dict[str, Any]) -> None:
    plane.kubectl("patch", "crd", CRD, "--type=json", "-p", json.dumps(operations))


def _own_schema() -> dict[str, Any]:
    text = (ROOT / "crds" / "appconnectivity.yaml").read_text()
    return yaml.safe_load(text)["spec"]["versions"][0]["schema"]


def _is_taken(plane: ControlPlane, body: dict[str, Any]) -> bool:
    done = plane.kubectl("create", "--dry-run=server", "-n", "default", "-f", "-", input=json.dumps(body), check=False)
    return done.returncode == 0


def _service(name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def test_what_somebody_has_put_into_a_status_goes(operator: Operator, team: Team) -> None:
    team.connect("shop", flow("frontend", "api", 8080))
    team.wait_ready()
    stalled = {"type": "Stalled", "status": "True", "reason": "Mallory", "message": "no"}
    stalled["lastTransitionTime"] = "2026-01-01T00:00:00Z"
    add = [{"op": "add", "path": "/status/conditions/-", "value": stalled}]
    team.plane.kubectl(
        *("patch", "appconn", "shop", "-n", team.namespace, "--subresource=status", "--type=json"),
        *("-p", json.dumps(add)),
    )

    eventually(lambda: not team.condition("shop", "Stalled"))
    assert team.condition("shop", "Ready")["status"] == "True"
