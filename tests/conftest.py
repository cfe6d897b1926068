"""Fixtures that every test may ask for, and how tests are shared out where several processes run them (`make test`).

The control plane is started once in each of these processes, and only when asked for.
"""

from __future__ import annotations

import signal
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling

from cluster.controlplane import ControlPlane

# By how long they take; what is not named here is over in seconds, and goes last.
_LONG = ("wire", "oracle", "soak", "faults", "fuzz", "e2e")

# No example fails for being slow: on a busy machine any of them may be.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


def pytest_configure() -> None:
    """SIGTERM ends the session as Ctrl-C does: with fixtures torn down, so that nothing stays behind."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


class _ByFile(LoadScopeScheduling):  # type: ignore[misc]  # its package has no types
    """A process takes a file's tests, as many as share fixtures; all those on the wire, which share the lab."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "tests/wire" if file.startswith("tests/wire/") else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    config.option.loadscopereorder = False
    return _ByFile(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Long ones first, where several processes run them: so that all are done at about the same time."""
    if hasattr(config, "workerinput"):
        items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    folder = item.path.relative_to(Path(__file__).parent).parts[0]
    return _LONG.index(folder) if folder in _LONG else len(_LONG)


@pytest.fixture(scope="session")
def say(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Tells whoever runs the tests what was found; on stderr, which all processes of a session have in common."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def tell(text: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n{text}", file=sys.stderr, flush=True)

    return tell


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
