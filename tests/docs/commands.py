"""The commands of a document, as its readers type them: found in its ``console`` blocks, and run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

from cluster.controlplane import ControlPlane

ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(r"^( *)```console\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_AGE = re.compile(r"\b\d+(s|m|h|d)\b")
_SECONDS = 120


@dataclass(frozen=True)
class Command:
    """What stands after ``$ ``, and the lines below it that it prints; none shown means that nothing is promised."""

    text: str
    shown: tuple[str, ...]

    def run(self, plane: ControlPlane) -> str:
        """Runs it from the root of the repository, with our program and kubectl, as this control plane's administrator.

        Returns what it printed. Raises AssertionError where it fails, or where a shown line is not printed in its turn;
        ages and the width of columns may differ.
        """
        ours = Path(sys.executable).parent
        programs = os.pathsep.join((str(plane.kubectl_path.parent), str(ours), os.environ["PATH"]))
        environment = os.environ | {"KUBECONFIG": str(plane.kubeconfig), "PATH": programs}
        words = ["bash", "-o", "pipefail", "-euc", self.text]
        done = subprocess.run(
            words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
        assert done.returncode == 0, f"$ {self.text}\n{done.stdout}{done.stderr}"
        printed = iter([_plain(line) for line in done.stdout.splitlines()])
        missing = [line for line in self.shown if _plain(line) not in printed]
        assert not missing, f"$ {self.text}\n{done.stdout}does not print, or not in this order: {missing}"
        return done.stdout


def commands(document: Path) -> list[Command]:
    """The commands of all ``console`` blocks, in the order of the text."""
    blocks = (textwrap.dedent(block) for _, block in _BLOCK.findall(document.read_text()))
    return [found for block in blocks for found in _of_block(block)]


def _of_block(block: str) -> list[Command]:
    lines = block.replace("\\\n", "").splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("$ ")]
    assert starts[:1] == [0], f"a console block begins with a command, after $ and a space:\n{block}"
    return [
        Command(text=lines[start].removeprefix("$ "), shown=tuple(lines[start + 1 : end]))
        for start, end in zip(starts, [*starts[1:], len(lines)], strict=True)
    ]


def _plain(line: str) -> str:
    return _AGE.sub("AGE", " ".join(line.split()))
