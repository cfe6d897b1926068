"""Container images without a container runtime: folders in, an archive out that ``ctr images import`` takes."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def write(archive: Path, *, name: str, layers: Sequence[bytes], config: Mapping[str, Any]) -> Path:
    """Writes an image in Docker's archive format.

    ``layers`` are tar archives, the lowest first; ``config`` is what OCI calls so (User, Env, Entrypoint, ...).
    """
    digests = [hashlib.sha256(layer).hexdigest() for layer in layers]
    image = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()],
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]},
    }
    files = [f"{digest}.tar" for digest in digests]
    with tarfile.open(archive, "w") as tar:
        for file, layer in zip(files, layers, strict=True):
            _add(tar, file, layer)
        _add(tar, "config.json", json.dumps(image).encode())
        manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": files}]
        _add(tar, "manifest.json", json.dumps(manifest).encode())
    return archive


def of_program(archive: Path, *, name: str, program: Path, config: Mapping[str, Any]) -> Path:
    """An image that holds one static program, as its entry point, and runs it as nobody."""
    path = f"/{program.name}"
    layer = layer_of({path: program})
    return write(archive, name=name, layers=[layer], config={"Entrypoint": [path], "User": "65532:65532", **config})


def layer_of(trees: Mapping[str, Path]) -> bytes:
    """A layer with these files and folders at these absolute paths. All belong to root, as after COPY."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for target, source in trees.items():
            tar.add(source, arcname=target.strip("/") or ".", filter=_of_root)
    return buffer.getvalue()


def _of_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))
