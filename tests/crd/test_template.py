"""The CRD of templates: AppConnectivity's own schema inside, the same rules outside, and both judges agree."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from appconnectivity.core import expressions, filling, template
from appconnectivity.core.findings import Finding
from cluster.controlplane import ControlPlane
from crd.schema import CRD, ROOT, SPEC, STATUS, Node, rules, walk
from crd.template_schema import template_spec

FILE = ROOT / "crds" / "appconnectivitytemplate.yaml"
TEMPLATE: Node = yaml.safe_load(FILE.read_text())
OBJECT: Node = TEMPLATE["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
OWN: Node = OBJECT["properties"]["spec"]["properties"]
NODES = dict(walk(OBJECT))
SAMPLES = sorted((ROOT / "manifests" / "templates").glob("*.yaml"))

Body = dict[str, Any]


class Dumper(yaml.SafeDumper):
    """Without aliases: each field is read where it stands."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the signature is PyYAML's
        return True


def body(**spec: Any) -> Body:
    return {
        "apiVersion": "appconnectivity.io/v1alpha1",
        "kind": "AppConnectivityTemplate",
        "metadata": {"name": "standard"},
        "spec": {"namespaceSelector": {"matchLabels": {"a": "b"}}, "template": {"spec": {}}} | spec,
    }


@pytest.fixture(scope="module")
def plane(control_plane: ControlPlane) -> ControlPlane:
    control_plane.kubectl("apply", "--server-side", "-f", FILE)
    control_plane.kubectl("wait", "--for=condition=Established", f"crd/{TEMPLATE['metadata']['name']}")
    return control_plane


def refusal(plane: ControlPlane, made: Body) -> str:
    """What the API server says against it; empty where it takes it."""
    done = plane.kubectl(
        *("create", "--dry-run=server", "--validate=strict", "-f", "-"), input=json.dumps(made), check=False
    )
    return done.stderr if done.returncode else ""


def test_what_a_template_holds_is_the_spec_of_an_appconnectivity() -> None:
    desired = template_spec(SPEC)
    if os.environ.get("TESTS_GOLDEN") == "write":
        head = "".join(f"{line}\n" for line in FILE.read_text().splitlines() if line.startswith("#"))
        OWN["template"]["properties"]["spec"] = desired
        OBJECT["properties"]["status"]["properties"]["conditions"]["items"] = STATUS["properties"]["conditions"][
            "items"
        ]
        FILE.write_text(head + yaml.dump(TEMPLATE, Dumper=Dumper, sort_keys=False, width=140, allow_unicode=True))

    assert OWN["template"]["properties"]["spec"] == desired
    conditions = OBJECT["properties"]["status"]["properties"]["conditions"]
    assert conditions["items"] == STATUS["properties"]["conditions"]["items"]


def test_every_text_list_and_number_is_bounded() -> None:
    for path, node in NODES.items():
        match node.get("type"):
            case "string":
                assert node.keys() & {"maxLength", "enum", "format"} or path in (".apiVersion", ".kind"), path
            case "array":
                assert node["maxItems"] <= 64, path
            case "integer":
                assert "minimum" in node, path
        assert "additionalProperties" not in node or "maxProperties" in node, path


def test_every_field_is_explained_by_a_sentence_that_begins_with_its_name() -> None:
    for path, node in NODES.items():
        if not path or path == ".metadata" or path.endswith(("[]", "{}")):
            continue
        assert node["description"].split()[0] == path.rsplit(".", 1)[-1], path
        assert node["description"].endswith("."), path


def test_it_is_in_no_namespace_and_has_names_of_its_own() -> None:
    assert TEMPLATE["spec"]["scope"] == "Cluster"
    assert not set(TEMPLATE["spec"]["names"]["shortNames"]) & set(CRD["spec"]["names"]["shortNames"])
    assert TEMPLATE["spec"]["names"]["categories"] == CRD["spec"]["names"]["categories"]


def test_the_limits_of_the_types_are_those_of_the_crd() -> None:
    assert OWN["maxConcurrent"]["default"] == template.DEFAULT_CONCURRENT
    assert OWN["parameters"]["maxProperties"] == template.MAX_PARAMETERS
    assert OWN["parameters"]["additionalProperties"]["maxLength"] == expressions.MAX_RESULT


def test_rules_that_names_have_are_those_of_appconnectivity() -> None:
    other = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]

    assert [rule["rule"] for rule in rules(OBJECT)] == [rule["rule"] for rule in rules(other)]


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_is_accepted_by_both(plane: ControlPlane, path: Path) -> None:
    made = yaml.safe_load(path.read_text())

    assert refusal(plane, made) == ""
    assert isinstance(template.parse(made["spec"]), template.TemplateSpec)


EVERYWHERE = {
    "forEach": "['a']",
    "when": "true",
    "name": "{{ item }}",
    "description": "{{ item }}",
    "expirationTime": "{{ parameters.time }}",
    "from": {"app": "{{ item }}", "namespace": "{{ item }}"},
    "to": {"ipBlocks": [{"cidr": "{{ parameters.cidr }}", "except": ["{{ parameters.inner }}"]}]},
    "ports": ["{{ parameters.port }}", 80],
}


def test_every_text_may_be_an_expression(plane: ControlPlane) -> None:
    selector = {
        "matchLabels": {"x": "{{ item }}"},
        "matchExpressions": [{"key": "{{ parameters.k }}", "operator": "In"}],
    }
    selector["matchExpressions"][0]["values"] = ["{{ item }}"]  # type: ignore[index]
    parameters = {"time": "2030-01-01T00:00:00Z", "cidr": "10.0.0.0/8", "inner": "10.1.0.0/16", "port": "1-2", "k": "k"}
    parameters |= {"e": "Enforce", "ns": "None", "c": "Cluster", "i": "Ingress", "any": "Any"}
    spec = {
        "mode": "{{ parameters.e }}",
        "defaultDeny": "{{ parameters.ns }}",
        "dns": "{{ parameters.c }}",
        "policyTypes": ["{{ parameters.i }}"],
        "appLabel": "{{ parameters.k }}",
        "flows": [
            EVERYWHERE,
            {"from": {"podSelector": {}}, "to": {"entity": "{{ parameters.any }}"}, "ports": ["*"]},
            {"forEach": "['b']", "from": {"podSelector": selector}, "to": {"service": "{{ item }}"}},
        ],
    }
    made = body(parameters=parameters, template={"spec": spec})

    assert refusal(plane, made) == ""
    parsed = template.parse(made["spec"])
    assert isinstance(parsed, template.TemplateSpec), parsed
    rendered = template.render(parsed, template.Place("team-a"))
    assert "{{" not in json.dumps(rendered)


FAULTS = {
    "empty selector": (body(namespaceSelector={}), "select by at least one label"),
    "unknown field": (body(more=1), "more"),
    "unknown field of a flow": (
        body(template={"spec": {"flows": [{"from": {"app": "a"}, "to": {"app": "b"}, "ports": [1], "x": 1}]}}),
        "x",
    ),
    "two things at one end": (
        body(template={"spec": {"flows": [{"from": {"app": "a", "service": "s"}, "to": {"app": "b"}, "ports": [1]}]}}),
        "exactly one",
    ),
    "a plain word that is none": (body(template={"spec": {"mode": "Enforced"}}), "mode"),
    "a plain port that is none": (
        body(template={"spec": {"flows": [{"from": {"app": "a"}, "to": {"app": "b"}, "ports": ["80/tcp"]}]}}),
        "port",
    ),
    "a plain address that is none": (
        body(
            template={
                "spec": {"flows": [{"from": {"app": "a"}, "to": {"ipBlocks": [{"cidr": "10.0.0.1/8"}]}, "ports": [1]}]}
            }
        ),
        "host bits",
    ),
    "no places at a time": (body(maxConcurrent=0), "maxConcurrent"),
    "a parameter's name": (body(parameters={"a-b": "c"}), "parameter"),
    "no template": ({**body(), "spec": {"namespaceSelector": {"matchLabels": {"a": "b"}}}}, "template"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_invalid_is_refused_by_both(plane: ControlPlane, fault: str) -> None:
    made, said = FAULTS[fault]
    parsed = template.parse(made["spec"])

    assert said in refusal(plane, made)
    if isinstance(parsed, template.TemplateSpec):
        with pytest.raises(filling.RenderError):
            template.render(parsed, template.Place("team-a"))
    else:
        assert isinstance(parsed, Finding)


@pytest.mark.parametrize("name", ["appconnectivity", "x" * 64])
def test_a_name_that_objects_could_not_have_is_refused(plane: ControlPlane, name: str) -> None:
    assert "metadata.name" in refusal(plane, body() | {"metadata": {"name": name}})


def test_a_new_template_is_pending(plane: ControlPlane) -> None:
    done = plane.kubectl("create", "--dry-run=server", "-o", "json", "-f", "-", input=json.dumps(body()))

    (ready,) = json.loads(done.stdout)["status"]["conditions"]
    assert (ready["type"], ready["status"], ready["reason"]) == ("Ready", "Unknown", "Pending")


@pytest.mark.parametrize("word", ["appconntpl", "act", "appconnectivitytemplates"])
def test_kubectl_knows_it_by_its_names(plane: ControlPlane, word: str) -> None:
    assert plane.kubectl("get", word).returncode == 0


def test_the_largest_template_is_judged_within_the_cost_limit(plane: ControlPlane) -> None:
    text = "{{ parameters.a }}" + "x" * 200
    block = {"cidr": text, "except": [text] * 2}
    labels = {f"k{number}": text for number in range(4)}
    end = {"podSelector": {"matchLabels": labels}, "namespaceSelector": {"matchLabels": labels}}
    flows = [
        {"name": f"flow-{n}", "when": "true", "from": end, "to": {"ipBlocks": [block] * 16}, "ports": [text] * 8}
        for n in range(64)
    ]

    assert refusal(plane, body(template={"spec": {"flows": flows}})) == ""
