"""Requests that fail, get lost or are answered wrongly (RELIABILITY F11, F12, F15, F16)."""

from __future__ import annotations

import pytest

from cluster import faults
from cluster.faults import Act
from e2e.conftest import Team, eventually, flow
from faults.conftest import Patient

POLICIES = r"/networkpolicies"
OBJECTS = r"/namespaces/[^/]+/appconnectivities$"


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(faults.refused(429, headers={"Retry-After": "1"}), id="429"),
        pytest.param(faults.refused(500), id="500"),
        pytest.param(faults.refused(503), id="503"),
        pytest.param(faults.refused(409), id="409"),
        pytest.param(faults.closed, id="closed"),
        pytest.param(faults.lost, id="answer-lost"),
        pytest.param(faults.delayed(0.5), id="slow"),
    ],
)
def test_writes_that_fail_a_few_times_are_made_in_their_order(patient: Patient, team: Team, fault: Act) -> None:
    rule = patient.proxy.rule(fault, "patch", path=POLICIES, times=4)
    team.connect("shop", flow("frontend", "api", 8080))
    eventually(lambda: team.condition("shop", "Ready").get("status") == "True", within=30)

    assert rule.hits == 4
    written = [asked.path.rpartition("/")[2] for asked in patient.proxy.writes() if "networkpolicies" in asked.path]
    assert written.index("appconnectivity.default-deny") > max(
        index for index, name in enumerate(written) if name.startswith("shop.")
    )
    patient.is_well()


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(faults.empty, id="empty"),
        pytest.param(faults.cut_after(200), id="cut-off"),
        pytest.param(faults.refused(410), id="410"),
        pytest.param(faults.refused(403), id="403"),
        pytest.param(faults.refused(401), id="401"),
        pytest.param(faults.closed, id="closed"),
    ],
)
@pytest.mark.parametrize("path", [OBJECTS, POLICIES], ids=["objects", "policies"])
def test_a_list_that_is_wrong_once_deletes_nothing(patient: Patient, team: Team, fault: Act, path: str) -> None:
    team.connect("shop", flow("frontend", "api", 8080))
    team.wait_ready()
    before = team.policies().keys()
    rule = patient.proxy.rule(fault, "list", path=path, times=1)
    team.plane.kubectl("label", "networkpolicy", "appconnectivity.default-deny", "-n", team.namespace, "x=y")
    eventually(lambda: rule.hits)
    team.connect("shop", flow("frontend", "api", 8080), flow("worker", "api", 8080))
    eventually(lambda: "shop.worker-to-api.ingress" in team.policies(), within=30)

    assert [asked for asked in patient.proxy.writes() if asked.verb == "delete"] == []
    assert before <= team.policies().keys()
    patient.is_well()
