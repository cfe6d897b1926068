"""An operator among bad objects, on a control plane of these tests' own: they take its CRDs away."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from cluster.controlplane import ControlPlane
from cluster.operator import Operator, install
from cluster.rest import Rest
from fuzz import crds
from fuzz.patient import Patient, Trials


@pytest.fixture(scope="session")
def installed() -> Iterator[ControlPlane]:
    with ControlPlane() as own:
        install(own)
        for name in ("canary", "data", "ops"):
            own.kubectl("create", "namespace", name)
        yield own


@pytest.fixture
def trials(installed: ControlPlane) -> Iterator[Trials]:
    rest = Rest(installed)
    made = Trials(rest)
    yield made
    crds.put(installed, rest, *crds.TODAY)
    made.clear()
    rest.close()


@pytest.fixture
def new_patient(installed: ControlPlane) -> Iterator[Callable[[], Patient]]:
    """Starts an operator."""
    made: list[Patient] = []

    def start() -> Patient:
        running = Operator(installed)
        running.wait_ready()
        made.append(Patient(running))
        return made[-1]

    yield start
    for patient in made:
        patient.operator.stop()


@pytest.fixture
def patient(new_patient: Callable[[], Patient]) -> Patient:
    return new_patient()
