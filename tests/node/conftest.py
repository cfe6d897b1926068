"""One node for the session, the operator on it as its users run it, and a shop of real pods."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.binaries import MissingBinaries
from cluster.realnode import debian, dockerfile, traces
from cluster.realnode.node import RealNode, Unavailable, prepare
from node.shop import Shop

ROOT = Path(__file__).resolve().parents[2]
# The name that manifests/base has, so that they can be applied as they are.
IMAGE = "ghcr.io/appconnectivity/appconnectivity:0.1.0"
OPERATOR_NAMESPACE = "appconnectivity-system"


@pytest.fixture(scope="session")
def able(request: pytest.FixtureRequest) -> None:
    """The machine can run a node, and its programs are there: built, where they have to be, for all to see."""
    try:
        with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            prepare()
    except (Unavailable, MissingBinaries) as reason:
        if "node" in os.environ.get("TESTS_REQUIRE", ""):
            pytest.fail(str(reason))
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def node(able: None) -> Iterator[RealNode]:
    """A node of the session's own, and the proof that nothing of it stays."""
    before = traces.of_machine()
    with RealNode() as running:
        namespace = traces.pid_namespace(running.pid)
        yield running
    assert not running.directory.parent.exists()
    assert traces.processes_in(namespace) == []
    assert traces.of_machine() == before


@pytest.fixture(scope="session")
def operator(node: RealNode, tmp_path_factory: pytest.TempPathFactory) -> RealNode:
    """The node with the operator on it: its own Dockerfile, its own manifests, nothing changed."""
    work = tmp_path_factory.mktemp("image")
    build = dockerfile.Build(context=ROOT, base=debian.python_base(), work=work)
    node.import_image(build.image(work / "operator.tar", name=IMAGE))
    node.kubectl("apply", "--server-side", "-k", ROOT / "manifests" / "base")
    node.kubectl("rollout", "status", "deployment/appconnectivity", "-n", OPERATOR_NAMESPACE, "--timeout=90s")
    return node


@pytest.fixture(scope="session")
def open_shop(operator: RealNode) -> Shop:
    shop = Shop(operator)
    shop.install()
    return shop


@pytest.fixture
def connected_shop(open_shop: Shop) -> Iterator[Shop]:
    open_shop.connect()
    yield open_shop
    open_shop.disconnect()
