"""The wire lab with the operator running in it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from cluster import processes
from cluster.operator import Operator, install
from cluster.wire.lab import WireLab, unable

REQUIRED = "TESTS_REQUIRE"
# Long enough for the enforcer of one node. Only tests of what is cut meanwhile set their module's ADOPTION to it: the
# others are about what holds afterwards.
ADOPTION = ("--adoption-seconds", "2")
_DNS = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "kube-dns", "namespace": "kube-system"},
    "spec": {
        "selector": {"k8s-app": "kube-dns"},
        "ports": [
            {"name": "dns", "port": 53, "protocol": "UDP"},
            {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
        ],
    },
}


@pytest.fixture(scope="session")
def running_lab(say: Callable[[str], None]) -> Iterator[WireLab]:
    refusal = unable()
    if refusal and "wire" in os.environ.get(REQUIRED, ""):
        pytest.fail(f"{refusal} ({REQUIRED} says that it must run here)")
    if refusal:
        pytest.skip(refusal)
    with WireLab() as lab:
        with lab.node.entered():
            install(lab.plane)
            lab.apply(_DNS)
        yield lab
        say(f"[wire] {lab.second_looks} tables needed another look, since a door was still shut")


@pytest.fixture
def bare_lab(running_lab: WireLab) -> Iterator[WireLab]:
    """The lab without an operator; the test runs inside the node, where the control plane is."""
    with running_lab.node.entered():
        yield running_lab


@pytest.fixture(scope="module")
def running_operator(running_lab: WireLab, request: pytest.FixtureRequest) -> Iterator[Operator]:
    with running_lab.node.entered():
        running = Operator(running_lab.plane, *getattr(request.module, "ADOPTION", ()))
        running.wait_ready()
    yield running
    with running_lab.node.entered():
        code, _ = running.stop()
    assert code == 0, processes.tail(running.log)


@pytest.fixture
def lab(bare_lab: WireLab, running_operator: Operator) -> Iterator[WireLab]:
    """The lab with the operator at work, and empty again after the test."""
    yield bare_lab
    bare_lab.clear()
