"""Rules that every field of the CRD keeps, after kube-api-linter and the Kubernetes API conventions."""

from __future__ import annotations

import re
from typing import Any

import pytest

from crd.schema import CRD, FILE, OBJECT, STATUS, VERSION, rules, walk

NODES = dict(walk(OBJECT))
STRINGS = {path: node for path, node in NODES.items() if node.get("type") == "string"}
LISTS = {path: node for path, node in NODES.items() if node.get("type") == "array"}
MAPS = {path: node for path, node in NODES.items() if "additionalProperties" in node}
NUMBERS = {path: node for path, node in NODES.items() if node.get("type") == "integer"}
FIELDS = {
    path: node for path, node in NODES.items() if path and path != ".metadata" and not path.endswith(("[]", "{}"))
}

# The API server drops a label without a value before any rule sees it, and the selector would then match more than
# its text says; so a null is let in there, to be refused by a rule.
_NULLABLE = re.compile(r"\.matchLabels\{\}$")


def paths(nodes: dict[str, dict[str, Any]]) -> list[str]:
    return sorted(nodes)


def test_every_string_is_bounded() -> None:
    unbounded = {path for path, node in STRINGS.items() if not node.keys() & {"maxLength", "enum", "format"}}
    assert unbounded == {".apiVersion", ".kind"}


def test_every_integer_or_string_is_bounded() -> None:
    nodes = [node for node in NODES.values() if node.get("x-kubernetes-int-or-string")]
    assert nodes
    assert all("maxLength" in node and rules(node) for node in nodes)


def test_every_list_is_bounded_and_says_how_it_merges() -> None:
    for path, node in LISTS.items():
        assert node["maxItems"] <= 64, path
        assert node["x-kubernetes-list-type"] in {"atomic", "set", "map"}, path


def test_lists_of_objects_require_a_field() -> None:
    loose = [
        path
        for path, node in LISTS.items()
        if node["items"].get("type") == "object" and "required" not in node["items"]
    ]
    assert loose == []


def test_every_map_is_bounded_and_is_one_of_labels() -> None:
    assert all(path.endswith(".matchLabels") and node["maxProperties"] for path, node in MAPS.items())


def test_every_integer_has_a_format_and_a_minimum() -> None:
    assert all(node["format"] in {"int32", "int64"} and node["minimum"] == 0 for node in NUMBERS.values())


@pytest.mark.parametrize("path", paths(FIELDS))
def test_every_field_is_explained_by_a_sentence_that_begins_with_its_name(path: str) -> None:
    description = FIELDS[path]["description"]
    assert description.split()[0] == path.rsplit(".", 1)[-1]
    assert description.endswith(".")


def test_no_type_that_clients_stumble_over() -> None:
    assert {node.get("type", "int-or-string") for node in NODES.values()} <= {
        "object",
        "array",
        "string",
        "integer",
        "int-or-string",
    }


def test_unknown_fields_are_pruned_everywhere() -> None:
    assert "preserve" not in FILE.read_text().lower()


def test_nothing_is_nullable_but_what_a_rule_refuses() -> None:
    nullable = {path for path, node in NODES.items() if node.get("nullable")}
    assert nullable == {path for path in NODES if _NULLABLE.search(path)}


def test_what_is_required_has_no_default() -> None:
    for path, node in NODES.items():
        for name in node.get("required", ()):
            assert "default" not in node["properties"][name], f"{path}.{name}"


def test_every_rule_says_what_to_do_in_its_own_words() -> None:
    for path, node in NODES.items():
        for rule in rules(node):
            assert rule["message"], path
            assert "failed rule" not in rule["message"]


def test_selectors_are_atomic() -> None:
    selectors = [node for path, node in NODES.items() if path.endswith("Selector")]
    assert len(selectors) == 4
    assert all(node["x-kubernetes-map-type"] == "atomic" for node in selectors)


def test_both_ends_of_a_flow_have_the_same_schema() -> None:
    ends = [dict(walk(NODES[f".spec.flows[].{end}"])) for end in ("from", "to")]
    source, target = ({path: node for path, node in end.items() if path} for end in ends)
    assert source == target
    assert rules(ends[0][""]) == rules(ends[1][""])


def test_conditions_are_those_of_meta_v1() -> None:
    assert next(iter(STATUS["properties"])) == "conditions"
    conditions = STATUS["properties"]["conditions"]
    assert (conditions["x-kubernetes-list-type"], conditions["x-kubernetes-list-map-keys"]) == ("map", ["type"])
    assert set(conditions["items"]["properties"]) == {
        *("type", "status", "reason", "message", "lastTransitionTime", "observedGeneration"),
    }
    assert set(conditions["items"]["required"]) == {"type", "status", "reason", "message", "lastTransitionTime"}
    assert conditions["items"]["properties"]["status"]["enum"] == ["True", "False", "Unknown"]


def test_status_has_observed_generation_and_no_phase() -> None:
    assert STATUS["properties"]["observedGeneration"]["format"] == "int64"
    assert not {"phase", "state"} & set(STATUS["properties"])


def test_one_served_and_stored_version_with_a_status_of_its_own() -> None:
    assert [version["name"] for version in CRD["spec"]["versions"]] == ["v1alpha1"]
    assert (VERSION["served"], VERSION["storage"], VERSION["subresources"]) == (True, True, {"status": {}})


def test_columns_read_fields_that_exist_and_age_is_last() -> None:
    columns = VERSION["additionalPrinterColumns"]
    assert columns[-1]["name"] == "Age"
    conditions = r'\.status\.conditions\[\?\(@\.type=="(Ready|Connected)"\)\]\.(status|reason|message)'
    for column in columns[:-1]:
        assert column["jsonPath"] in NODES or re.fullmatch(conditions, column["jsonPath"])


def test_selectable_fields_exist() -> None:
    assert all(field["jsonPath"] in STRINGS for field in VERSION["selectableFields"])


def test_it_fits_into_the_annotation_that_kubectl_apply_writes() -> None:
    assert FILE.stat().st_size < 256 * 1024


def test_it_is_marked_as_part_of_the_project() -> None:
    assert CRD["metadata"]["labels"]["app.kubernetes.io/part-of"] == "appconnectivity"
    assert CRD["spec"]["names"]["shortNames"] == ["appconn", "ac"]
    assert CRD["spec"]["names"]["categories"] == ["appconnectivity"]
