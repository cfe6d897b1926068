"""Fixtures that every test may ask for. The control plane is started once a session, and only when asked for."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Iterator

import hypothesis
import pytest

from cluster.controlplane import ControlPlane

# No example fails for being slow: on a busy machine any of them may be.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


def pytest_configure() -> None:
    """SIGTERM ends the session as Ctrl-C does: with fixtures torn down, so that nothing stays behind."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    with ControlPlane() as plane:
        yield plane


@pytest.fixture
def namespace(control_plane: ControlPlane) -> Iterator[str]:
    """A fresh namespace; its deletion is not waited for."""
    name = f"test-{uuid.uuid4().hex[:10]}"
    control_plane.kubectl("create", "namespace", name)
    yield name
    control_plane.kubectl("delete", "namespace", name, "--wait=false")
