"""The node as tests use it, from outside of its namespaces."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cluster import binaries
from cluster.realnode import cgroups, layout

TESTS = Path(__file__).resolve().parents[2]
_PROGRAMS = ("ip", "iptables", "ipset", "conntrack", "runc", "unshare", "nsenter", "setpriv")
_PLUGINS = ("ptp", "host-local", "loopback")
_STOP_SECONDS = 60


class Unavailable(Exception):
    """This machine can't run a node. The text is one sentence that says why, and what to do."""


class RealNode:
    """Up when constructed; ``close`` (or leaving the context) removes every trace of it.

    Raises Unavailable, MissingBinaries, or RuntimeError with what the node printed.
    """

    def __init__(self) -> None:
        prepare()
        self._kubectl = binaries.find().kubectl
        self._ctr = binaries.programs("node")["ctr"]
        self._supervisor = subprocess.Popen(
            [sys.executable, "-m", "cluster.realnode.supervisor"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(TESTS)},
            start_new_session=True,
        )
        facts = self._await_facts()
        self.pid, self.directory = int(facts["pid"]), Path(facts["directory"])
        self.kubeconfig = self.directory / "admin.kubeconfig"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def _await_facts(self) -> dict[str, Any]:
        assert self._supervisor.stdout is not None
        try:
            line = self._supervisor.stdout.readline()
        except BaseException:
            self.close()
            raise
        if not line:
            raise RuntimeError(f"the node did not start:\n{self.close()[-4000:]}")
        facts: dict[str, Any] = json.loads(line)
        return facts

    def inside(self, *command: str | Path) -> list[str]:
        """The command line that runs ``command`` in the node's namespaces. Paths must be absolute."""
        enter = ["nsenter", "--target", str(self.pid), "--mount", "--net", "--uts", "--ipc", "--pid", "--"]
        return [*enter, *map(str, command)]

    def kubectl_command(self, *arguments: str | Path) -> list[str]:
        """The command line of kubectl as cluster-admin."""
        return self.inside(self._kubectl, "--kubeconfig", self.kubeconfig, *arguments)

    def kubectl(
        self,
        *arguments: str | Path,
        input: str | None = None,  # noqa: A002 - as subprocess.run calls it
        check: bool = True,
        timeout: float = 120,
    ) -> subprocess.CompletedProcess[str]:
        """Runs kubectl as cluster-admin. Raises RuntimeError with its stderr if it fails."""
        return _run(self.kubectl_command(*arguments), input=input, check=check, timeout=timeout)

    def import_image(self, archive: Path) -> None:
        """Makes an image known to the node, under the name that the archive gives it."""
        address = f"--address={layout.CONTAINERD_SOCKET}"
        command = self.inside(self._ctr, address, "--namespace=k8s.io", "images", "import", "--local", archive)
        _run(command, input=None, check=True, timeout=120)

    def close(self) -> str:
        """Ends the node; returns what it had to complain about."""
        _, complaints = self._supervisor.communicate(timeout=_STOP_SECONDS)
        return complaints


def _run(
    command: list[str],
    *,
    input: str | None,  # noqa: A002 - as subprocess.run calls it
    check: bool,
    timeout: float,
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, input=input, capture_output=True, text=True, timeout=timeout, check=False)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done


def prepare() -> None:
    """All that a node needs is there, or built now (minutes, with progress on stderr).

    Raises Unavailable or MissingBinaries.
    """
    require()
    for group in ("control-plane", "node", "enforcer", "agent"):
        binaries.programs(group)


def require() -> None:
    """Raises Unavailable where this machine can't run a node."""
    if os.geteuid() != 0:
        raise Unavailable("a node needs root, for namespaces and control groups of its own: run it as root")
    absent = [name for name in _PROGRAMS if shutil.which(name) is None]
    absent += [f"{layout.PLUGINS}/{name}" for name in _PLUGINS if not (Path(layout.PLUGINS) / name).exists()]
    if absent:
        raise Unavailable(f"a node needs {', '.join(absent)}: `make packages` installs them")
    if lacking := cgroups.missing():
        raise Unavailable(f"a node needs {lacking}")
