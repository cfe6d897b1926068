"""Running the fast tests, those that need no control plane, against a tree of their own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mutation.mutants import Mutant, Stale

REPOSITORY = Path(__file__).parents[2]
# No test that depends on time: one that fails on a busy machine would be taken for one that has noticed.
FAST = ("core", "properties", "golden", "client/test_apply.py", "cli/test_render.py", "oracle")
_PROFILE = ("-p", "mutation.profile", "--hypothesis-profile=mutation")
_PYTEST = ("-m", "pytest", "-x", "-q", "--tb=no", "-p", "no:cacheprovider", *_PROFILE)
_SECONDS_AT_MOST = 240
_EXAMPLES = "200"


class Unusable(Exception):
    """The tests did not even run: this tells nothing about them."""


@dataclass(frozen=True)
class Verdict:
    """Which test noticed a mutant first. ``caught_by`` is empty where none did; then ``trouble`` may say why."""

    mutant: Mutant
    caught_by: str = ""
    trouble: str = ""


class Tree:
    """A copy of the repository. The original is only read."""

    def __init__(self, folder: Path) -> None:
        self._root = folder
        for name in ("operator", "tests", "manifests", "crds"):
            shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "README.md"):
            shutil.copy(REPOSITORY / name, folder / name)

    def judge(self, mutant: Mutant) -> Verdict:
        try:
            with mutant.planted(self._root):
                return Verdict(mutant, self.first_failure(mutant.first) or self.first_failure(FAST))
        except (Stale, Unusable) as error:
            return Verdict(mutant, trouble=str(error))

    def first_failure(self, paths: Sequence[str]) -> str:
        """The name of the first test that fails; empty where all pass. Raises Unusable."""
        try:
            done = subprocess.run(
                [sys.executable, *_PYTEST, *(f"tests/{path}" for path in paths)],
                cwd=self._root,
                env=os.environ | self._environment(),
                capture_output=True,
                text=True,
                timeout=_SECONDS_AT_MOST,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise Unusable(f"the tests did not end within {_SECONDS_AT_MOST} s: nobody has noticed anything") from error
        if done.returncode == 0:
            return ""
        failed = re.search(r"^FAILED tests/(\S+)", done.stdout, flags=re.MULTILINE)
        if done.returncode != 1 or failed is None:
            raise Unusable(f"the tests do not run:\n{(done.stdout + done.stderr)[-2000:]}")
        return failed[1]

    def _environment(self) -> dict[str, str]:
        # What is imported must be the copy; and bytecode is not made: its check by time and size could miss a mutant.
        paths = os.pathsep.join(str(self._root / name) for name in ("operator", "tests"))
        return {"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1", "ORACLE_EXAMPLES": _EXAMPLES}
