"""The API server with the CRD installed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cluster.controlplane import ControlPlane
from crd.schema import FILE
from crd.server import Server


@pytest.fixture(scope="session")
def with_crd(control_plane: ControlPlane) -> ControlPlane:
    control_plane.kubectl("apply", "--server-side", "-f", FILE)
    control_plane.kubectl("wait", "--for=condition=Established", "crd/appconnectivities.appconnectivity.io")
    return control_plane


@pytest.fixture(scope="session")
def server(with_crd: ControlPlane) -> Iterator[Server]:
    asked = Server(with_crd)
    yield asked
    asked.close()
