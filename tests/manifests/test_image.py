"""The Dockerfile, read as text: what makes the image small, confined and built from known parts."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def instructions() -> list[tuple[str, str]]:
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(name, " ".join(rest.split())) for name, _, rest in (line.partition(" ") for line in lines)]


def final_stage() -> list[tuple[str, str]]:
    found = instructions()
    last = max(index for index, (name, _) in enumerate(found) if name == "FROM")
    return found[last:]


def of(name: str, stage: list[tuple[str, str]]) -> list[str]:
    return [rest for found, rest in stage if found == name]


def test_build_tools_stay_behind_in_a_stage_of_their_own() -> None:
    assert of("FROM", instructions()) == ["${PYTHON} AS builder", "${PYTHON}"]
    assert of("ARG", instructions())[0] == "PYTHON=python:3.13-slim"
    assert of("COPY", final_stage()) == ["--from=builder /opt/appconnectivity /opt/appconnectivity"]
    assert not of("RUN", final_stage())


def test_everything_that_comes_from_an_index_is_pinned_by_hash() -> None:
    installs = [rest for rest in of("RUN", instructions()) if " install " in rest]
    assert len(installs) == 3
    for install in installs:
        assert "--require-hashes" in install or ("--no-index" in install and "--no-deps" in install), install


def test_wheel_is_built_with_the_pinned_tools_alone() -> None:
    [build] = [rest for rest in of("RUN", instructions()) if " wheel " in rest]
    assert {"--no-build-isolation", "--no-deps"} <= set(build.split())


def test_image_runs_as_the_deployments_user_by_number() -> None:
    assert of("USER", final_stage()) == ["65532:65532"]


def test_working_directory_is_not_a_source_root() -> None:
    [directory] = of("WORKDIR", final_stage())
    assert Path(directory).parts == ("/", "tmp")


def test_program_is_started_without_a_shell() -> None:
    assert of("ENTRYPOINT", final_stage()) == ['["appconnectivity"]']
    assert of("CMD", final_stage()) == ['["run"]']


def test_image_says_what_it_is() -> None:
    [labels] = of("LABEL", final_stage())
    for key in ("title", "description", "licenses", "version", "revision"):
        assert f"org.opencontainers.image.{key}=" in labels


def test_build_context_is_closed_but_for_what_is_copied() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    opened = {line.removeprefix("!") for line in lines if line.startswith("!")}
    copies = [rest.split()[:-1] for rest in of("COPY", instructions()) if not rest.startswith("--from")]
    assert lines[0] == "*"
    assert opened == {source for sources in copies for source in sources}


@pytest.mark.parametrize(
    "path",
    [pytest.param("requirements/run.txt", id="run"), pytest.param("requirements/build.txt", id="build")],
)
def test_requirements_name_a_hash_for_each_package_and_no_index(path: str) -> None:
    lines = (ROOT / path).read_text().replace("\\\n", " ").splitlines()
    packages = [line for line in lines if line.strip() and not line.lstrip().startswith(("#", "--hash"))]
    assert packages
    assert all("==" in line and "--hash=sha256:" in line for line in packages)
    assert "://" not in "".join(lines)
