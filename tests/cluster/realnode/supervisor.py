"""Runs one node and removes every trace of it, however its owner ends: it alone outlives the owner, for a moment.

The owner holds the other end of its standard input. When that closes, by intent or because the owner was killed, the
node ends. What it prints: one line of JSON when the node is ready, {"pid": of its process 1, "directory": ...}.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from cluster.realnode import cgroups


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    _remove_stale()
    name = f"{cgroups.PREFIX}{os.getpid()}"
    try:
        folder(name).mkdir(mode=0o700)
        _lock(folder(name))
        cgroups.create(name)
        with _node(name) as node:
            try:
                _attend(node)
            finally:
                _end(node)
        return node.returncode
    except KeyboardInterrupt:
        return 0
    finally:
        _remove(name)


def folder(name: str) -> Path:
    """Where a node of that name keeps all that it writes."""
    return Path(tempfile.gettempdir()) / name


def _remove(name: str) -> None:
    cgroups.remove(name)
    shutil.rmtree(folder(name), ignore_errors=True)


def _remove_stale() -> None:
    """What is left of nodes whose supervisor itself was killed: empty groups, and a folder."""
    for path in folder("").glob(f"{cgroups.PREFIX}*"):
        with contextlib.suppress(BlockingIOError):
            _lock(path)
            _remove(path.name)


def _lock(path: Path) -> None:
    """Held until this process ends, however it ends. Raises BlockingIOError while another process holds it."""
    fcntl.flock(os.open(path, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)


def _node(name: str) -> subprocess.Popen[str]:
    """Its process 1 dies with ``unshare`` (--kill-child), and that dies with us."""
    command = [
        *("setpriv", "--pdeathsig", "KILL"),
        *("unshare", "--mount", "--pid", "--net", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc"),
        *("--propagation", "private"),
        *(sys.executable, "-m", "cluster.realnode.init", str(folder(name)), name),
    ]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)


def _attend(node: subprocess.Popen[str]) -> None:
    """Returns when the owner is gone or the node has ended."""
    assert node.stdout is not None
    waiting = [sys.stdin, node.stdout]
    while True:
        ready, _, _ = select.select(waiting, [], [])
        if sys.stdin in ready:
            return
        line = node.stdout.readline().strip()
        if not line:
            return
        print(json.dumps({"pid": _children(node.pid)[0], "directory": line}), flush=True)


def _end(node: subprocess.Popen[str]) -> None:
    """Its process 1 first: then ``unshare`` takes note of its end, and not even a zombie stays."""
    for pid in _children(node.pid):
        os.kill(pid, signal.SIGKILL)
    node.wait()


def _children(pid: int) -> list[int]:
    """None if it has ended."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


if __name__ == "__main__":
    sys.exit(main())
