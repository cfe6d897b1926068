"""What is shipped and how: the package beside Python's own ``operator``, its programs, its pinned requirements."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest

import appconnectivity

ROOT = Path(__file__).resolve().parents[1]
PINNED = sorted((ROOT / "requirements").glob("*.txt"), key=lambda path: path.name)
LOGICAL_LINE = re.compile(r"^[a-z0-9](?:.*\\\n)*.*", re.MULTILINE)


def without_python_path() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}


def test_the_source_root_is_no_package() -> None:
    assert (ROOT / "operator" / "appconnectivity" / "__init__.py").exists()
    assert not (ROOT / "operator" / "__init__.py").exists()


def test_pythons_own_operator_is_not_shadowed_at_the_repository_root() -> None:
    code = "import operator, appconnectivity; print(operator.add(1, 1), appconnectivity.__file__)"

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=without_python_path(), capture_output=True, text=True, check=False
    )

    assert done.stderr == ""
    assert done.stdout == f"2 {ROOT / 'operator' / 'appconnectivity' / '__init__.py'}\n"


def test_both_names_are_the_same_program() -> None:
    scripts = distribution("appconnectivity").entry_points.select(group="console_scripts")

    assert {script.name: script.value for script in scripts} == {
        "appconnectivity": "appconnectivity.cli.main:main",
        "kubectl-appconn": "appconnectivity.cli.main:main",
    }


@pytest.mark.parametrize("name", ["appconnectivity", "kubectl-appconn"])
def test_the_installed_program_says_its_version(name: str) -> None:
    program = Path(sys.executable).with_name(name)

    done = subprocess.run([program, "version"], capture_output=True, text=True, check=False)

    assert done.stderr == ""
    assert done.stdout == f"{appconnectivity.__version__}\n"


def test_the_version_is_the_same_wherever_it_is_written() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert appconnectivity.__version__ == project["version"]
    for path in (ROOT / "manifests" / "base").glob("*.yaml"):
        written = re.findall(r"(?:app\.kubernetes\.io/version: |/appconnectivity:)(\S+)", path.read_text())
        assert set(written) <= {project["version"]}, path.name
    assert f"## {project['version']}" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("path", PINNED, ids=lambda path: path.name)
def test_every_requirement_is_pinned_with_hashes(path: Path) -> None:
    requirements = LOGICAL_LINE.findall(path.read_text())

    assert requirements
    for requirement in requirements:
        assert re.match(r"[a-z0-9._-]+==\S+ ", requirement), requirement
        assert "--hash=sha256:" in requirement, requirement


@pytest.mark.parametrize("path", PINNED, ids=lambda path: path.name)
def test_requirements_name_no_address(path: Path) -> None:
    assert not re.search(r"://|^-|index-url|find-links", path.read_text(), re.MULTILINE)


def test_every_direct_dependency_is_pinned() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    dependencies = tomllib.loads(text)["project"]["dependencies"]
    wanted = {re.split(r"[<>=]", item)[0].replace(".", "-") for item in dependencies}
    pinned = re.findall(r"^([a-z0-9._-]+)==", (ROOT / "requirements" / "run.txt").read_text(), re.MULTILINE)

    assert wanted <= set(pinned)


def test_the_wheel_holds_the_package_and_nothing_else(tmp_path: Path) -> None:
    copy = tmp_path / "source"
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        copy.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, copy)
    shutil.copytree(ROOT / "operator", copy / "operator", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]

    subprocess.run(command, cwd=copy, capture_output=True, check=True)

    (wheel,) = (tmp_path / "dist").glob("*.whl")
    shutil.unpack_archive(wheel, tmp_path / "unpacked", format="zip")
    top = {path.name for path in (tmp_path / "unpacked").iterdir()}
    assert top == {"appconnectivity", f"appconnectivity-{appconnectivity.__version__}.dist-info"}
