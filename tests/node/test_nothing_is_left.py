"""A node leaves nothing on its machine, however its owner ends: no process, mount, interface, setting."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from cluster.realnode import traces
from cluster.realnode.node import TESTS

_GONE_SECONDS = 20


@dataclass(frozen=True)
class Started:
    """A node of another process: its owner, the folder that it writes to, its PID namespace."""

    owner: subprocess.Popen[str]
    folder: Path
    namespace: str

    @property
    def supervisor(self) -> int:
        return int(self.folder.name.rpartition("-")[2])


@contextmanager
def node_of_another_process() -> Iterator[Started]:
    command = [sys.executable, "-m", "cluster", "node"]
    environment = os.environ | {"PYTHONPATH": str(TESTS)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as owner:
        try:
            assert owner.stdout is not None
            words = shlex.split(owner.stdout.readline().removeprefix("alias kubectl=").strip("\n'"))
            pid, kubeconfig = words[words.index("--target") + 1], words[words.index("--kubeconfig") + 1]
            yield Started(owner=owner, folder=Path(kubeconfig).parents[1], namespace=traces.pid_namespace(int(pid)))
        finally:
            owner.kill()


def wait_until_gone(node: Started) -> None:
    end = time.monotonic() + _GONE_SECONDS
    while (traces.processes_in(node.namespace) or node.folder.exists()) and time.monotonic() < end:
        time.sleep(0.1)
    assert traces.processes_in(node.namespace) == []
    assert not node.folder.exists()


@pytest.mark.parametrize(
    "ended_by",
    [pytest.param(signal.SIGINT, id="Ctrl-C"), pytest.param(signal.SIGKILL, id="killed")],
)
def test_nothing_is_left_however_the_owner_ends(able: None, ended_by: signal.Signals) -> None:
    before = traces.of_machine()

    with node_of_another_process() as node:
        assert len(traces.processes_in(node.namespace)) > 10
        assert traces.of_machine()["control groups"] != before["control groups"]
        node.owner.send_signal(ended_by)
        node.owner.wait(timeout=60)

    wait_until_gone(node)
    assert traces.of_machine() == before


def test_where_the_supervisor_is_killed_all_processes_end_and_the_next_node_takes_the_rest(able: None) -> None:
    before = traces.of_machine()

    with node_of_another_process() as node:
        os.kill(node.supervisor, signal.SIGKILL)
        end = time.monotonic() + _GONE_SECONDS
        while traces.processes_in(node.namespace) and time.monotonic() < end:
            time.sleep(0.1)
        assert traces.processes_in(node.namespace) == []
        assert node.folder.exists()
    with node_of_another_process() as following:
        assert not node.folder.exists()
        following.owner.send_signal(signal.SIGINT)
        following.owner.wait(timeout=60)

    wait_until_gone(following)
    assert traces.of_machine() == before
