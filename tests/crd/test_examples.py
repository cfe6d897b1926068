"""Objects by hand. ``invalid/<why>.yaml`` begins with the words that a person gets: ``# message:`` from the API server,
``# types:`` from the Python types where they say it otherwise. A new rule of the CRD needs a file there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from appconnectivity.cli.render import arguments, render
from crd.schema import OBJECT, ROOT, SPEC, rules, walk
from crd.server import Server
from crd.verdict import refusal

HERE = Path(__file__).parent
VALID = sorted((HERE / "valid").glob("*.yaml"))
INVALID = sorted((HERE / "invalid").glob("*.yaml"))
SAMPLES = sorted((ROOT / "manifests" / "samples").glob("*.yaml"))

# Rules on what is no part of the spec.
_OUTSIDE = {rule["message"] for rule in rules(OBJECT)}


def appconnectivities(path: Path) -> list[dict[str, Any]]:
    documents = yaml.safe_load_all(path.read_text())
    return [document for document in documents if document["kind"] == "AppConnectivity"]


def words(path: Path, who: str) -> str:
    """What the file's first lines say that ``who`` says."""
    found = re.search(rf"^# {who}: (.+)$", path.read_text(), re.MULTILINE)
    return found[1] if found else ""


@pytest.mark.parametrize("path", [*VALID, *SAMPLES], ids=lambda path: path.stem)
def test_what_is_valid_is_accepted_by_both(server: Server, path: Path) -> None:
    for body in appconnectivities(path):
        answer = server.judge(body["spec"], name=body["metadata"]["name"])
        assert answer.is_accepted, answer.message
        assert not refusal(body["spec"])


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_what_is_invalid_is_refused_by_the_api_server_in_these_words(server: Server, path: Path) -> None:
    (body,) = appconnectivities(path)
    answer = server.judge(body["spec"])
    assert not answer.is_accepted
    assert words(path, "message")
    assert words(path, "message") in answer.message


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_what_is_invalid_is_refused_by_the_types_in_these_words(path: Path) -> None:
    (body,) = appconnectivities(path)
    assert (words(path, "types") or words(path, "message")) in refusal(body["spec"])
    assert re.match(r"spec\b", refusal(body["spec"])), "it begins with the field's path"


def test_every_rule_has_an_example_that_it_refuses() -> None:
    said = [words(path, "message") for path in INVALID]
    messages = {rule["message"] for _, node in walk(SPEC) for rule in rules(node)} - _OUTSIDE
    assert [message for message in messages if not any(text in message for text in said)] == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("appconnectivity", "metadata.name appconnectivity is reserved", id="reserved"),
        pytest.param("a" * 64, "metadata.name must be at most 63 characters", id="too-long"),
    ],
)
def test_a_name_that_policies_could_not_carry_is_refused(
    server: Server, tmp_path: Path, name: str, message: str
) -> None:
    answer = server.judge({}, name=name)
    assert not answer.is_accepted
    assert message in answer.message
    body = {
        "apiVersion": "appconnectivity.io/v1alpha1",
        "kind": "AppConnectivity",
        "metadata": {"name": name},
        "spec": {},
    }
    file = tmp_path / "object.yaml"
    file.write_text(yaml.safe_dump(body))
    assert render(arguments("appconnectivity render", ["-f", str(file)])) == 1


@pytest.mark.parametrize("name", [pytest.param("a" * 63, id="63"), pytest.param("appconnectivity-x", id="similar")])
def test_a_name_within_the_limits_is_accepted(server: Server, name: str) -> None:
    assert server.judge({}, name=name).is_accepted
