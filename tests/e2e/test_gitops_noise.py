"""GitOps tools find nothing to complain about: the operator writes status alone, and marks its policies as nobody's."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from cluster.operator import ROOT, Operator
from e2e.conftest import Team

FILES = (ROOT / "manifests" / "gitops" / "teams" / "shop" / name for name in ("connectivity.yaml", "services.yaml"))
CONNECTIVITY, *SERVICES = [body for path in FILES for body in yaml.safe_load_all(path.read_text())]

# How the tools tell what is theirs: Argo CD, Flux, Helm, and kubectl.
MARKS = {
    "labels": {
        "app.kubernetes.io/instance": "shop",
        "argocd.argoproj.io/instance": "shop",
        "helm.sh/chart": "shop-1.0",
        "kustomize.toolkit.fluxcd.io/name": "shop",
        "kustomize.toolkit.fluxcd.io/namespace": "flux-system",
        "team": "shop",
    },
    "annotations": {
        "argocd.argoproj.io/sync-wave": "0",
        "argocd.argoproj.io/tracking-id": "shop:appconnectivity.io/AppConnectivity:shop/shop",
        "kustomize.toolkit.fluxcd.io/reconcile": "enabled",
        "meta.helm.sh/release-name": "shop",
    },
}
SHOP = CONNECTIVITY | {"metadata": {"name": "shop"} | MARKS}
TEXT = yaml.safe_dump_all([SHOP, *SERVICES])

ARGO_CD = ("--server-side", "--field-manager=argocd-controller")
FLUX = ("--server-side", "--field-manager=kustomize-controller")
KUBECTL: tuple[str, ...] = ()
TOOLS = [pytest.param(ARGO_CD, id="argocd"), pytest.param(FLUX, id="flux"), pytest.param(KUBECTL, id="kubectl")]

Body = dict[str, Any]


def reconciled(team: Team, *options: str) -> Body:
    """The object as it is after a tool has applied it and the operator is done with it."""
    team.plane.kubectl("apply", *options, "-n", team.namespace, "-f", "-", input=TEXT)
    team.wait_ready()
    return team.get("appconn", "shop")


def without_managers(body: Body) -> Body:
    return body | {"metadata": {key: value for key, value in body["metadata"].items() if key != "managedFields"}}


@pytest.mark.parametrize("options", TOOLS)
def test_the_tool_that_has_applied_a_file_sees_no_difference_afterwards(
    operator: Operator, team: Team, options: tuple[str, ...]
) -> None:
    reconciled(team, *options)

    seen = team.plane.kubectl("diff", *options, "-n", team.namespace, "-f", "-", input=TEXT, check=False)
    assert (seen.returncode, seen.stdout) == (0, ""), seen.stderr


def test_a_difference_would_be_seen(operator: Operator, team: Team) -> None:
    reconciled(team, *ARGO_CD)

    text = TEXT.replace("8080", "8081")
    seen = team.plane.kubectl("diff", *ARGO_CD, "-n", team.namespace, "-f", "-", input=text, check=False)
    assert seen.returncode == 1
    assert "8081" in seen.stdout


def test_another_tool_would_change_nothing_and_meet_no_conflict(operator: Operator, team: Team) -> None:
    before = reconciled(team, *ARGO_CD)

    options = (*FLUX, "--dry-run=server", "-o", "json", "-n", team.namespace)
    done = team.plane.kubectl("apply", *options, "-f", "-", input=yaml.safe_dump(SHOP))
    after = json.loads(done.stdout)
    assert without_managers(after) == without_managers(before)


@pytest.mark.parametrize("options", TOOLS)
def test_the_operator_writes_nothing_of_an_object_but_its_status(
    operator: Operator, team: Team, options: tuple[str, ...]
) -> None:
    found = reconciled(team, *options)

    written = [it for it in found["metadata"]["managedFields"] if it["manager"] == "appconnectivity"]
    assert [(it["subresource"], [*it["fieldsV1"]]) for it in written] == [("status", ["f:status"])]
    assert found["metadata"]["generation"] == 1
    assert found["metadata"]["labels"] == MARKS["labels"]
    assert not {"finalizers", "ownerReferences"} & found["metadata"].keys()
    ours = {name for name in found["metadata"]["annotations"] if "appconnectivity" in name}
    assert ours == set()


def test_policies_carry_no_mark_by_which_a_tool_would_take_them_for_its_own(operator: Operator, team: Team) -> None:
    reconciled(team, *ARGO_CD)
    policies = team.policies()

    assert len(policies) == 6
    for name, policy in policies.items():
        labels = policy["metadata"]["labels"]
        marks = {*labels, *policy["metadata"]["annotations"]} - {"app.kubernetes.io/managed-by"}
        assert labels["app.kubernetes.io/managed-by"] == "appconnectivity"
        assert {mark.partition("/")[0] for mark in marks} == {"appconnectivity.io"}, name
