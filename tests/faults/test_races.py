"""What others do just between a look of the operator's and its write."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable

from aiohttp import web

from cluster import faults
from cluster.controlplane import ControlPlane
from cluster.faults import Exchange
from cluster.operator import LEASE, USER, Operator, permit_lease
from e2e.conftest import Team, eventually, flow
from faults.conftest import Patient

NAME = "shop.web-to-api.ingress"
ISOLATION = ("appconnectivity.default-deny", "appconnectivity.allow-dns")
EDIT = '{"spec": {"podSelector": {"matchLabels": {"app": "edited"}}}}'
QUIET_SECONDS = 5.0


def test_a_policy_that_has_just_taken_the_name_of_ours_is_not_overwritten(patient: Patient, team: Team) -> None:
    team.connect("shop", flow("web", "api", 8080, name="web-to-api"))
    team.wait_ready()
    is_done = threading.Event()

    async def held(exchange: Exchange) -> web.StreamResponse:
        await asyncio.to_thread(is_done.wait)
        return await faults.passed(exchange)

    rule = patient.proxy.rule(held, "patch", path=f"/networkpolicies/{NAME}", times=1)
    team.connect("shop", flow("web", "api", 9090, name="web-to-api"))
    eventually(lambda: rule.hits)
    team.delete("networkpolicy", NAME)
    team.apply(_theirs())
    before = team.policies()[NAME]
    is_done.set()

    eventually(lambda: team.condition("shop", "Ready").get("reason") == "NameConflict")
    assert team.policies()[NAME] == before
    patient.is_well()


def test_two_that_work_at_once_come_to_the_same_and_to_rest(
    new_patient: Callable[..., Patient], new_other: Callable[..., Operator], installed: ControlPlane, team: Team
) -> None:
    """Nobody should run two without a Lease; who does gets no quarrel of it (RELIABILITY I15)."""
    often = ("--sweep-interval", "2")
    patient, other = new_patient(*often), new_other(*often)
    other.wait_ready()
    team.connect("shop", flow("web", "api", 8080), flow("web", "db", 5432))
    team.wait_ready()
    team.connect("shop", flow("web", "api", 9090, name="web-to-api"), flow("worker", "api", 8080))
    team.delete("networkpolicy", "appconnectivity.default-deny")
    team.plane.kubectl("patch", "networkpolicy", NAME, "-n", team.namespace, "--type=merge", "-p", EDIT)
    flows = {f"shop.{name}.{half}" for name in ("web-to-api", "worker-to-api") for half in ("egress", "ingress")}
    eventually(lambda: team.policies().keys() == flows | {"bystander", *ISOLATION})
    team.wait_ready()
    time.sleep(QUIET_SECONDS)

    since = len(installed.writes(user=USER))
    time.sleep(QUIET_SECONDS)  # two sweeps of each
    assert installed.writes(user=USER, since=since) == []
    assert other.stop()[0] == 0
    patient.is_well()


def test_a_holder_that_stood_still_in_the_middle_of_a_pass_begins_no_write_afterwards(
    new_patient: Callable[..., Patient], new_other: Callable[..., Operator], installed: ControlPlane, team: Team
) -> None:
    permit_lease(installed)
    patient = new_patient(*LEASE)
    slow = patient.proxy.rule(faults.delayed(1), "patch", path="/networkpolicies/")
    team.connect("shop", *(flow("web", f"api-{number}", 8080) for number in range(30)))
    eventually(lambda: slow.hits)
    patient.operator.process.send_signal(signal.SIGSTOP)
    time.sleep(0.2)  # what it had sent has reached the proxy
    since, other = time.monotonic(), new_other(*LEASE)
    try:
        eventually(lambda: team.policies().keys() >= {*ISOLATION}, within=60)
        team.wait_ready()
    finally:
        patient.operator.process.send_signal(signal.SIGCONT)
    assert patient.operator.process.wait(timeout=30) == 1

    assert slow.hits < len(team.policies()), "it was not in the middle of its work"
    late = [(round(asked.at - since, 2), asked.path) for asked in patient.proxy.writes(since=since)]
    assert [each for each in late if "/leases" not in each[1]] == []
    assert other.stop()[0] == 0


def _theirs() -> dict[str, object]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": NAME},
        "spec": {"podSelector": {"matchLabels": {"app": "api"}}, "policyTypes": ["Ingress"]},
    }
