"""Requests that fail, get lost or are answered wrongly (RELIABILITY F11 to F16, F21, F31)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from cluster import faults
from cluster.faults import Act
from cluster.operator import USER
from e2e.conftest import Team, eventually, flow
from faults.conftest import LAST_SWEEP, Patient

POLICIES = r"/networkpolicies"
ISOLATION = {"appconnectivity.allow-dns", "appconnectivity.default-deny"}
STATUS = r"/appconnectivities/[^/]+/status$"
NAMESPACES = r"/namespaces$"
OBJECTS = r"/namespaces/[^/]+/appconnectivities$"


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(faults.refused(429, headers={"Retry-After": "1"}), id="429"),
        pytest.param(faults.refused(500), id="500"),
        pytest.param(faults.refused(503), id="503"),
        pytest.param(faults.refused(504), id="504"),
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
    ("status", "reason"),
    [pytest.param(403, "Forbidden", id="forbidden"), pytest.param(500, "", id="broken")],
)
def test_nothing_is_closed_while_one_allow_can_not_be_written_and_others_go_on(
    patient: Patient, new_team: Callable[..., Team], team: Team, status: int, reason: str
) -> None:
    egress = rf"/namespaces/{team.namespace}/networkpolicies/shop.frontend-to-api.egress"
    rule, other = patient.proxy.rule(faults.refused(status), "patch", path=egress), new_team()
    team.connect("shop", flow("frontend", "api", 8080))
    eventually(lambda: rule.hits > 1)
    other.connect("shop", flow("frontend", "api", 8080))
    other.wait_ready()
    eventually(lambda: team.condition("shop", "Programmed").get("reason", "") == reason)
    assert not ISOLATION & team.policies().keys()

    patient.proxy.drop(rule)
    eventually(lambda: team.policies().keys() >= ISOLATION, within=30)
    team.wait_ready()
    patient.is_well()


def test_all_is_written_though_every_third_write_fails(patient: Patient, team: Team) -> None:
    rule = patient.proxy.rule(faults.every(3, faults.refused(503)), *faults.WRITES)
    team.connect("shop", *(flow("frontend", f"api-{number}", 8080) for number in range(12)))
    eventually(lambda: team.condition("shop", "Ready").get("status") == "True", within=60)

    assert rule.hits > 26
    done = [a.path.rpartition("/")[2] for a in patient.proxy.writes() if "policies" in a.path and a.status < 300]
    assert done[-1] == "appconnectivity.default-deny"
    patient.is_well()


def test_a_write_that_nobody_answers_is_given_up_and_made_anew(patient: Patient, team: Team) -> None:
    """And arrives in the end, when another has long done its work."""
    rule = patient.proxy.rule(faults.late(20), "patch", path=POLICIES, times=1)
    team.connect("shop", flow("frontend", "api", 8080))
    eventually(lambda: team.policies().keys() >= ISOLATION, within=30)
    team.wait_ready()
    (first, *_) = [asked for asked in patient.proxy.writes() if "/networkpolicies/" in asked.path and not asked.status]

    def arrived() -> int:
        events = team.plane.audit_events(user=USER)
        return sum(each["verb"] == "patch" and each["requestURI"].startswith(f"{first.path}?") for each in events)

    before = arrived()
    eventually(lambda: arrived() > before)
    assert (rule.hits, before) == (1, 1)
    patient.is_well()


def test_a_namespace_that_is_deleted_in_the_middle_of_a_pass_goes(patient: Patient, team: Team) -> None:
    doomed = Team(team.plane, f"{team.namespace}-doomed")
    team.plane.kubectl("create", "namespace", doomed.namespace)
    rule = patient.proxy.rule(faults.delayed(1), "patch", path=rf"/{doomed.namespace}/networkpolicies/")
    doomed.connect("shop", *(flow("frontend", f"api-{number}", 8080) for number in range(4)))
    eventually(lambda: rule.hits)
    team.plane.kubectl("delete", "namespace", doomed.namespace, "--timeout=60s")

    assert rule.hits
    assert "Traceback" not in patient.operator.log.read_text()
    patient.is_well()


def test_it_starts_on_a_list_that_is_empty_and_deletes_nothing(patient: Patient, team: Team) -> None:
    team.connect("shop", *(flow("frontend", f"api-{number}", 8080) for number in range(8)))
    team.wait_ready()
    before = team.policies()
    patient.operator.stop()
    rule = patient.proxy.rule(faults.empty, "list", path="/appconnectivities$")
    patient.restart()
    eventually(lambda: patient.operator.metric("appconnectivity_deletions_held") == len(before) - 1)

    assert rule.hits
    patient.proxy.drop(rule)
    patient.restart()
    assert team.policies() == before
    assert patient.deleted() == []
    patient.is_well()


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(faults.empty, id="empty"),
        pytest.param(faults.partial, id="partial"),
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
    team.delete("networkpolicy", "appconnectivity.allow-dns")  # what looks like drift is looked at
    eventually(lambda: rule.hits)
    team.connect("shop", flow("frontend", "api", 8080), flow("worker", "api", 8080))
    eventually(lambda: "shop.worker-to-api.ingress" in team.policies(), within=30)

    assert [asked for asked in patient.proxy.writes() if asked.verb == "delete"] == []
    eventually(lambda: before <= team.policies().keys())
    patient.is_well()


@pytest.mark.parametrize(("status", "reason"), [(403, "StatusWrite"), (500, "Unavailable")])
def test_policies_follow_their_objects_while_no_status_can_be_written(
    patient: Patient, new_team: Callable[..., Team], team: Team, status: int, reason: str
) -> None:
    refusal = patient.proxy.rule(faults.refused(status), "patch", path=STATUS)
    other = new_team()
    for namespace in (team, other):
        namespace.connect("shop", flow("frontend", "api", 8080))
    other.connect("broken", flow("frontend", {"service": "nowhere"}))
    expected = ISOLATION | {"shop.frontend-to-api.egress", "shop.frontend-to-api.ingress"}
    eventually(lambda: expected <= team.policies().keys() and expected <= other.policies().keys())
    team.connect("shop", flow("frontend", "web", 80))
    expected = ISOLATION | {"shop.frontend-to-web.egress", "shop.frontend-to-web.ingress"}
    eventually(lambda: team.policies().keys() - {"bystander"} == expected)
    eventually(lambda: refusal.hits > 12)
    assert patient.operator.metric("appconnectivity_reconcile_errors_total", reason=reason) >= 1
    written = Counter(asked.path for asked in patient.proxy.writes() if "networkpolicies" in asked.path)
    assert max(written.values()) <= 2, "what stands as it should is not to be written again"
    assert len(other.events("ServiceNotFound")) <= 1, "what can't be said by the status is told once"

    patient.proxy.drop(refusal)
    team.wait_ready()
    other.wait_ready("shop")
    patient.is_well()


def test_an_object_without_policies_that_a_sweep_was_not_shown_follows_its_peer_all_the_same(
    patient: Patient, new_team: Callable[..., Team], team: Team
) -> None:
    """Nothing that is missing tells of it, and no pass over it would be made: nor over those who ask for its grant."""
    other = new_team()
    other.connect("api", flow("frontend", "api", 8080))
    other.wait_ready("api")
    team.connect("shop", flow("web", {"app": "api", "namespace": other.namespace}, 8080), mode="Audit")
    eventually(lambda: team.condition("shop", "Connected").get("status") == "False")
    swept = patient.operator.metric(LAST_SWEEP)
    empty = patient.proxy.rule(faults.empty, "list", path=r"^/apis/[^/]+/[^/]+/appconnectivities$", times=1)
    patient.proxy.rule(faults.answered(faults.error_event(410)), "watch", path=NAMESPACES, times=1)
    patient.proxy.cut("watch", path=NAMESPACES)  # which lists anew, and a sweep follows
    eventually(lambda: empty.hits and patient.operator.metric(LAST_SWEEP) > swept)

    grant = flow({"app": "web", "namespace": team.namespace}, "api", 8080)
    other.connect("api", flow("frontend", "api", 8080), grant)
    eventually(lambda: team.condition("shop", "Connected").get("reason") == "Audit")  # it waits for nobody any more
    assert patient.deleted() == []
    patient.is_well()


def test_objects_that_are_not_listed_any_more_do_not_cost_many_policies(patient: Patient, team: Team) -> None:
    """Nobody told of their deletion: what the API server says may be wrong (RELIABILITY I9)."""
    team.connect("shop", *(flow("frontend", f"api-{number}", 8080) for number in range(8)))
    team.wait_ready()
    before = team.policies().keys()
    rule = patient.proxy.rule(faults.empty, "list", path=rf"/{team.namespace}/appconnectivities$")
    team.delete("networkpolicy", "appconnectivity.allow-dns")  # what looks like drift is looked at
    eventually(lambda: patient.operator.metric("appconnectivity_deletions_held") == len(before) - 2)
    assert rule.hits
    assert team.policies().keys() == before - {"appconnectivity.allow-dns"}

    patient.proxy.drop(rule)
    team.connect("shop", flow("frontend", "api-0", 8080))
    team.wait_ready()
    assert patient.operator.metric("appconnectivity_deletions_held") == 0
    patient.is_well()
