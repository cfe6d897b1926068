"""The CRD's schema and the pydantic types, field by field: what one of them says, the other one says too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from appconnectivity.core import api, status
from appconnectivity.core.findings import FlowState, Reason
from crd.schema import CRD, SPEC, STATUS, VERSION, walk

Facts = dict[str, dict[str, Any]]

_SAID = (
    *("type", "enum", "default", "format", "pattern", "minLength", "maxLength"),
    *("minItems", "maxItems", "maxProperties", "required", "properties"),
)

# What JSON Schema can't show of the types, because a function of theirs checks it. test_generated holds these together.
_BY_FUNCTION = {
    ".appLabel": {"maxLength", "pattern"},
    ".expirationTime": {"maxLength", "pattern"},
    ".key": {"maxLength", "pattern"},
    ".ports[]": {"maxLength"},
}


def facts(node: dict[str, Any]) -> dict[str, Any]:
    """What is said at one place, in one spelling: an empty default is none, the order of names means nothing."""
    said = {key: node[key] for key in _SAID if node.get(key) not in (None, [], {}, ())}
    for key in ("required", "properties", "enum"):
        if key in said:
            said[key] = sorted(said[key])
    return said


def of_the_crd() -> Facts:
    found = {path: facts(node) for path, node in walk(SPEC)}
    for path, said in found.items():
        for end, unseen in _BY_FUNCTION.items():
            if path.endswith(end):
                found[path] = {key: value for key, value in said.items() if key not in unseen}
    return found


def of_the_types() -> Facts:
    schema = api.Spec.model_json_schema(by_alias=True)
    return {path: facts(node) for path, node in _walk(schema, schema.get("$defs", {}))}


def _walk(node: dict[str, Any], known: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """As ``schema.walk``, through references and without the branch that stands for None."""
    node = _resolved(node, known)
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from _walk(child, known, f"{path}.{name}")
    if "items" in node:
        yield from _walk(node["items"], known, f"{path}[]")
    if isinstance(node.get("additionalProperties"), dict):
        yield from _walk(node["additionalProperties"], known, f"{path}{{}}")


def _resolved(node: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    branches = [branch for branch in node.get("anyOf", ()) if branch != {"type": "null"}]
    if len(branches) == 1:
        node = branches[0] | {key: value for key, value in node.items() if key != "anyOf"}
    if "$ref" in node:
        node = known[node["$ref"].rsplit("/", 1)[-1]] | {key: value for key, value in node.items() if key != "$ref"}
    return node


def test_both_know_the_same_fields() -> None:
    assert set(of_the_crd()) == set(of_the_types())


@pytest.mark.parametrize("path", sorted(of_the_crd()))
def test_both_say_the_same_about(path: str) -> None:
    assert of_the_types()[path] == of_the_crd()[path]


def test_ports_are_integers_or_strings_in_both() -> None:
    ports = api.Flow.model_json_schema()["properties"]["ports"]["anyOf"][0]
    assert [branch["type"] for branch in ports["items"]["anyOf"]] == ["integer", "string"]
    assert dict(walk(SPEC))[".flows[].ports[]"]["x-kubernetes-int-or-string"] is True


def test_what_must_stay_by_function_is_still_there() -> None:
    assert all(any(path.endswith(end) for path in of_the_types()) for end in _BY_FUNCTION)


def test_kind_group_and_version_have_the_same_names() -> None:
    names = CRD["spec"]["names"]
    assert (names["kind"], names["plural"], CRD["spec"]["group"], VERSION["name"]) == (
        *(api.KIND, api.PLURAL, api.GROUP, api.VERSION),
    )


def test_every_state_of_a_flow_may_be_written_and_no_other() -> None:
    assert sorted(dict(walk(STATUS))[".flows[].state"]["enum"]) == sorted(state.value for state in FlowState)


def test_what_the_operator_cuts_off_fits_into_the_status() -> None:
    nodes = dict(walk(STATUS))
    assert nodes[".flows"]["maxItems"] == nodes[".wouldWrite"]["maxItems"] == status.MAX_ROWS
    assert nodes[".flows[].message"]["maxLength"] == status.MAX_ROW_MESSAGE
    assert nodes[".conditions[].message"]["maxLength"] >= status.MAX_MESSAGE


@pytest.mark.parametrize("reason", [*Reason], ids=str)
def test_every_reason_fits_into_the_status(reason: Reason) -> None:
    nodes = dict(walk(STATUS))
    assert reason.value.isalpha()
    assert len(reason.value) <= nodes[".flows[].reason"]["maxLength"]
