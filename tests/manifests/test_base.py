"""What ``kubectl apply -k manifests/base`` installs: it builds, it is confined, and it may do little."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
NAMESPACE = "appconnectivity-system"

Rule = tuple[str, str, str]


@pytest.fixture(scope="module")
def objects() -> list[dict[str, Any]]:
    return built("base")


def built(folder: str) -> list[dict[str, Any]]:
    """What kubectl makes of a folder of manifests."""
    places = os.pathsep.join(filter(None, (os.environ.get("KUBEBUILDER_ASSETS"), os.environ.get("PATH"))))
    kubectl = shutil.which("kubectl", path=places)
    assert kubectl, "kubectl is needed: put it on PATH, or name its folder in KUBEBUILDER_ASSETS"
    done = subprocess.run(
        [kubectl, "kustomize", str(ROOT / "manifests" / folder)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def identity(it: dict[str, Any]) -> tuple[str, str, str]:
    return it["kind"], it["metadata"].get("namespace", ""), it["metadata"]["name"]


def one(objects: list[dict[str, Any]], *, kind: str, name: str, namespace: str = "") -> dict[str, Any]:
    found = [it for it in objects if identity(it) == (kind, namespace, name)]
    assert len(found) == 1, f"{kind} {namespace}/{name}: {len(found)} of them"
    return found[0]


def deployment(objects: list[dict[str, Any]]) -> dict[str, Any]:
    return one(objects, kind="Deployment", name="appconnectivity", namespace=NAMESPACE)


def pod(objects: list[dict[str, Any]]) -> dict[str, Any]:
    spec: dict[str, Any] = deployment(objects)["spec"]["template"]["spec"]
    return spec


def granted(role: dict[str, Any]) -> set[Rule]:
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_base_holds_what_an_installation_needs_and_nothing_else(objects: list[dict[str, Any]]) -> None:
    assert sorted(map(identity, objects)) == [
        ("ClusterRole", "", "appconnectivity"),
        ("ClusterRole", "", "appconnectivity-edit"),
        ("ClusterRole", "", "appconnectivity-template-admin"),
        ("ClusterRole", "", "appconnectivity-view"),
        ("ClusterRoleBinding", "", "appconnectivity"),
        ("CustomResourceDefinition", "", "appconnectivities.appconnectivity.io"),
        ("CustomResourceDefinition", "", "appconnectivitytemplates.appconnectivity.io"),
        ("Deployment", NAMESPACE, "appconnectivity"),
        ("Namespace", "", NAMESPACE),
        ("NetworkPolicy", NAMESPACE, "appconnectivity"),
        ("Role", "kube-system", "appconnectivity"),
        ("RoleBinding", "kube-system", "appconnectivity"),
        ("Service", NAMESPACE, "appconnectivity-metrics"),
        ("ServiceAccount", NAMESPACE, "appconnectivity"),
    ]


def test_every_object_carries_the_recommended_labels(objects: list[dict[str, Any]]) -> None:
    labels = [it["metadata"]["labels"] for it in [*objects, deployment(objects)["spec"]["template"]]]
    assert {it.get("app.kubernetes.io/name") for it in labels} == {"appconnectivity"}
    assert {it.get("app.kubernetes.io/part-of") for it in labels} == {"appconnectivity"}


def test_the_operators_own_policy_is_not_marked_as_one_that_it_manages(objects: list[dict[str, Any]]) -> None:
    policy = one(objects, kind="NetworkPolicy", name="appconnectivity", namespace=NAMESPACE)
    assert "app.kubernetes.io/managed-by" not in policy["metadata"]["labels"]


def test_namespace_enforces_the_restricted_pod_security_standard(objects: list[dict[str, Any]]) -> None:
    labels = one(objects, kind="Namespace", name=NAMESPACE)["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_pod_shares_nothing_with_its_node(objects: list[dict[str, Any]]) -> None:
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod(objects))
    assert [set(volume) for volume in pod(objects)["volumes"]] == [{"name", "emptyDir"}]
    assert not any("hostPort" in port for it in pod(objects)["containers"] for port in it["ports"])


def test_pod_runs_as_a_numbered_user_that_is_not_root(objects: list[dict[str, Any]]) -> None:
    context = pod(objects)["securityContext"]
    assert context["runAsNonRoot"] is True
    assert (context["runAsUser"], context["runAsGroup"]) == (65532, 65532)
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}


def test_every_container_passes_the_restricted_standard(objects: list[dict[str, Any]]) -> None:
    containers = [*pod(objects)["containers"], *pod(objects).get("initContainers", [])]
    assert [it["securityContext"] for it in containers] == [
        {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    ]


def test_container_says_what_it_needs_and_how_it_is_probed(objects: list[dict[str, Any]]) -> None:
    [container] = pod(objects)["containers"]
    assert container["args"] == ["run"]
    assert container["resources"]["requests"] == {"cpu": "50m", "memory": "96Mi"}
    assert container["resources"]["limits"] == {"memory": "512Mi"}
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    assert container["ports"] == [{"name": "http", "containerPort": 8080, "protocol": "TCP"}]


def test_image_has_a_version_that_does_not_move(objects: list[dict[str, Any]]) -> None:
    [container] = pod(objects)["containers"]
    version = deployment(objects)["metadata"]["labels"]["app.kubernetes.io/version"]
    assert container["image"] == f"ghcr.io/appconnectivity/appconnectivity:{version}"


def test_two_versions_never_run_side_by_side(objects: list[dict[str, Any]]) -> None:
    spec = deployment(objects)["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    assert pod(objects)["terminationGracePeriodSeconds"] == 15


@pytest.mark.parametrize(
    ("kind", "name", "path"),
    [
        pytest.param("Deployment", "appconnectivity", ("spec", "selector", "matchLabels"), id="deployment"),
        pytest.param("Service", "appconnectivity-metrics", ("spec", "selector"), id="service"),
        pytest.param("NetworkPolicy", "appconnectivity", ("spec", "podSelector", "matchLabels"), id="policy"),
    ],
)
def test_selectors_find_the_operators_pod(
    objects: list[dict[str, Any]], kind: str, name: str, path: tuple[str, ...]
) -> None:
    selector: Any = one(objects, kind=kind, name=name, namespace=NAMESPACE)
    for step in path:
        selector = selector[step]
    labels = deployment(objects)["spec"]["template"]["metadata"]["labels"]
    assert selector
    assert selector.items() <= labels.items()


def test_operator_may_do_exactly_this(objects: list[dict[str, Any]]) -> None:
    ours, policies = "appconnectivity.io", "networkpolicies"
    assert granted(one(objects, kind="ClusterRole", name="appconnectivity")) == {
        *((ours, "appconnectivities", verb) for verb in ("list", "watch", "create", "patch", "delete")),
        *((ours, "appconnectivitytemplates", verb) for verb in ("get", "list", "watch")),
        (ours, "appconnectivities/status", "patch"),
        (ours, "appconnectivitytemplates/status", "patch"),
        *(("networking.k8s.io", policies, verb) for verb in ("list", "watch", "create", "patch", "delete")),
        *(("", "namespaces", verb) for verb in ("get", "list", "watch")),
        *(("", "services", verb) for verb in ("get", "list", "watch")),
        *(("discovery.k8s.io", "endpointslices", verb) for verb in ("list", "watch")),
        ("", "events", "create"),
        *(("apiextensions.k8s.io", "customresourcedefinitions", verb) for verb in ("list", "watch")),
    }
    assert one(objects, kind="Role", name="appconnectivity", namespace="kube-system")["rules"] == [
        {
            "apiGroups": ["apps"],
            "resources": ["daemonsets"],
            "resourceNames": ["node-local-dns"],
            "verbs": ["get"],
        }
    ]


def test_no_role_has_a_wildcard_or_reaches_secrets_or_pods(objects: list[dict[str, Any]]) -> None:
    roles = [it for it in objects if it["kind"] in ("ClusterRole", "Role")]
    words = {word for role in roles for rule in granted(role) for word in rule}
    assert not words & {"*", "secrets", "pods", "pods/exec", "escalate", "bind", "impersonate"}


@pytest.mark.parametrize(
    "namespace", [pytest.param("", id="cluster-wide"), pytest.param("kube-system", id="kube-system")]
)
def test_roles_are_bound_to_the_operators_service_account_alone(objects: list[dict[str, Any]], namespace: str) -> None:
    scope = "" if namespace else "Cluster"
    binding = one(objects, kind=f"{scope}RoleBinding", name="appconnectivity", namespace=namespace)
    assert (binding["roleRef"]["kind"], binding["roleRef"]["name"]) == (f"{scope}Role", "appconnectivity")
    [subject] = binding["subjects"]
    assert subject == {"kind": "ServiceAccount", "name": "appconnectivity", "namespace": NAMESPACE}
    assert pod(objects)["serviceAccountName"] == "appconnectivity"


@pytest.mark.parametrize(
    ("role", "into", "verbs"),
    [
        pytest.param("view", {"view"}, {"get", "list", "watch"}, id="view"),
        pytest.param(
            "edit",
            {"edit", "admin"},
            {"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"},
            id="edit",
        ),
    ],
)
def test_users_rights_join_the_built_in_roles_and_spare_the_status(
    objects: list[dict[str, Any]], role: str, into: set[str], verbs: set[str]
) -> None:
    found = one(objects, kind="ClusterRole", name=f"appconnectivity-{role}")
    prefix = "rbac.authorization.k8s.io/aggregate-to-"
    joined = {key for key, value in found["metadata"]["labels"].items() if value == "true"}
    assert {key.removeprefix(prefix) for key in joined} == into
    assert granted(found) == {("appconnectivity.io", "appconnectivities", verb) for verb in verbs}


def test_operator_is_reached_on_its_port_and_asks_no_strange_dns(objects: list[dict[str, Any]]) -> None:
    spec = one(objects, kind="NetworkPolicy", name="appconnectivity", namespace=NAMESPACE)["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert spec["ingress"] == [{"ports": [{"protocol": "TCP", "port": 8080}]}]
    to_anywhere = [port["port"] for rule in spec["egress"] if "to" not in rule for port in rule["ports"]]
    assert to_anywhere == [443, 6443, 8443, 16443]
    assert all(rule["to"] and all(rule["to"]) for rule in spec["egress"] if "to" in rule)
