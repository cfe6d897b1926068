"""What a person sees of the CRD through a real API server and kubectl."""

from __future__ import annotations

import json

import pytest

from cluster.controlplane import ControlPlane
from crd.server import Server

_TABLE = "application/json;as=Table;g=meta.k8s.io;v=v1"
_BODY = {"metadata": {"name": "shop"}, "spec": {}}


def test_a_new_object_is_pending_from_the_first_moment_on(server: Server) -> None:
    body = server.judge({}).body
    (ready,) = body["status"]["conditions"]
    assert ready.pop("lastTransitionTime") == "1970-01-01T00:00:00Z"
    assert ready == {"type": "Ready", "status": "Unknown", "reason": "Pending", "message": "Waiting for the operator."}


def test_defaults_are_filled_in(server: Server) -> None:
    assert server.judge({}).body["spec"] == {
        "mode": "Enforce",
        "defaultDeny": "Namespace",
        "policyTypes": ["Ingress", "Egress"],
        "dns": "Cluster",
        "flows": [],
    }


def test_directions_are_those_of_the_last_server_side_apply(with_crd: ControlPlane, namespace: str) -> None:
    """Argo CD and Flux apply so: what was a default at first must not stay beside what is asked for later."""
    applied = {}
    for types in (None, ["Ingress"], ["Egress"], None):
        spec = {"policyTypes": types} if types else {}
        body = {"apiVersion": "appconnectivity.io/v1alpha1", "kind": "AppConnectivity", **_BODY, "spec": spec}
        done = with_crd.kubectl(
            "apply", "--server-side", "-n", namespace, "-o", "json", "-f", "-", input=json.dumps(body)
        )
        applied[str(types)] = json.loads(done.stdout)["spec"]["policyTypes"]

    assert applied == {"None": ["Ingress", "Egress"], "['Ingress']": ["Ingress"], "['Egress']": ["Egress"]}


def test_the_columns_say_what_a_person_wants_to_know(server: Server) -> None:
    table = server.create(_BODY, accept=_TABLE).body
    names = [(column["name"], column["priority"]) for column in table["columnDefinitions"]]
    short, wide = [name for name, priority in names if not priority], [name for name, priority in names if priority]
    assert short == ["Name", "Ready", "Reason", "Mode", "Flows", "Policies", "Age"]
    assert wide == ["Connected", "Message"]
    cells = dict(zip([name for name, _ in names], table["rows"][0]["cells"], strict=True))
    assert (cells["Ready"], cells["Reason"], cells["Mode"]) == ("Unknown", "Pending", "Enforce")
    assert cells["Message"] == "Waiting for the operator."


@pytest.mark.parametrize("word", ["appconnectivities", "appconnectivity", "appconn", "ac"])
def test_kubectl_knows_it_by_its_names(with_crd: ControlPlane, word: str) -> None:
    assert with_crd.kubectl("get", word, "-n", "default").returncode == 0


def test_kubectl_knows_it_by_its_category(with_crd: ControlPlane) -> None:
    listed = with_crd.kubectl("api-resources", "--categories=appconnectivity", "-o", "name").stdout
    assert listed.split() == ["appconnectivities.appconnectivity.io"]


def test_kubectl_selects_by_mode(with_crd: ControlPlane) -> None:
    assert with_crd.kubectl("get", "appconn", "-A", "--field-selector=spec.mode=Audit").returncode == 0


@pytest.mark.parametrize(
    ("field", "text"),
    [
        pytest.param("appconn", "says who talks to whom", id="the-kind"),
        pytest.param("appconn.spec.flows.from", "the end that opens connections", id="an-end"),
        pytest.param("appconn.spec.flows.to.ipBlocks.except", "left out", id="deep-inside"),
        pytest.param("appconn.spec.flows.ports", '"53/UDP"', id="ports"),
        pytest.param("appconn.status.flows.state", "Active", id="status"),
    ],
)
def test_kubectl_explains_it(with_crd: ControlPlane, field: str, text: str) -> None:
    assert text in " ".join(with_crd.kubectl("explain", field).stdout.split())


def test_the_largest_object_is_judged_within_the_cost_limit(server: Server) -> None:
    labels = {f"{'p' * 200}/{'k' * 50}{n}": "v" * 63 for n in range(16)}
    block = {"cidr": "2001:db8::/32", "except": [f"2001:db8:{n}::/48" for n in range(16)]}
    end = {"podSelector": {"matchLabels": labels}, "namespaceSelector": {"matchLabels": labels}}
    flows = [
        {"name": f"flow-{n}", "from": end, "to": {"ipBlocks": [block] * 32}, "ports": ["1-2/TCP"] * 16}
        for n in range(64)
    ]
    answer = server.judge({"flows": flows})
    assert answer.is_accepted, answer.message
