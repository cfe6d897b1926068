"""Control groups of one node: made by the supervisor, entered by the node, seen there as if they were the root."""

from __future__ import annotations

import contextlib
import ctypes
import os
import time
from pathlib import Path

PREFIX = "appconnectivity-node-"
_MOUNTED = Path("/sys/fs/cgroup")
_NEW_CGROUP_NAMESPACE = 0x02000000
# Version 1 has a hierarchy for each, version 2 one for all.
_SEPARATE = ("cpu", "cpuacct", "cpuset", "memory", "pids", "devices", "freezer", "blkio")
_UNIFIED = ("cpu", "memory", "pids")
_REMOVE_SECONDS = 20


def missing() -> str:
    """What the machine lacks, as half a sentence; empty if nothing."""
    if _is_unified():
        handed_down = (_MOUNTED / "cgroup.subtree_control").read_text().split()
        absent = [name for name in _UNIFIED if name not in handed_down]
    else:
        absent = [name for name in _SEPARATE if not (_MOUNTED / name / "cgroup.procs").exists()]
    if absent:
        return f"the control groups {', '.join(absent)} below {_MOUNTED}"
    return "" if all(os.access(hierarchy, os.W_OK) for hierarchy in _hierarchies()) else f"{_MOUNTED} to be writable"


def create(name: str) -> None:
    """Makes a group of that name in each hierarchy."""
    for hierarchy in _hierarchies():
        (hierarchy / name).mkdir()
        if hierarchy.name == "cpuset":
            for setting in ("cpuset.cpus", "cpuset.mems"):
                (hierarchy / name / setting).write_text((hierarchy / setting).read_text())
            (hierarchy / name / "cgroup.clone_children").write_text("1")


def enter(name: str) -> None:
    """Moves this process into the groups and makes them the root of all that it and its children see.

    Needs a mount namespace of its own.
    """
    hierarchies = _hierarchies()
    for hierarchy in hierarchies:
        (hierarchy / name / "cgroup.procs").write_text("0")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_CGROUP_NAMESPACE):
        raise OSError(ctypes.get_errno(), "unshare of the control groups")
    unified = _is_unified()
    # Also where cgroup2 follows: the kernel mounts nothing twice in one place.
    _mount(libc, "tmpfs", _MOUNTED, "")
    if unified:
        _mount(libc, "cgroup2", _MOUNTED, "")
        _leave_the_root()
        return
    for hierarchy in hierarchies:
        hierarchy.mkdir()
        _mount(libc, "cgroup", hierarchy, hierarchy.name if hierarchy.name != "systemd" else "none,name=systemd")


def remove(name: str) -> None:
    """Removes the groups as soon as their last process has ended; raises TimeoutError if that takes too long."""
    end = time.monotonic() + _REMOVE_SECONDS
    while left := [group for group in existing() if group.name == name]:
        for group in left:
            for folder in [*sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True), group]:
                with contextlib.suppress(OSError):
                    folder.rmdir()
        if time.monotonic() > end:
            raise TimeoutError(f"control groups still in use: {', '.join(map(str, left))}")
        time.sleep(0.05)


def existing() -> list[Path]:
    """The groups of all nodes on this machine."""
    return [group for hierarchy in _hierarchies() for group in hierarchy.glob(f"{PREFIX}*")]


def _is_unified() -> bool:
    return (_MOUNTED / "cgroup.controllers").exists()


def _hierarchies() -> list[Path]:
    if _is_unified():
        return [_MOUNTED]
    names = (*_SEPARATE, "systemd")
    return [_MOUNTED / name for name in names if (_MOUNTED / name / "cgroup.procs").exists()]


def _leave_the_root() -> None:
    """In version 2 a group that hands controllers down has no processes itself."""
    (_MOUNTED / "init").mkdir()
    (_MOUNTED / "init" / "cgroup.procs").write_text("0")
    controllers = (_MOUNTED / "cgroup.controllers").read_text().split()
    (_MOUNTED / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in controllers))


def _mount(libc: ctypes.CDLL, kind: str, target: Path, options: str) -> None:
    if libc.mount(os.fsencode(kind), os.fsencode(target), os.fsencode(kind), 0, os.fsencode(options)):
        raise OSError(ctypes.get_errno(), f"mount of {kind} at {target}")
