"""What goes wrong inside the operator's own process (RELIABILITY F5, F27, F30)."""

from __future__ import annotations

from collections.abc import Callable

from cluster import faults
from cluster.operator import LEASE, permit_lease
from cluster.sabotage import POISON, STALL_SECONDS
from e2e.conftest import Team, appconn, eventually, flow
from faults.conftest import Patient

NewPatient = Callable[..., Patient]
EGRESS = "shop.frontend-to-api.egress"
MANY = 30
ISOLATION = {"appconnectivity.allow-dns", "appconnectivity.default-deny"}
WAYS = ("egress", "ingress")


def test_a_watcher_that_has_died_turns_health_red_and_sweeps_heal_meanwhile(
    new_patient: NewPatient, team: Team
) -> None:
    patient = new_patient("--sweep-interval", "1", sabotage="watcher")
    team.connect("shop", flow("frontend", "api", 8080))
    team.wait_ready()
    assert patient.operator.get("/healthz") == (200, "ok")

    patient.operator.suffer()
    team.delete("networkpolicy", EGRESS)
    eventually(lambda: EGRESS in team.policies())
    eventually(lambda: "no watcher for networkpolicies" in patient.operator.get("/healthz")[1])
    assert patient.operator.get("/healthz")[0] == 500

    patient.restart()
    assert patient.operator.get("/healthz") == (200, "ok")
    patient.is_well()


def test_an_object_on_which_the_compiler_breaks_keeps_its_policies_and_the_others_go_on(
    new_patient: NewPatient, team: Team
) -> None:
    patient = new_patient(sabotage="compiler")
    team.apply(appconn("shop", flow("frontend", "api", 8080)), appconn(POISON, flow("worker", "api", 8080)))
    for name in ("shop", POISON):
        team.wait_ready(name)
    before = {name: body for name, body in team.policies().items() if name.startswith(POISON)}
    assert len(before) == 2

    patient.operator.suffer()
    team.apply(appconn(POISON, flow("worker", "api", 8080), flow("worker", "db", 5432)))
    team.apply(appconn("shop", flow("frontend", "api", 8080), flow("frontend", "web", 80)))
    team.wait_ready("shop")
    eventually(lambda: team.condition(POISON, "Accepted").get("reason") == "InternalError")
    assert {name: body for name, body in team.policies().items() if name.startswith(POISON)} == before
    assert "shop.frontend-to-web.egress" in team.policies()
    assert patient.deleted() == []

    patient.restart()
    team.wait_ready(POISON)
    patient.is_well()


def test_a_loop_that_stood_still_in_the_middle_of_work_goes_on_and_keeps_the_lease(
    new_patient: NewPatient, team: Team
) -> None:
    permit_lease(team.plane)
    patient = new_patient(*LEASE, sabotage="stall")
    patient.proxy.rule(faults.delayed(1.0), "patch", path=r"/networkpolicies")
    team.apply(*(appconn(f"shop-{number}", flow("frontend", f"api-{number}", 8080)) for number in range(MANY)))
    eventually(lambda: team.policies().keys() - {"bystander"})
    patient.operator.suffer()
    team.delete("appconn", "shop-0")
    assert patient.operator.get("/healthz") == (0, ""), "it does not stand still"
    assert len(team.policies()) < 2 * MANY, "it was too late to be in the middle"

    flows = {f"shop-{number}.frontend-to-api-{number}.{way}" for number in range(1, MANY) for way in WAYS}
    eventually(lambda: team.policies().keys() - {"bystander"} == flows | ISOLATION, within=STALL_SECONDS + 20)
    team.wait_ready(f"shop-{MANY - 1}")
    assert patient.operator.get("/healthz") == (200, "ok")
    patient.is_well()
