"""Carries out a Dockerfile, instruction by instruction, where there is no Docker: on one base, in a chroot.

It knows the instructions that ours has, and refuses any other.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cluster.realnode import images

# How pip reaches its index is the machine's affair; nothing of this stays in the image.
_PASSED_ON = re.compile(
    r"PIP_(CERT|INDEX_URL|EXTRA_INDEX_URL|PROXY|TRUSTED_HOST)|(SSL|REQUESTS|CURL)_\w+|(?i:\w+_proxy)"
)
_BORROWED = ("/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs")


class BuildFailed(Exception):
    """An instruction failed or is not known. The text has it, and what it printed."""


@dataclass
class Stage:
    """One FROM and what follows it."""

    root: Path
    directory: str = "/"
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": "/usr/local/bin:/usr/bin:/bin"})
    config: dict[str, Any] = field(default_factory=dict)
    copied: list[str] = field(default_factory=list)
    ran: bool = False


class Build:
    """Builds the Dockerfile in ``context`` on the file system ``base``, whatever its FROM lines name."""

    def __init__(self, *, context: Path, base: Path, work: Path) -> None:
        self._context, self._base, self._work = context, base, work
        self._arguments: dict[str, str] = {}
        self._stages: dict[str, Stage] = {}
        for name, rest in instructions(context / "Dockerfile"):
            self._carry_out(name, rest)

    def image(self, archive: Path, *, name: str) -> Path:
        """Writes the last stage as an image: its base, and a layer for each COPY. Raises BuildFailed."""
        stage = self._stage
        if stage.ran:
            raise BuildFailed("RUN in the last stage: its layer can't be told from the base here")
        layers = [images.layer_of({"/": self._base})]
        layers += [images.layer_of({target: _below(stage.root, target)}) for target in stage.copied]
        environment = [f"{key}={value}" for key, value in stage.environment.items()]
        config = stage.config | {"Env": environment, "WorkingDir": stage.directory}
        return images.write(archive, name=name, layers=layers, config=config)

    @property
    def _stage(self) -> Stage:
        return list(self._stages.values())[-1]

    def _carry_out(self, name: str, rest: str) -> None:
        known: Mapping[str, Callable[[str], None]] = {
            "FROM": self._from,
            "ARG": self._arg,
            "ENV": self._env,
            "WORKDIR": self._workdir,
            "COPY": self._copy,
            "RUN": self._run,
            "USER": lambda text: self._stage.config.update(User=text),
            "LABEL": lambda text: self._stage.config.update(Labels=_pairs(text)),
            "EXPOSE": lambda text: self._stage.config.update(ExposedPorts={f"{text}/tcp": {}}),
            "ENTRYPOINT": lambda text: self._stage.config.update(Entrypoint=json.loads(text)),
            "CMD": lambda text: self._stage.config.update(Cmd=json.loads(text)),
        }
        if name not in known or (rest.startswith("--") and not rest.startswith("--from=")):
            raise BuildFailed(f"{name} {rest}: not an instruction that is known here")
        known[name](self._resolved(rest) if name != "RUN" else rest)

    def _resolved(self, text: str) -> str:
        values = self._arguments | (self._stage.environment if self._stages else {})
        return re.sub(r"\$\{(\w+)\}", lambda match: values[match[1]], text)

    def _arg(self, text: str) -> None:
        name, _, value = text.partition("=")
        self._arguments[name] = value

    def _from(self, text: str) -> None:
        name = text.partition(" AS ")[2] or str(len(self._stages))
        root = self._work / name
        shutil.copytree(self._base, root, symlinks=True)
        self._stages[name] = Stage(root=root)

    def _env(self, text: str) -> None:
        self._stage.environment.update(_pairs(text))

    def _workdir(self, text: str) -> None:
        self._stage.directory = text
        _below(self._stage.root, text).mkdir(parents=True, exist_ok=True)

    def _copy(self, text: str) -> None:
        *sources, target = [word for word in text.split() if not word.startswith("--from=")]
        origin = re.match(r"--from=(\S+)", text)
        source_root = self._stages[origin[1]].root if origin else self._context
        to = Path(self._stage.directory) / target
        for source in sources:
            _copy(_below(source_root, source), _below(self._stage.root, str(to)), into=target.endswith("/"))
        self._stage.copied.append(str(to))

    def _run(self, text: str) -> None:
        stage = self._stage
        stage.ran = True
        passed = {key: value for key, value in os.environ.items() if _PASSED_ON.fullmatch(key)}
        done = subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "/bin/sh", "-ec", _script(stage, text)],
            env=stage.environment | passed,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise BuildFailed(f"RUN {text}\n{(done.stdout + done.stderr)[-3000:]}")


def instructions(dockerfile: Path) -> Iterator[tuple[str, str]]:
    """Name and rest of each instruction, continued lines joined."""
    text = dockerfile.read_text().replace("\\\n", " ")
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, rest = line.partition(" ")
            yield name, " ".join(rest.split())


def _script(stage: Stage, command: str) -> str:
    """Mounts live in a namespace of this script's own, so nothing has to be taken away."""
    root = shlex.quote(str(stage.root))
    mounts = [f"/bin/mount --bind {place} {root}{place}" for place in (*_BORROWED, "/dev") if Path(place).exists()]
    inside = f"cd {shlex.quote(stage.directory)} && {command}"
    chroot = shutil.which("chroot")
    return "\n".join([*mounts, f"exec {chroot} {root} /bin/sh -ec {shlex.quote(inside)}"])


def _copy(source: Path, target: Path, *, into: bool) -> None:
    if source.is_dir():
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True, ignore=ignored)
        return
    place = target / source.name if into else target
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, place)


def _below(root: Path, path: str) -> Path:
    return root / path.lstrip("/")


def _pairs(text: str) -> dict[str, str]:
    return dict(word.split("=", 1) for word in shlex.split(text))
