"""What makes the node's namespaces a machine of their own: its file system, kernel settings and network."""

from __future__ import annotations

import subprocess
from pathlib import Path

from cluster.realnode import layout

# The kernel has these once for all namespaces, and the kubelet sets them: it gets files in their place.
_SHARED_SETTINGS = (
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)
_NETWORK = f"""
ip link set lo up
ip netns add {layout.OUTSIDE}
ip link add node0 type veth peer name gateway netns {layout.OUTSIDE}
ip address add {layout.NODE_ADDRESS}/24 dev node0
ip link set node0 up
ip -n {layout.OUTSIDE} link set lo up
ip -n {layout.OUTSIDE} address add {layout.OUTSIDE_ADDRESS}/32 dev lo
ip -n {layout.OUTSIDE} address add {layout.GATEWAY}/24 dev gateway
ip -n {layout.OUTSIDE} link set gateway up
ip -n {layout.OUTSIDE} route add {layout.POD_NETWORK} via {layout.NODE_ADDRESS}
ip route add default via {layout.GATEWAY}
"""


def set_up(directory: Path) -> None:
    """File system, settings and network, for a process with mount, network, UTS and IPC namespaces of its own."""
    _run("mount", "--make-rshared", "/")
    _shadow_folders(directory)
    _shadow_settings(directory)
    _run("hostname", layout.NODE)
    for line in _NETWORK.strip().splitlines():
        _run(*line.split())
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


def _shadow_folders(directory: Path) -> None:
    """/etc and /var can be written, and the machine's own stay as they are; /run starts empty."""
    for name in ("etc", "var"):
        upper, work = directory / name, directory / f"{name}.work"
        upper.mkdir()
        work.mkdir()
        _run("mount", "-t", "overlay", "-o", f"lowerdir=/{name},upperdir={upper},workdir={work}", name, f"/{name}")
    _run("mount", "-t", "tmpfs", "run", "/run")
    # The machine's name servers are of no use here: there is no way to them.
    for name in ("etc/resolv.conf", "etc/hosts"):
        path = Path("/") / name
        path.unlink(missing_ok=True)
        path.write_text(f"127.0.0.1 localhost\n{layout.NODE_ADDRESS} {layout.NODE}\n" if name == "etc/hosts" else "")


def _shadow_settings(directory: Path) -> None:
    for name in _SHARED_SETTINGS:
        real, shadow = Path("/proc/sys") / name, directory / "settings" / name
        shadow.parent.mkdir(parents=True, exist_ok=True)
        shadow.write_text(real.read_text())
        _run("mount", "--bind", str(shadow), str(real))


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
