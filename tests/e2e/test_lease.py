"""Two replicas with a Lease: one writes, the other is ready to."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cluster import processes
from cluster.controlplane import ControlPlane
from cluster.operator import LEASE, NAMESPACE, ROOT, USER, Operator, permit_lease
from e2e.conftest import Team, eventually, flow

# What the Lease promises: fifteen seconds, and the two between two tries.
TAKE_OVER_SECONDS = 20.0

Start = Callable[[], Operator]


@pytest.fixture
def start(installed_operator: Callable[..., Operator], installed: ControlPlane) -> Iterator[Start]:
    """Starts replicas with the rights of manifests/overlays/ha; the session's operator is held still."""
    permit_lease(installed)
    yield lambda: installed_operator(*LEASE)
    installed.kubectl("delete", "lease", "appconnectivity", "-n", NAMESPACE, "--ignore-not-found")


def identity(replica: Operator) -> str:
    """By which it holds the Lease and signs its requests; empty until it holds it."""
    found = re.search(r'holding the Lease as ([^"\s]+)', replica.log.read_text())
    return found[1] if found else ""


def holder(plane: ControlPlane) -> str:
    found = plane.kubectl("get", "lease", "appconnectivity", "-n", NAMESPACE, "-o", "json", check=False).stdout
    return str(json.loads(found)["spec"].get("holderIdentity", "")) if found else ""


def writes(plane: ControlPlane, replica: Operator) -> list[dict[str, Any]]:
    """All that it has written, but the Lease."""
    by = [write for write in plane.writes(user=USER) if identity(replica) in write.get("userAgent", "")]
    return [write for write in by if write["objectRef"]["resource"] != "leases"]


def isolates(team: Team, *apps: str) -> None:
    """An object with a flow from each of the apps is Ready, so somebody works."""
    team.connect("shop", *(flow(app, "api", 8080) for app in apps))
    team.wait_ready()


def test_only_the_holder_writes_and_the_other_is_ready_to(start: Start, team: Team) -> None:
    first, second = start(), start()
    isolates(team, "frontend")

    assert holder(team.plane) == identity(first)
    assert writes(team.plane, first)
    assert identity(second) == ""
    assert second.get("/readyz") == (200, "stands by")
    assert second.get("/healthz")[0] == 200


def test_a_replica_that_is_told_to_stop_leaves_the_lease_to_the_other_at_once(start: Start, team: Team) -> None:
    first, second = start(), start()
    isolates(team, "frontend")
    began = time.monotonic()
    code, _ = first.stop()
    eventually(lambda: identity(second))
    print(f"handed over after {time.monotonic() - began:.1f} s")

    assert code == 0
    isolates(team, "frontend", "worker")
    assert writes(team.plane, second)


def test_when_the_holder_is_killed_the_other_takes_over_and_loses_nothing(start: Start, team: Team) -> None:
    first, second = start(), start()
    isolates(team, "frontend")
    began = time.monotonic()
    first.kill()
    team.connect("shop", flow("worker", "api", 8080))
    team.delete("networkpolicy", "appconnectivity.default-deny")
    eventually(lambda: identity(second), within=began + TAKE_OVER_SECONDS - time.monotonic())
    print(f"taken over {time.monotonic() - began:.1f} s after the kill")

    team.wait_ready()
    assert {"appconnectivity.default-deny", "shop.worker-to-api.ingress"} <= team.policies().keys()
    assert not [name for name in team.policies() if "frontend" in name]


def test_a_holder_that_stood_still_writes_nothing_afterwards(start: Start, team: Team) -> None:
    first, second = start(), start()
    isolates(team, "frontend")
    first.process.send_signal(signal.SIGSTOP)
    try:
        eventually(lambda: identity(second), within=TAKE_OVER_SECONDS + 5)
        isolates(team, "worker")
        before = len(writes(team.plane, first))
        team.delete("networkpolicy", "shop.worker-to-api.ingress")  # something to do, for whoever hears of it
    finally:
        first.process.send_signal(signal.SIGCONT)
    code = first.process.wait(timeout=30)

    assert code == 1, processes.tail(first.log)
    assert len(writes(team.plane, first)) == before
    eventually(lambda: "shop.worker-to-api.ingress" in team.policies())
    assert holder(team.plane) == identity(second)


def test_a_replica_that_may_not_read_the_lease_is_not_ready(start: Start, installed: ControlPlane) -> None:
    """Else a rolling update would put such a one in the place of the one that works."""
    replica = Operator(installed, "--lease", "another", "--lease-namespace", NAMESPACE)
    try:
        eventually(lambda: "Forbidden" in replica.log.read_text() or "forbidden" in replica.log.read_text())
        assert replica.get("/readyz") == (503, "the Lease can't be read or taken; the log tells why")
    finally:
        replica.stop()


def test_the_overlay_is_what_the_api_server_takes(installed: ControlPlane) -> None:
    installed.kubectl("apply", "--server-side", "--dry-run=server", "-k", ROOT / "manifests" / "overlays" / "ha")


def test_outside_a_pod_the_namespace_of_the_lease_has_to_be_said(installed: ControlPlane) -> None:
    replica = Operator(installed, "--lease", "appconnectivity")

    assert replica.process.wait(timeout=20) == 1
    assert "--lease-namespace" in replica.log.read_text()
