"""A store that is put back to an older state, as from a backup, or that has forgotten what was (RELIABILITY F2, F9);
an API server that answers no more (F8)."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from cluster import faults
from cluster.controlplane import ControlPlane
from cluster.operator import install
from e2e.conftest import Team, appconn, eventually, flow
from faults.conftest import Patient


@pytest.fixture(scope="module")
def installed() -> Iterator[ControlPlane]:
    """One of its own: nobody else would bear it."""
    with ControlPlane() as own:
        install(own)
        yield own


@pytest.mark.parametrize("is_killed", [False, True], ids=["runs-on", "killed-and-started"])
def test_it_converges_on_an_older_state_of_the_store(
    new_patient: Callable[..., Patient], team: Team, is_killed: bool
) -> None:
    patient = new_patient("--sweep-interval", "2")
    team.connect("shop", flow("frontend", "api", 8080), flow("cron", "api", 8080))
    team.wait_ready()
    patient.operator.process.send_signal(signal.SIGSTOP)
    team.connect("shop", flow("frontend", "api", 8080))  # policies that nothing asks for any more
    team.connect("late", flow("worker", "db", 5432))  # an object that has none yet
    then, kept = team.policies(), team.plane.keep_store()
    patient.operator.process.send_signal(signal.SIGCONT)
    team.connect("shop", flow("frontend", "web", 80))
    for name in ("shop", "late"):
        team.wait_ready(name)

    since = time.monotonic()
    team.plane.put_back(kept)
    if is_killed:
        patient.operator.kill()
        patient.restart()
    leftover = {"shop.cron-to-api.egress", "shop.cron-to-api.ingress"}
    made = {"late.worker-to-db.egress", "late.worker-to-db.ingress"}
    eventually(lambda: team.policies().keys() == then.keys() - leftover | made, within=60)
    for name in ("shop", "late"):
        team.wait_ready(name)

    now = team.policies()
    stood = {name: body["metadata"]["uid"] for name, body in then.items() if name not in leftover}
    assert stood.items() <= {name: body["metadata"]["uid"] for name, body in now.items()}.items()
    assert set(patient.deleted(since=since)) == leftover
    patient.is_well()


def test_what_happened_before_the_history_begins_is_found_by_listing_anew(
    new_patient: Callable[..., Patient], team: Team
) -> None:
    """etcd is compacted and the API server started anew while watches are held: where they were, nobody knows."""
    patient = new_patient()
    team.apply(appconn("shop", flow("frontend", "api", 8080)), appconn("other", flow("worker", "api", 8080)))
    for name in ("shop", "other"):
        team.wait_ready(name)
    held = patient.proxy.rule(faults.held, "watch")
    patient.proxy.cut("watch")
    eventually(lambda: held.hits)
    team.delete("networkpolicy", "shop.frontend-to-api.egress")
    team.delete("appconn", "other")
    team.plane.stop_apiserver()
    team.plane.start_apiserver()
    team.plane.compact()

    since = time.monotonic()
    patient.proxy.drop(held)
    patient.proxy.cut("watch")
    wanted = {f"shop.frontend-to-api.{half}" for half in ("egress", "ingress")}
    wanted |= {f"appconnectivity.{name}" for name in ("allow-dns", "default-deny")}
    eventually(lambda: team.policies().keys() == {*wanted, "bystander"}, within=60)
    lists = [asked for asked in patient.proxy.log if asked.verb == "list" and asked.at >= since]
    assert {asked.path.rpartition("/")[2] for asked in lists} >= {"appconnectivities", "networkpolicies"}
    patient.is_well()


def test_an_api_server_that_stood_still_is_waited_for(new_patient: Callable[..., Patient], team: Team) -> None:
    """For longer than any request may take (RELIABILITY F8)."""
    patient = new_patient()
    team.connect("shop", flow("frontend", "api", 8080))
    team.wait_ready()
    wanted = team.policies().keys()
    os.kill(team.plane.pids["kube-apiserver"], signal.SIGSTOP)
    try:
        time.sleep(20)
    finally:
        os.kill(team.plane.pids["kube-apiserver"], signal.SIGCONT)
    team.delete("networkpolicy", "shop.frontend-to-api.egress")
    eventually(lambda: team.policies().keys() == wanted, within=60)

    assert patient.deleted() == []
    patient.is_well()
