"""An operator behind a proxy that makes faults, on a control plane of these tests' own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from cluster import processes
from cluster.controlplane import ControlPlane
from cluster.faults import FaultProxy
from cluster.operator import USER, Operator, install
from e2e.conftest import new_team, team

__all__ = ["new_team", "team"]  # fixtures: namespaces of ``installed``


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
    """The operator on whom the faults are tried."""

    operator: Operator
    proxy: FaultProxy
    plane: ControlPlane

    def is_well(self) -> None:
        """It runs on; and when it has ended, a fresh operator, which goes straight to the API server, has nothing
        to write any more."""
        assert self.operator.process.poll() is None, processes.tail(self.operator.log)
        self.operator.stop()
        since = len(self.plane.writes(user=USER))
        fresh = Operator(self.plane, name="fresh")
        fresh.wait_ready()
        time.sleep(1)
        fresh.stop()
        written = [f"{w['verb']} {w['requestURI']}" for w in self.plane.writes(user=USER, since=since)]
        assert written == []


@pytest.fixture
def patient(installed: ControlPlane, proxy: FaultProxy) -> Iterator[Patient]:
    running = Operator(installed, by=proxy.kubeconfig)
    running.wait_ready()
    yield Patient(running, proxy, installed)
    if running.process.poll() is None:
        running.stop()
