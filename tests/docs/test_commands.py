"""What a how-to tells its readers to type works, and prints what it shows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import crds
from cluster.controlplane import ControlPlane
from cluster.operator import Operator, install
from docs.commands import ROOT, Command, commands

HOW_TOS = ["gitops.md", "onboarding.md"]


@pytest.fixture
def plane() -> Iterator[ControlPlane]:
    """A cluster as a reader has it: with the operator, and the CRDs of Argo CD and Flux."""
    with ControlPlane() as own:
        install(own)
        for namespace in ("argocd", "flux-system"):
            own.kubectl("create", "namespace", namespace)
        for file in crds.of_gitops_tools():
            own.kubectl("apply", "--server-side", "-f", file)
        operator = Operator(own)
        operator.wait_ready()
        yield own
        assert operator.stop()[0] == 0


@pytest.mark.parametrize("name", HOW_TOS)
def test_every_command_of_a_how_to_works_and_prints_what_is_shown(plane: ControlPlane, name: str) -> None:
    found = commands(ROOT / "docs" / name)

    assert found
    for command in found:
        command.run(plane)


def written(tmp_path: Path, text: str) -> list[Command]:
    document = tmp_path / "how-to.md"
    document.write_text(text)
    return commands(document)


def test_a_command_is_what_follows_the_dollar_and_its_output_what_follows_the_command(tmp_path: Path) -> None:
    text = "Text.\n\n```console\n$ echo a\na\n$ echo b \\\n  c\n```\n\n```yaml\n$ not: one\n```\n"

    assert written(tmp_path, text) == [Command("echo a", ("a",)), Command("echo b   c", ())]


def test_a_block_that_begins_with_no_command_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="begins with a command"):
        written(tmp_path, "```console\nkubectl get pods\n```\n")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        pytest.param(Command("false", ()), r"\$ false", id="a command that fails"),
        pytest.param(Command("false | true", ()), r"\$ false", id="one that fails in a pipe"),
        pytest.param(Command("echo a", ("b",)), "does not print", id="a line that is not printed"),
        pytest.param(Command("echo b; echo a", ("a", "b")), "not in this order", id="lines in another order"),
    ],
)
def test_what_does_not_hold_is_noticed(control_plane: ControlPlane, command: Command, said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        command.run(control_plane)


def test_ages_and_the_width_of_columns_may_differ(control_plane: ControlPlane) -> None:
    assert Command("printf 'NAME  AGE\nx     12s\n'", ("NAME AGE", "x 0s")).run(control_plane)
