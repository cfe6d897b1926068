"""The samples: one for every pattern, understood, self-contained, explained, each with its golden world."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from appconnectivity.core import api

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "manifests" / "samples"
GOLDEN = ROOT / "tests" / "golden"

PATTERNS = (
    "all-ports",
    "allow-all-inside-namespace",
    "another-namespace",
    "another-namespaces-pods",
    "api-server",
    "audit",
    "cidr-with-exceptions",
    "cluster-only",
    "default-deny-both",
    "default-deny-egress",
    "default-deny-ingress",
    "dns",
    "dual-stack",
    "endpoints-only",
    "expiring-flow",
    "headless-service",
    "ingress-controller",
    "internet",
    "jobs",
    "named-port",
    "only-some-pods-into-a-pod",
    "port-range",
    "prometheus",
    "protocols",
    "service-target-port",
    "service-without-selector",
    "several-namespaces-by-label",
    "shop",
    "statefulset",
)
KINDS = {"Namespace", "Service", "EndpointSlice", api.KIND}

_PORTS = r"\d+(-\d+)?(,\d+(-\d+)?)*"
_POD, _HOST = r"[a-z0-9-]+/[a-z0-9.-]+", r"host:[a-z0-9-]+"
_LINE = re.compile(
    rf"^(?P<source>{_POD}|{_HOST}) -> (?P<target>{_POD}|{_HOST}) : "
    rf"(ALL|(TCP|UDP|SCTP) {_PORTS}(, (TCP|UDP|SCTP) {_PORTS})*)$"
)


def read(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((SAMPLES / f"{name}.yaml").read_text()))


def world(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((GOLDEN / name / "world.yaml").read_text())
    return loaded


def of_kind(objects: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [it for it in objects if it["kind"] == kind]


def namespaces(name: str) -> dict[str, dict[str, str]]:
    found = of_kind(read(name), "Namespace")
    return {it["metadata"]["name"]: it["metadata"].get("labels", {}) for it in found}


def flows(name: str) -> list[tuple[str, api.Flow]]:
    return [
        (it["metadata"]["namespace"], flow)
        for it in of_kind(read(name), api.KIND)
        for flow in api.Spec.model_validate(it["spec"]).flows
    ]


def test_every_pattern_has_a_sample_and_a_golden_world_and_there_are_no_others() -> None:
    assert sorted(path.stem for path in SAMPLES.iterdir()) == sorted(PATTERNS)
    assert sorted(path.parent.name for path in GOLDEN.glob("*/world.yaml")) == sorted(PATTERNS)
    assert sorted(path.parent.name for path in GOLDEN.glob("*/expect.txt")) == sorted(PATTERNS)


@pytest.mark.parametrize("name", PATTERNS)
def test_sample_begins_with_a_sentence_that_says_what_it_makes_true(name: str) -> None:
    comment = []
    for line in (SAMPLES / f"{name}.yaml").read_text().splitlines():
        if not line.startswith("# "):
            break
        comment.append(line.removeprefix("# "))
    text = " ".join(comment)
    assert re.fullmatch(r"[A-Z].*[.)]", text)
    assert len(text.split()) >= 10


@pytest.mark.parametrize("name", PATTERNS)
def test_sample_is_accepted_by_the_types(name: str) -> None:
    objects = of_kind(read(name), api.KIND)
    assert objects
    for it in objects:
        assert it["apiVersion"] == api.API_VERSION
        assert api.Spec.model_validate(it["spec"])


@pytest.mark.parametrize("name", PATTERNS)
def test_sample_needs_nothing_but_itself(name: str) -> None:
    objects = read(name)
    homes = {it["metadata"].get("namespace") for it in objects if it["kind"] != "Namespace"}
    pointed_at = {end.namespace for _, flow in flows(name) for end in (flow.from_, flow.to)} - {None}
    assert {it["kind"] for it in objects} <= KINDS
    assert homes | pointed_at <= set(namespaces(name))
    services = {(it["metadata"]["namespace"], it["metadata"]["name"]) for it in of_kind(objects, "Service")}
    named = {(flow.to.namespace or own, flow.to.service) for own, flow in flows(name) if flow.to.service}
    assert named == services


@pytest.mark.parametrize("name", PATTERNS)
def test_namespaces_come_before_what_is_in_them(name: str) -> None:
    kinds = [it["kind"] == "Namespace" for it in read(name)]
    assert kinds == sorted(kinds, reverse=True)


@pytest.mark.parametrize("name", PATTERNS)
def test_world_holds_the_samples_namespaces_with_their_labels(name: str) -> None:
    labels = world(name)["namespaces"]
    for namespace, wanted in namespaces(name).items():
        assert wanted.items() <= labels[namespace].items()
    assert all(it[api.NAMESPACE_NAME_LABEL] == namespace for namespace, it in labels.items())


@pytest.mark.parametrize("name", PATTERNS)
def test_world_is_whole_and_unambiguous(name: str) -> None:
    pods, hosts = world(name)["pods"], world(name)["hosts"]
    assert {it["namespace"] for it in pods} <= set(world(name)["namespaces"])
    assert any((it["namespace"], it["labels"].get("k8s-app")) == ("kube-system", "kube-dns") for it in pods)
    ips = [ipaddress.ip_address(ip) for it in pods for ip in it["ips"]]
    ips += [ipaddress.ip_address(it["ip"]) for it in hosts]
    identities = [*(f"{it['namespace']}/{it['name']}" for it in pods), *(it["name"] for it in hosts)]
    assert len(set(ips)) == len(ips)
    assert len(set(identities)) == len(identities)


@pytest.mark.parametrize("name", PATTERNS)
def test_expectation_is_sorted_well_formed_and_about_its_own_world(name: str) -> None:
    pods = {f"{it['namespace']}/{it['name']}" for it in world(name)["pods"]}
    hosts = {f"host:{it['name']}" for it in world(name)["hosts"]}
    lines = (GOLDEN / name / "expect.txt").read_text().splitlines()
    assert lines == sorted(set(lines))
    for line in lines:
        match = _LINE.match(line)
        assert match, line
        ends = {match["source"], match["target"]}
        assert len(ends) == 2, f"{line}: nobody asks whether something reaches itself"
        assert ends <= pods | hosts, line
        assert ends & pods, f"{line}: nobody asks whether hosts reach each other"


@pytest.mark.parametrize("name", PATTERNS)
def test_something_stays_closed_unless_nothing_is_enforced(name: str) -> None:
    pods, hosts = len(world(name)["pods"]), len(world(name)["hosts"])
    everything = pods * (pods - 1) + 2 * pods * hosts
    lines = (GOLDEN / name / "expect.txt").read_text().splitlines()
    assert (sum(line.endswith(" : ALL") for line in lines) < everything) == (name != "audit")
