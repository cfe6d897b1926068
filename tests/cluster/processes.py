"""Child processes that never outlive their parent, however it ends."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

_STOP_SECONDS = 10


def free_ports(count: int) -> list[int]:
    """Ports on loopback that were free a moment ago, chosen by the system, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for entry in sockets:
            entry.bind(("127.0.0.1", 0))
        return [int(entry.getsockname()[1]) for entry in sockets]
    finally:
        for entry in sockets:
            entry.close()


def dying_with_us() -> list[str]:
    """Goes before a command, so that the kernel kills it when we die.

    Linux's own way, where util-linux is there; elsewhere a SIGKILL of the parent leaves its children running.
    """
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL"] if setpriv else []


def start(
    command: Sequence[str | Path], *, log: Path, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Starts it in a session of its own (Ctrl-C goes to us alone), to be killed by the kernel when we die."""
    with log.open("ab") as output:
        return subprocess.Popen(
            [*dying_with_us(), *(str(part) for part in command)],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment,
            cwd=log.parent,
            start_new_session=True,
        )


def stop(process: subprocess.Popen[bytes], *, grace: float = _STOP_SECONDS) -> int:
    """SIGTERM, and SIGKILL after ``grace`` seconds; returns the exit code."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout=grace)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()


def tail(log: Path, *, lines: int = 15) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else ""
