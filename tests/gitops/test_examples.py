"""The examples for Argo CD and Flux: they build, point at what there is, and give a team no more than they say."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Any

import pytest
import yaml

from gitops.examples import FOLDERS, GITOPS, ROOT, build, one, wave

Body = dict[str, Any]
TEAMS = sorted(path.name for path in (GITOPS / "teams").iterdir())


@functools.cache
def applications() -> tuple[Body, ...]:
    return tuple(build(GITOPS / "argocd" / "applications"))


def application_of(team: str) -> Body:
    """The Application that the ApplicationSet makes of a team's folder."""
    template = one(applications(), kind="ApplicationSet", name="teams")["spec"]["template"]
    text = yaml.safe_dump(template).replace("{{.path.basename}}", team)
    made: Body = yaml.safe_load(text.replace("{{.path.path}}", f"manifests/gitops/teams/{team}"))
    return made


def permits(project: Body, *, group: str, kind: str, name: str = "x", namespace: str = "") -> bool:
    """Argo CD's rule for an object: listed by group and kind (and name), and in a namespace that is a destination."""
    spec = project["spec"]
    items = spec["namespaceResourceWhitelist" if namespace else "clusterResourceWhitelist"]
    is_listed = any(
        fnmatchcase(group, it["group"]) and fnmatchcase(kind, it["kind"]) and fnmatchcase(name, it.get("name", "*"))
        for it in items
    )
    places = [it["namespace"] for it in spec["destinations"]]
    return is_listed and (not namespace or any(fnmatchcase(namespace, place) for place in places))


def folders_named(bodies: Iterable[Body]) -> Iterator[tuple[str, str]]:
    """Every folder that an Application, a generator or a Flux Kustomization syncs, with what names it."""
    for body in bodies:
        spec = body["spec"]
        if body["kind"] == "Application":
            yield body["metadata"]["name"], spec["source"]["path"]
        if body["kind"] == "ApplicationSet":
            yield from ((it["path"], it["path"]) for it in spec["generators"][0]["git"]["directories"])
        if body["kind"] == "Kustomization":
            yield body["metadata"]["name"], spec["path"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_an_example_builds(folder: str) -> None:
    assert build(GITOPS / folder)


def test_every_file_is_part_of_an_example() -> None:
    expected = ["argocd", "argocd/applications", "argocd/waves", "flux", "namespaces/shop", "teams/shop"]
    assert expected == FOLDERS
    for folder in FOLDERS:
        kustomization = yaml.safe_load((GITOPS / folder / "kustomization.yaml").read_text())
        files = {path.name for path in (GITOPS / folder).glob("*.yaml")} - {"kustomization.yaml", "health_test.yaml"}
        assert files == {name for name in kustomization.get("resources", ()) if name.endswith(".yaml")}, folder


def test_what_the_tools_sync_are_folders_of_the_repository_that_build() -> None:
    named = list(folders_named([*applications(), *build(GITOPS / "flux")]))

    assert len(named) == 4
    for name, pattern in named:
        found = [path for path in ROOT.glob(pattern.removeprefix("./")) if path.is_dir()]
        assert found, f"{name}: {pattern}"
        assert all(build(path) for path in found)


def test_addresses_of_repositories_and_images_are_nobodys() -> None:
    texts = {path: path.read_text() for path in GITOPS.rglob("*.yaml")}
    urls = [word for text in texts.values() for word in text.split() if word.startswith(("http:", "https:"))]
    images = [
        line.split()[1] for text in texts.values() for line in text.splitlines() if line.strip().startswith("image:")
    ]

    assert set(urls) == {
        "https://git.example.com/platform/cluster.git",
        "https://kubernetes.default.svc,",
        "https://kubernetes.default.svc",
    }
    assert images
    assert all(image.startswith("registry.example.com/") for image in images)


# Waves.


def test_waves_are_the_crd_the_operator_the_objects_and_the_workloads() -> None:
    waves: dict[int, set[str]] = {}
    for body in build(GITOPS / "argocd" / "waves"):
        waves.setdefault(wave(body), set()).add(body["kind"])

    assert sorted(waves) == [-2, -1, 0, 1]
    assert waves[-2] == {"CustomResourceDefinition"}
    assert {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Deployment"} <= waves[-1]
    assert waves[0] == {"Namespace", "AppConnectivity", "Service"}
    assert waves[1] == {"Deployment"}


def test_no_tool_removes_a_crd_unasked() -> None:
    crds = [body for body in build(GITOPS / "argocd" / "waves") if body["kind"] == "CustomResourceDefinition"]
    flux = one(build(GITOPS / "flux"), kind="Kustomization", name="appconnectivity")["spec"]["patches"]

    options = [body["metadata"]["annotations"]["argocd.argoproj.io/sync-options"] for body in crds]
    assert options == ["Prune=confirm,Delete=confirm"] * len(crds)
    assert flux[0]["target"] == {"kind": "CustomResourceDefinition"}
    patched = yaml.safe_load(flux[0]["patch"])["metadata"]["annotations"]
    assert patched == {"kustomize.toolkit.fluxcd.io/prune": "disabled"}


def test_the_operator_is_in_its_wave_as_it_is_in_the_base() -> None:
    base = {(body["kind"], body["metadata"]["name"]): body for body in build(ROOT / "manifests" / "base")}
    synced = {(body["kind"], body["metadata"]["name"]): body for body in build(GITOPS / "argocd" / "waves")}

    for identity, body in base.items():
        annotations = synced[identity]["metadata"]["annotations"]
        others = {key: it for key, it in annotations.items() if not key.startswith("argocd.argoproj.io/sync-")}
        assert others == body["metadata"].get("annotations", {})
        assert {**synced[identity], "metadata": {}} == {**body, "metadata": {}}


# What a team may do.


@pytest.mark.parametrize("team", TEAMS)
def test_a_teams_application_is_in_its_own_project_and_namespace(team: str) -> None:
    made = application_of(team)
    spec = made["spec"]

    assert made["metadata"]["name"] == spec["project"] == spec["destination"]["namespace"] == f"team-{team}"
    assert one(applications(), kind="AppProject", name=f"team-{team}")
    assert (ROOT / spec["source"]["path"]).is_dir()


@pytest.mark.parametrize("team", TEAMS)
def test_a_teams_project_permits_all_that_is_in_its_folder_and_the_namespace_for_it(team: str) -> None:
    project = one(applications(), kind="AppProject", name=f"team-{team}")
    found = [(group_of(body), body["kind"]) for body in build(GITOPS / "teams" / team)]

    assert ("appconnectivity.io", "AppConnectivity") in found
    assert all(permits(project, group=group, kind=kind, namespace=f"team-{team}") for group, kind in found)
    assert permits(project, group="", kind="Namespace", name=f"team-{team}")


def group_of(body: Body) -> str:
    return str(body["apiVersion"].rpartition("/")[0])


@pytest.mark.parametrize("team", TEAMS)
@pytest.mark.parametrize(
    ("group", "kind"),
    [
        pytest.param("networking.k8s.io", "NetworkPolicy", id="a policy by hand"),
        pytest.param("cilium.io", "CiliumNetworkPolicy", id="one of Cilium"),
        pytest.param("projectcalico.org", "NetworkPolicy", id="one of Calico"),
        pytest.param("crd.antrea.io", "NetworkPolicy", id="one of Antrea"),
        pytest.param("rbac.authorization.k8s.io", "RoleBinding", id="a right for somebody else"),
    ],
)
def test_a_teams_project_refuses_what_would_open_more_than_is_declared(team: str, group: str, kind: str) -> None:
    project = one(applications(), kind="AppProject", name=f"team-{team}")

    assert not permits(project, group=group, kind=kind, namespace=f"team-{team}")


@pytest.mark.parametrize("team", TEAMS)
def test_a_teams_project_refuses_the_namespaces_of_others_and_all_else_of_the_cluster(team: str) -> None:
    project = one(applications(), kind="AppProject", name=f"team-{team}")

    for namespace in ("team-other", "kube-system", "appconnectivity-system"):
        assert not permits(project, group="appconnectivity.io", kind="AppConnectivity", namespace=namespace)
        assert not permits(project, group="", kind="Namespace", name=namespace)
    assert not permits(project, group="rbac.authorization.k8s.io", kind="ClusterRole")
    assert not permits(project, group="appconnectivity.io", kind="AppConnectivityTemplate")


def test_what_the_application_of_everything_syncs_its_project_permits() -> None:
    project = one(applications(), kind="AppProject", name="platform")
    assert one(applications(), kind="Application", name="shop")["spec"]["project"] == "platform"

    assert "namespaceResourceWhitelist" not in project["spec"]  # in Argo CD: everything
    assert permits(project, group="apiextensions.k8s.io", kind="CustomResourceDefinition")


@pytest.mark.parametrize("team", TEAMS)
def test_a_new_namespace_has_the_platforms_baseline_and_a_label_that_never_changes(team: str) -> None:
    template = one(applications(), kind="ApplicationSet", name="teams")["spec"]["template"]
    policy = application_of(team)["spec"]["syncPolicy"]

    assert "CreateNamespace=true" in policy["syncOptions"]
    assert policy["managedNamespaceMetadata"] == {"labels": {"appconnectivity.io/baseline": "standard"}}
    assert policy["managedNamespaceMetadata"] == template["spec"]["syncPolicy"]["managedNamespaceMetadata"]


@pytest.mark.parametrize("team", TEAMS)
def test_a_teams_folder_names_no_namespace(team: str) -> None:
    assert [body for body in build(GITOPS / "teams" / team) if "namespace" in body["metadata"]] == []


# Flux.


def test_flux_waits_by_its_own_rules_and_the_team_comes_after_the_operator() -> None:
    made = {
        body["metadata"]["name"]: body["spec"] for body in build(GITOPS / "flux") if body["kind"] == "Kustomization"
    }

    assert {name: it["wait"] for name, it in made.items()} == {"appconnectivity": True, "shop": True}
    assert made["shop"]["dependsOn"] == [{"name": "appconnectivity"}]
    assert not any({"healthChecks", "healthCheckExprs"} & it.keys() for it in made.values())
