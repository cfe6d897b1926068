"""Where a machine can't run a real node, one sentence says why; and what stands in for Docker refuses to guess."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from cluster.realnode import cgroups, dockerfile, layout, node


def test_without_root_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    with pytest.raises(node.Unavailable, match=r"^a node needs root, .*: run it as root$"):
        node.require()


def test_a_missing_program_is_named_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda name: None if name in ("runc", "ipset") else f"/usr/bin/{name}")
    monkeypatch.setattr(layout, "PLUGINS", "/nowhere")

    with pytest.raises(node.Unavailable) as caught:
        node.require()

    assert str(caught.value) == (
        "a node needs ipset, runc, /nowhere/ptp, /nowhere/host-local, /nowhere/loopback: `make packages` installs them"
    )


@pytest.mark.parametrize(
    ("files", "missing"),
    [
        pytest.param({}, "cpu, cpuacct, cpuset, memory, pids, devices, freezer, blkio", id="none"),
        pytest.param(
            {"cgroup.controllers": "cpu memory pids", "cgroup.subtree_control": "cpu"}, "memory, pids", id="v2"
        ),
    ],
)
def test_missing_control_groups_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], missing: str
) -> None:
    monkeypatch.setattr(cgroups, "_MOUNTED", tmp_path)
    for name, text in files.items():
        (tmp_path / name).write_text(text)

    assert cgroups.missing() == f"the control groups {missing} below {tmp_path}"


@pytest.mark.parametrize(
    "line",
    [pytest.param("HEALTHCHECK NONE", id="unknown"), pytest.param("RUN --mount=type=cache,target=/x y", id="flag")],
)
def test_an_instruction_that_is_not_known_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM base AS it\n{line}\n")
    (tmp_path / "base").mkdir()

    with pytest.raises(dockerfile.BuildFailed, match=line.split(maxsplit=1)[0]):
        dockerfile.Build(context=tmp_path, base=tmp_path / "base", work=tmp_path / "work")
