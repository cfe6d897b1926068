"""An operator behind a proxy that makes faults, on a control plane of these tests' own."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from appconnectivity.cluster.kinds import APP_CONNECTIVITY
from appconnectivity.controller.sweep import GAP_SECONDS
from cluster import processes
from cluster.controlplane import ControlPlane
from cluster.faults import FaultProxy
from cluster.operator import USER, Operator, install
from e2e.conftest import Team, eventually, flow, new_team, team
from faults.between import Between

__all__ = ["new_team", "team"]  # fixtures: namespaces of ``installed``

# Retries, repairs and changes of the tests' own together.
MOST_WRITES = 12
LAST_SWEEP = "appconnectivity_last_sweep_timestamp_seconds"
BYSTANDER = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "bystander"},
    "spec": {"podSelector": {"matchLabels": {"app": "bystander"}}, "policyTypes": ["Ingress"]},
}


@pytest.fixture(scope="session")
def installed() -> Iterator[ControlPlane]:
    with ControlPlane() as own:
        install(own)
        yield own


@pytest.fixture
def proxy(installed: ControlPlane) -> Iterator[FaultProxy]:
    with FaultProxy(installed.url, certificate=installed.server_certificate) as made:
        yield made


@dataclass
class Patient:
    """The operator on whom the faults are tried; ``start`` makes another that takes the same way."""

    start: Callable[[], Operator]
    proxy: FaultProxy
    plane: ControlPlane

    def __post_init__(self) -> None:
        self.operator = self.start()

    def restart(self) -> None:
        """As the kubelet does when it has ended, or is not healthy any more."""
        self.operator.stop()
        self.operator = self.start()
        self.operator.wait_ready()

    def wait_until_no_sweep_is_near(self) -> None:
        """Those of the start are over, and watches have not listed lately: what heals now was told of by a watch."""
        eventually(lambda: time.time() - self.operator.metric(LAST_SWEEP) > GAP_SECONDS + 1, within=30)

    def deleted(self, *, since: float = 0.0) -> list[str]:
        """The names of what it has asked to delete; ``since`` is a time.monotonic()."""
        return [asked.path.rpartition("/")[2] for asked in self.proxy.writes(since=since) if asked.verb == "delete"]

    def is_well(self) -> None:
        """It runs on, and ends when it is told to; and a fresh operator, which goes straight to the API server, has
        nothing to write any more."""
        assert self.operator.process.poll() is None, processes.tail(self.operator.log)
        assert self.operator.stop()[0] == 0
        assert self._written_often() == {}
        since = len(self.plane.writes(user=USER))
        fresh = Operator(self.plane, name="fresh")
        try:
            fresh.wait_ready()
            places = {body["metadata"]["namespace"] for body in self.plane.rest.list(APP_CONNECTIVITY)}
            eventually(lambda: fresh.is_at_rest(passes=len(places)), what="all is looked at")
        finally:
            fresh.stop()
        written = [f"{w['verb']} {w['requestURI']}" for w in self.plane.writes(user=USER, since=since)]
        assert written == []

    def _written_often(self) -> dict[str, int]:
        """Policies that it asked to be written more often than any fault is a reason for, by their paths."""
        asked = Counter(asked.path for asked in self.proxy.writes() if "/networkpolicies/" in asked.path)
        return {path: count for path, count in asked.items() if count > MOST_WRITES}


def connect_at_rest(patient: Patient, team: Team) -> None:
    """One flow, whose policies only watches look after from now on."""
    team.connect("shop", flow("frontend", "api", 8080))
    team.wait_ready()
    patient.wait_until_no_sweep_is_near()


@pytest.fixture
def new_patient(installed: ControlPlane, proxy: FaultProxy) -> Iterator[Callable[..., Patient]]:
    """Starts one with options, and with a sabotage."""
    made: list[Patient] = []

    def make(*options: str, sabotage: str = "", by: Callable[[Path], Path] = proxy.kubeconfig) -> Patient:
        made.append(Patient(lambda: Operator(installed, *options, by=by, sabotage=sabotage), proxy, installed))
        made[-1].operator.wait_ready()
        return made[-1]

    yield make
    for patient in made:
        if patient.operator.process.poll() is None:
            patient.operator.stop()


@pytest.fixture
def new_other(installed: ControlPlane) -> Iterator[Callable[..., Operator]]:
    """Starts an operator beside it, which goes straight to the API server."""
    made: list[Operator] = []

    def make(*options: str) -> Operator:
        made.append(Operator(installed, *options, name="other"))
        return made[-1]

    yield make
    for other in made:
        other.stop()


@pytest.fixture
def patient(new_patient: Callable[..., Patient]) -> Patient:
    return new_patient()


@pytest.fixture(autouse=True)
def between(installed: ControlPlane, proxy: FaultProxy, team: Team) -> Iterator[None]:
    """No flow that is declared is cut meanwhile, and nothing is opened that was never declared."""
    watched = Between(installed, team.namespace)
    yield
    watched.close()
    assert watched.story.wrongs(proxy.log) == []


@pytest.fixture(autouse=True)
def bystander(team: Team) -> Iterator[None]:
    """A policy of somebody else in the team's namespace, which nothing touches whatever happens."""
    team.apply(BYSTANDER)
    before = team.get("networkpolicy", "bystander")
    yield
    assert team.get("networkpolicy", "bystander") == before
