"""The examples for GitOps tools on a real API server with the real CRDs of Argo CD and Flux, synced as they sync."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from cluster import crds
from cluster.controlplane import ControlPlane
from cluster.operator import Operator
from e2e.conftest import eventually
from gitops.examples import GITOPS, build, wave
from gitops.health import Health, assess
from gitops.kstatus import compute

Body = dict[str, Any]
ARGO_CD = ("--server-side", "--force-conflicts", "--field-manager=argocd-controller")
POLICIES = {
    *("appconnectivity.allow-dns", "appconnectivity.default-deny", "shop.api-to-db.egress", "shop.api-to-db.ingress"),
    *("shop.frontend-to-api.egress", "shop.frontend-to-api.ingress"),
}


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """One of its own, as GitOps tools find a cluster: they are there, the operator is not."""
    with ControlPlane() as own:
        for namespace in ("argocd", "flux-system"):
            own.kubectl("create", "namespace", namespace)
        for file in crds.of_gitops_tools():
            own.kubectl("apply", "--server-side", "-f", file)
        established(own, "--all")
        yield own


def apply(plane: ControlPlane, *bodies: Body) -> None:
    plane.kubectl("apply", *ARGO_CD, "-f", "-", input=yaml.safe_dump_all(bodies))


def established(plane: ControlPlane, *names: str) -> None:
    """As kubectl wait has it, which fails at once on a CRD so new that it has no conditions."""
    words = ("wait", "--for=condition=Established", "crd", *names)
    eventually(lambda: plane.kubectl(*words, check=False).returncode == 0, what=" ".join(words))


def shop(plane: ControlPlane) -> Body:
    body: Body = json.loads(plane.kubectl("get", "appconn", "shop", "-n", "shop", "-o", "json").stdout)
    return body


def named(plane: ControlPlane, kind: str, namespace: str = "shop") -> set[str]:
    listed = json.loads(plane.kubectl("get", kind, "-n", namespace, "-o", "json").stdout)["items"]
    return {body["metadata"]["name"] for body in listed}


# What the tools themselves read.


@pytest.mark.parametrize("folder", ["argocd", "argocd/applications", "flux"])
def test_the_tools_own_crds_accept_the_examples_and_know_every_field(plane: ControlPlane, folder: str) -> None:
    done = plane.kubectl("apply", "--server-side", "--validate=strict", "-k", GITOPS / folder)

    assert len(done.stdout.splitlines()) == len(build(GITOPS / folder))


def test_a_field_that_argo_cd_does_not_know_would_be_refused(plane: ControlPlane) -> None:
    project = {"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", "metadata": {"name": "x"}}
    text = yaml.safe_dump(project | {"spec": {"namespaceResourceWhiteList": []}})
    done = plane.kubectl("apply", "--server-side", "-n", "argocd", "-f", "-", input=text, check=False)

    assert done.returncode == 1
    assert "namespaceResourceWhiteList" in done.stderr


def test_the_settings_join_those_that_argo_cd_has(plane: ControlPlane) -> None:
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "argocd-cm", "namespace": "argocd"}}
    mine = yaml.safe_dump(settings | {"data": {"url": "https://argocd.example.com"}})
    plane.kubectl("apply", "--server-side", "--field-manager=installer", "-f", "-", input=mine)
    plane.kubectl("apply", "--server-side", "-k", GITOPS / "argocd")

    data = json.loads(plane.kubectl("get", "configmap", "argocd-cm", "-n", "argocd", "-o", "json").stdout)["data"]
    assert data.pop("url") == "https://argocd.example.com"
    assert len(data) == 2


# What they sync.


def test_a_sync_in_waves_gets_through_and_no_workload_is_there_before_its_policies(
    plane: ControlPlane, run: Callable[[], Operator]
) -> None:
    bodies = build(GITOPS / "argocd" / "waves")
    apply(plane, *(body for body in bodies if wave(body) == -2))
    established(plane, "appconnectivities.appconnectivity.io")
    apply(plane, *(body for body in bodies if wave(body) == -1))
    apply(plane, *sorted((body for body in bodies if wave(body) == 0), key=lambda body: body["kind"] != "Namespace"))

    assert assess(shop(plane)).status == "Progressing"
    run()  # as late as can be: an operator that is slow to come holds up the sync, and fails nothing
    eventually(lambda: assess(shop(plane)) == Health("Healthy", "6 policies stand"))
    assert named(plane, "networkpolicies") == POLICIES
    assert named(plane, "deployments") == set()

    apply(plane, *(body for body in bodies if wave(body) == 1))
    assert named(plane, "deployments") == {"api", "db", "frontend"}
    assert assess(shop(plane)).status == "Healthy"


@pytest.fixture
def run(plane: ControlPlane) -> Iterator[Callable[[], Operator]]:
    """Runs the operator in place of its Deployment, which no kubelet runs here."""
    started: list[Operator] = []

    def start() -> Operator:
        started.append(Operator(plane))
        started[0].wait_ready()
        return started[0]

    yield start
    for operator in started:
        operator.stop()


def test_a_wait_of_flux_ends_when_the_policies_stand_and_not_before(
    operator: Operator, installed: ControlPlane
) -> None:
    installed.kubectl("apply", "--server-side", "-k", GITOPS / "namespaces" / "shop")
    try:
        found = compute(shop(installed))
        while found != "Current":
            assert found == "InProgress"
            found = compute(shop(installed))

        assert named(installed, "networkpolicies") == POLICIES
    finally:
        installed.kubectl("delete", "namespace", "shop", "--wait=false")
