"""A store that is put back to an older state, as from a backup (RELIABILITY F9)."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator

import pytest

from cluster.controlplane import ControlPlane
from cluster.operator import install
from e2e.conftest import Team, eventually, flow
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
