"""Programs of the tests: from KUBEBUILDER_ASSETS, else the cache, else built from Go modules into the cache.

They come in groups, each with its own cache folder: a test builds only what it needs.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_HERE = Path(__file__).parent
_HEARTBEAT_SECONDS = 15


class MissingBinaries(Exception):
    """There is no way to get the programs. The text says how to get one."""


@dataclass(frozen=True)
class Tool:
    """A program, and the Go module (a folder here) and package that it is built from."""

    name: str
    module: str
    package: str
    tags: str = ""


_CONTAINERD = "github.com/containerd/containerd/v2/cmd"
# Static, and without the snapshotters that need C libraries.
_CONTAINERD_TAGS = "no_btrfs,no_devmapper,no_zfs,netgo,osusergo,static_build"
GROUPS = {
    "control-plane": (
        Tool("etcd", "etcd", "go.etcd.io/etcd/server/v3"),
        Tool("kube-apiserver", "controlplane", "k8s.io/kubernetes/cmd/kube-apiserver"),
        Tool("kube-controller-manager", "controlplane", "k8s.io/kubernetes/cmd/kube-controller-manager"),
        Tool("kubectl", "controlplane", "k8s.io/kubernetes/cmd/kubectl"),
    ),
    "enforcer": (Tool("kube-router", "enforcer", "github.com/cloudnativelabs/kube-router/v2/cmd/kube-router"),),
    "node": (
        Tool("kubelet", "controlplane", "k8s.io/kubernetes/cmd/kubelet"),
        Tool("kube-scheduler", "controlplane", "k8s.io/kubernetes/cmd/kube-scheduler"),
        Tool("kube-proxy", "controlplane", "k8s.io/kubernetes/cmd/kube-proxy"),
        Tool("containerd", "containerd", f"{_CONTAINERD}/containerd", tags=_CONTAINERD_TAGS),
        Tool("containerd-shim-runc-v2", "containerd", f"{_CONTAINERD}/containerd-shim-runc-v2", tags=_CONTAINERD_TAGS),
        Tool("ctr", "containerd", f"{_CONTAINERD}/ctr", tags=_CONTAINERD_TAGS),
        Tool("coredns", "coredns", "."),
    ),
    "agent": (Tool("agent", "agent", "."),),
    "oracle": (Tool("cyclonus", "cyclonus", "."),),
}


@dataclass(frozen=True)
class Binaries:
    """Paths of the control plane's programs."""

    etcd: Path
    kube_apiserver: Path
    kube_controller_manager: Path
    kubectl: Path


def find() -> Binaries:
    """The control plane's programs, as ``programs`` finds them. Raises MissingBinaries."""
    return Binaries(**{name.replace("-", "_"): path for name, path in programs("control-plane").items()})


def programs(group: str) -> dict[str, Path]:
    """A group's programs by name, built first where they have to be (minutes, with progress on stderr).

    Raises MissingBinaries.
    """
    tools = GROUPS[group]
    cache = _cache_folder(tools)
    missing = [tool for tool in tools if _asset(tool) is None and not (cache / tool.name).exists()]
    if missing:
        _build(missing, cache=cache)
    return {tool.name: _asset(tool) or cache / tool.name for tool in tools}


def _asset(tool: Tool) -> Path | None:
    folder = os.environ.get("KUBEBUILDER_ASSETS")
    path = Path(folder or "/nonexistent") / tool.name
    return path if path.exists() else None


def _cache_folder(tools: tuple[Tool, ...]) -> Path:
    """One folder for each set of module versions, so that an update never runs old programs."""
    modules = sorted({tool.module for tool in tools})
    pinned = [path for module in modules for name in ("go.mod", "go.sum", "*.go") for path in _files(module, name)]
    text = b"".join(path.read_bytes() for path in pinned) + f"{platform.system()}/{platform.machine()}".encode()
    return cache_root() / hashlib.sha256(text).hexdigest()[:16]


def _files(module: str, pattern: str) -> list[Path]:
    return sorted((_HERE / module).glob(pattern))


def cache_root() -> Path:
    """Where all that is built once is kept."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "appconnectivity" / "testbed"


def _build(tools: list[Tool], *, cache: Path) -> None:
    go = shutil.which("go")
    if go is None:
        names = ", ".join(tool.name for tool in tools)
        raise MissingBinaries(
            f"{names}: not there, and no Go to build them: install Go 1.26 or newer, or set KUBEBUILDER_ASSETS to a"
            " folder that has them (setup-envtest fetches the control plane's)"
        )
    cache.mkdir(parents=True, exist_ok=True)
    with _lock(cache / "lock"):
        for tool in tools:
            if not (cache / tool.name).exists():
                _build_one(tool, go=go, cache=cache)


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """So that two runs at once build each program once."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say(f"another run builds the programs into {path.parent}; waiting for it ...")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build_one(tool: Tool, *, go: str, cache: Path) -> None:
    partial = cache / f".{tool.name}.partial"
    options = ["-buildvcs=false", "-tags", tool.tags, "-ldflags", _linker_flags(tool)]
    command = [go, "build", *options, "-o", str(partial), tool.package]
    environment = os.environ | {"CGO_ENABLED": "0"}
    start = time.monotonic()
    _say(f"building {tool.name} from Go modules (once; kept in {cache}) ...")
    with subprocess.Popen(command, cwd=_HERE / tool.module, env=environment, stderr=subprocess.PIPE) as process:
        while True:
            try:
                _, complaint = process.communicate(timeout=_HEARTBEAT_SECONDS)
                break
            except subprocess.TimeoutExpired:
                _say(f"  ... {tool.name}: {time.monotonic() - start:.0f} s")
    if process.returncode:
        raise MissingBinaries(f"building {tool.name} failed:\n{complaint.decode()[-2000:]}")
    partial.replace(cache / tool.name)
    _say(f"  {tool.name} built in {time.monotonic() - start:.0f} s")


def _linker_flags(tool: Tool) -> str:
    if tool.module != "controlplane":
        return "-s -w"
    match = re.search(r"k8s\.io/kubernetes (v(\d+)\.(\d+)\.\d+)", (_HERE / "controlplane/go.mod").read_text())
    if match is None:
        raise MissingBinaries("tests/cluster/controlplane/go.mod names no version of k8s.io/kubernetes")
    at = "k8s.io/component-base/version."
    return f"-s -w -X {at}gitVersion={match[1]} -X {at}gitMajor={match[2]} -X {at}gitMinor={match[3]}"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
