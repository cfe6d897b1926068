"""Debian packages, by apt-get: the base of the operator's image where there is no registry."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

from cluster import binaries

# What python:3.x-slim has for us: an interpreter with pip, a shell, certificates. Debian 12 brings Python 3.11.
_PYTHON = (
    "busybox-static",
    "libbz2-1.0",
    "libc6",
    "libcrypt1",
    "libexpat1",
    "libffi8",
    "libgcc-s1",
    "liblzma5",
    "libpython3.11-minimal",
    "libpython3.11-stdlib",
    "libsqlite3-0",
    "libssl3",
    "libuuid1",
    "python3-distutils",
    "python3-pip",
    "python3-pkg-resources",
    "python3-setuptools",
    "python3-wheel",
    "python3.11",
    "python3.11-minimal",
    "zlib1g",
)


class PackagesUnavailable(Exception):
    """apt-get can't fetch them. The text says why."""


def python_base() -> Path:
    """The root file system of an image with Python, made once and kept. Not to be changed."""
    key = hashlib.sha256(" ".join(_PYTHON).encode()).hexdigest()[:16]
    root = binaries.cache_root() / f"python-{key}"
    if not root.exists():
        partial = root.with_name(f".{root.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        (partial / "root").mkdir(parents=True)
        _unpack(_PYTHON, into=partial / "root", downloads=partial)
        _complete(partial / "root")
        (partial / "root").rename(root)
        shutil.rmtree(partial)
    return root


def _unpack(packages: tuple[str, ...], *, into: Path, downloads: Path) -> None:
    options = ["-o", "APT::Sandbox::User=root"]
    done = subprocess.run(
        ["apt-get", *options, "download", *packages], cwd=downloads, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise PackagesUnavailable(f"apt-get download, for the base of the image:\n{done.stderr.strip()}")
    for package in downloads.glob("*.deb"):
        subprocess.run(["dpkg-deb", "--extract", package, into], check=True)


def _complete(root: Path) -> None:
    """What packages do when they are installed, and what the official image has and Debian has not."""
    for name in ("python", "python3"):
        link = root / "usr/bin" / name
        link.unlink(missing_ok=True)
        link.symlink_to("python3.11")
    (root / "bin/sh").symlink_to("busybox")
    (root / "usr/lib/python3.11/EXTERNALLY-MANAGED").unlink()
    for folder in ("tmp", "proc", "dev", "etc/ssl/certs"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "tmp").chmod(0o1777)
    for file in ("etc/resolv.conf", "etc/hosts"):
        (root / file).touch()
