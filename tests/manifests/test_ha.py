"""What ``kubectl apply -k manifests/overlays/ha`` installs beside manifests/base: a second replica, and its Lease."""

from __future__ import annotations

from typing import Any

import pytest

from manifests.test_base import NAMESPACE, built, deployment, granted, identity, objects, one, pod

__all__ = ["objects"]  # the fixture: what manifests/base is

Body = dict[str, Any]


@pytest.fixture(scope="module")
def ha() -> list[Body]:
    return built("overlays/ha")


def test_all_else_is_as_in_the_base(objects: list[Body], ha: list[Body]) -> None:
    assert {identity(body) for body in ha} - {identity(body) for body in objects} == {
        ("Role", NAMESPACE, "appconnectivity-lease"),
        ("RoleBinding", NAMESPACE, "appconnectivity-lease"),
        ("PodDisruptionBudget", NAMESPACE, "appconnectivity"),
    }
    assert [body for body in objects if body not in ha] == [deployment(objects)]


def test_two_replicas_of_the_same_pod_vie_for_a_lease_and_never_stop_both(objects: list[Body], ha: list[Body]) -> None:
    spec, container = deployment(ha)["spec"], pod(ha)["containers"][0]

    assert spec["replicas"] == 2
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    assert container["args"] == ["run", "--lease", "appconnectivity"]
    assert container == pod(objects)["containers"][0] | {"args": container["args"]}
    budget = one(ha, kind="PodDisruptionBudget", name="appconnectivity", namespace=NAMESPACE)["spec"]
    labels = spec["template"]["metadata"]["labels"].items()
    assert budget["minAvailable"] == 1
    assert budget["selector"]["matchLabels"].items() <= labels
    (spread,) = pod(ha)["topologySpreadConstraints"]
    assert spread["labelSelector"]["matchLabels"].items() <= labels


def test_its_rights_on_leases_are_those_that_it_needs(ha: list[Body]) -> None:
    role = one(ha, kind="Role", name="appconnectivity-lease", namespace=NAMESPACE)
    group = "coordination.k8s.io"

    assert granted(role) == {(group, "leases", verb) for verb in ("create", "get", "patch")}
    assert [rule.get("resourceNames") for rule in role["rules"]] == [None, ["appconnectivity"]]
