"""What a node could leave on the machine that it ran on."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

from cluster.realnode import cgroups

# Counters, and what the kernel sizes by what is going on.
_RESTLESS = re.compile(r"fs/(dentry|inode|file-nr|aio-nr|quota)|kernel/(random|ns_last_pid|pty/nr)|\w+_count$|nr_\w+$")


def of_machine() -> dict[str, object]:
    """Mounts, control groups, interfaces, packet filters and kernel settings, as they are now. Needs root."""
    return {
        "mounts": sorted(Path("/proc/self/mountinfo").read_text().splitlines()),
        "control groups": sorted(map(str, cgroups.existing())),
        "interfaces": sorted(link["ifname"] for link in json.loads(_output("ip", "-json", "link") or "[]")),
        "network namespaces": _output("ip", "netns"),
        "iptables": _filters("iptables-save"),
        "ip6tables": _filters("ip6tables-save"),
        "ipsets": _output("ipset", "list", "-name"),
        "settings": _settings(),
    }


def pid_namespace(pid: int) -> str:
    return str(Path(f"/proc/{pid}/ns/pid").readlink())


def processes_in(namespace: str) -> list[int]:
    """The processes of a PID namespace, by their numbers in ours."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if pid_namespace(int(folder.name)) == namespace:
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def _filters(command: str) -> list[str]:
    """Chains and rules, without comments and counters."""
    lines = (line for line in _output(command).splitlines() if not line.startswith("#"))
    return [re.sub(r" ?\[\d+:\d+\] ?", "", line) for line in lines]


def _settings() -> dict[str, str]:
    found = {}
    for path in Path("/proc/sys").rglob("*"):
        name = str(path.relative_to("/proc/sys"))
        if path.is_file() and not _RESTLESS.search(name):
            try:
                found[name] = path.read_text()
            except (OSError, UnicodeDecodeError):
                continue
    return found


def _output(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return ""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout
