"""The CRDs of Argo CD and Flux, as their own Go modules have them: downloaded once, and kept in the cache."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

from cluster.binaries import MissingBinaries, cache_root

_MODULES = Path(__file__).parent / "gitops"
_FILES = {
    "github.com/argoproj/argo-cd/v3": "manifests/crds/app*-crd.yaml",
    "github.com/fluxcd/kustomize-controller": "config/crd/bases/*_kustomizations.yaml",
    "github.com/fluxcd/source-controller": "config/crd/bases/*_gitrepositories.yaml",
}


def of_gitops_tools() -> list[Path]:
    """Files with CRDs: Argo CD's Application, ApplicationSet and AppProject, Flux's GitRepository and Kustomization.

    Raises MissingBinaries where they are not in the cache and can't be downloaded.
    """
    pinned = b"".join((_MODULES / name).read_bytes() for name in ("go.mod", "go.sum"))
    folder = cache_root() / hashlib.sha256(pinned).hexdigest()[:16]
    if not folder.exists():
        _fill(folder)
    return sorted(folder.iterdir())


def _fill(folder: Path) -> None:
    """Whole or not at all: another run may look for the folder meanwhile."""
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for module, pattern in _FILES.items():
        for found in _downloaded(module).glob(pattern):
            (partial / found.name).write_bytes(found.read_bytes())
    partial.rename(folder)


def _downloaded(module: str) -> Path:
    """Where Go keeps the module's files. Go itself holds them against go.sum."""
    go = shutil.which("go")
    if go is None:
        raise MissingBinaries(f"the CRDs of {module} are in its Go module, and there is no Go: install 1.26 or newer")
    command = [go, "mod", "download", "-json", module]
    done = subprocess.run(command, cwd=_MODULES, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MissingBinaries(f"{module} could not be downloaded: {done.stderr.strip() or done.stdout.strip()}")
    return Path(json.loads(done.stdout)["Dir"])
