"""Fixtures that every test may ask for. The control plane is started once a session, and only when asked for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cluster.controlplane import ControlPlane


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    with ControlPlane() as plane:
        yield plane
