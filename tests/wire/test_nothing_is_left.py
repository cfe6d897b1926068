"""A lab leaves nothing on its machine, however its owner ends: no process, interface, packet filter, namespace."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from cluster.realnode import traces
from cluster.wire.lab import WireLab
from test_control_plane import TESTS, children, is_running, wait_for

PROGRAMS = 4
LAB = """
import signal
from cluster.wire.lab import WireLab
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, signal.default_int_handler)
try:
    with WireLab() as lab:
        lab.plug([("host:one", ("203.0.113.1",))], ports=[80])
        print(lab.plane.directory, flush=True)
        signal.pause()
except KeyboardInterrupt:
    pass
"""


@dataclass(frozen=True)
class Started:
    """A lab of another process: its owner, its folder, its programs."""

    owner: subprocess.Popen[str]
    folder: Path
    pids: list[int]


@contextmanager
def lab_of_another_process() -> Iterator[Started]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in (str(TESTS), *sys.path) if path)}
    with subprocess.Popen([sys.executable, "-c", LAB], env=environment, stdout=subprocess.PIPE, text=True) as owner:
        try:
            assert owner.stdout is not None
            folder = Path(owner.stdout.readline().strip())
            yield Started(owner, folder, children(owner.pid))
        finally:
            owner.kill()


def of_host() -> dict[str, object]:
    kept = ("mounts", "interfaces", "network namespaces", "iptables", "ip6tables", "ipsets")
    return {what: found for what, found in traces.of_machine().items() if what in kept}


@pytest.mark.parametrize(
    ("ended_by", "cleans_up"),
    [
        pytest.param(signal.SIGINT, True, id="Ctrl-C"),
        pytest.param(signal.SIGTERM, True, id="terminated"),
        pytest.param(signal.SIGKILL, False, id="killed"),
    ],
)
def test_nothing_is_left_however_the_owner_ends(
    running_lab: WireLab, ended_by: signal.Signals, cleans_up: bool
) -> None:
    before = of_host()

    with lab_of_another_process() as lab:
        namespaces = {Path(f"/proc/{pid}/ns/net").readlink() for pid in lab.pids}
        assert len(lab.pids) == PROGRAMS
        assert namespaces.isdisjoint({Path("/proc/self/ns/net").readlink()})
        assert of_host() == before
        lab.owner.send_signal(ended_by)
        lab.owner.wait(timeout=60)

    assert wait_for(lambda: not any(is_running(pid) for pid in lab.pids))
    assert wait_for(lambda: namespaces.isdisjoint(held_by_processes()))
    assert of_host() == before
    assert lab.folder.exists() is not cleans_up
    subprocess.run(["rm", "-rf", lab.folder], check=True)


def held_by_processes() -> set[Path]:
    """The network namespaces that some process is in."""
    found = set()
    for link in Path("/proc").glob("[0-9]*/ns/net"):
        try:
            found.add(link.readlink())
        except OSError:
            continue
    return found
