"""The examples of manifests/gitops, built as GitOps tools build them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from cluster import binaries

ROOT = Path(__file__).resolve().parents[2]
GITOPS = ROOT / "manifests" / "gitops"
FOLDERS = sorted(path.parent.relative_to(GITOPS).as_posix() for path in GITOPS.rglob("kustomization.yaml"))


def build(folder: Path) -> list[dict[str, Any]]:
    """What ``kubectl kustomize`` prints. Raises with what it says where it fails."""
    command = [str(binaries.find().kubectl), "kustomize", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def one(bodies: Iterable[dict[str, Any]], *, kind: str, name: str) -> dict[str, Any]:
    found = [body for body in bodies if (body["kind"], body["metadata"]["name"]) == (kind, name)]
    assert len(found) == 1, f"{kind} {name}: {len(found)} of them"
    return found[0]


def wave(body: dict[str, Any]) -> int:
    """When Argo CD applies the object."""
    return int(body["metadata"].get("annotations", {}).get("argocd.argoproj.io/sync-wave", "0"))
