"""Onboarding by label as platform teams do it: one line to wait, a guard for the label, and hostile input."""

from __future__ import annotations

import functools
import itertools
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from cluster.controlplane import ControlPlane
from cluster.operator import ROOT, USER, Operator
from e2e.conftest import Team, eventually, flow
from e2e.platform import Platform

BASELINE = "appconnectivity.io/baseline"
# A fair queue holds nobody up for longer than this because of what others write.
HELD_UP_SECONDS = 1.0


def test_one_line_labels_a_namespace_and_waits(platform: Platform, team: Team, operator: Operator) -> None:
    platform.apply(flow("frontend", "api", 8080))
    eventually(lambda: platform.ready().get("reason") == "RolledOut")
    programs = os.pathsep.join((str(team.plane.kubectl_path.parent), os.environ["PATH"]))
    line = (
        f"kubectl label ns {team.namespace} baseline={platform.name}"
        f" && kubectl wait -n {team.namespace} --for=create appconn/{platform.name} --timeout=15s"
        f" && kubectl wait -n {team.namespace} --for=condition=Ready appconn/{platform.name} --timeout=15s"
    )

    done = subprocess.run(
        ["bash", "-c", line],
        env=os.environ | {"KUBECONFIG": str(team.plane.kubeconfig), "PATH": programs},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "appconnectivity.default-deny" in team.policies()


@pytest.mark.parametrize("name", ["standard", "restricted", "partners"])
def test_render_shows_what_a_namespace_gets_byte_for_byte(
    installed: ControlPlane, operator: Operator, name: str
) -> None:
    file, namespace = ROOT / "manifests" / "templates" / f"{name}.yaml", f"rendered-{name}"
    labels, annotations = {BASELINE: name}, {"appconnectivity.io/partners": "team-b, team-c"}
    metadata = {"name": namespace, "labels": labels, "annotations": annotations}
    installed.kubectl("apply", "-f", file)
    installed.kubectl(
        "create", "-f", "-", input=yaml.safe_dump({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    )
    team = Team(plane=installed, namespace=namespace)
    eventually(lambda: team.get("appconn", name))

    live = team.get("appconn", name)
    words = [f"--label={BASELINE}={name}", "--annotation=appconnectivity.io/partners=team-b, team-c"]
    printed = subprocess.run(
        ["appconnectivity", "render", "--template", str(file), "-n", namespace, *words],
        env=os.environ | {"PATH": os.pathsep.join((str(ROOT / ".venv" / "bin"), os.environ["PATH"]))},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    kept = {key: live["metadata"][key] for key in ("name", "namespace", "labels", "annotations")}
    body = {"apiVersion": live["apiVersion"], "kind": live["kind"], "metadata": kept, "spec": live["spec"]}
    assert yaml.safe_dump(body, sort_keys=True, width=100) == printed
    installed.kubectl("delete", "-f", file)
    installed.kubectl("delete", "namespace", namespace, "--wait=false")


# The guard for the label.


@pytest.fixture
def guarded(installed: ControlPlane) -> Iterator[ControlPlane]:
    installed.kubectl("apply", "-k", ROOT / "manifests" / "onboarding")
    yield installed
    installed.kubectl("delete", "-k", ROOT / "manifests" / "onboarding")


def _as(plane: ControlPlane, team: Team, name: str, *, role: str) -> Callable[..., subprocess.CompletedProcess[str]]:
    """kubectl as a service account of the team's namespace that has this ClusterRole everywhere."""
    plane.kubectl("create", "serviceaccount", name, "-n", team.namespace)
    plane.kubectl(
        *("create", "clusterrolebinding", f"{team.namespace}-{name}", f"--clusterrole={role}"),
        f"--serviceaccount={team.namespace}:{name}",
    )
    kubeconfig = plane.kubeconfig_for_service_account(team.namespace, name)
    return functools.partial(plane.kubectl, kubeconfig=kubeconfig, check=False)


def test_only_who_may_write_templates_may_change_the_label(guarded: ControlPlane, team: Team) -> None:
    rule = {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "patch", "update"]}
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "namespace-editor"},
        "rules": [rule],
    }
    guarded.kubectl("apply", "-f", "-", input=yaml.safe_dump(role))
    tenant = _as(guarded, team, "tenant", role="namespace-editor")
    label = ("label", "namespace", team.namespace)

    values = itertools.count()  # a guard takes a moment to be known, and only a change is refused
    refused = eventually(lambda: _refused(tenant(*label, f"{BASELINE}=value-{next(values)}", "--overwrite")))
    assert "only who may update AppConnectivityTemplates may change it" in refused
    assert tenant(*label, "other=label").returncode == 0

    platform = _as(guarded, team, "platform", role="appconnectivity-template-admin")
    guarded.kubectl(
        *("create", "clusterrolebinding", f"{team.namespace}-both", "--clusterrole=namespace-editor"),
        f"--serviceaccount={team.namespace}:platform",
    )
    assert _refused(platform(*label, f"{BASELINE}=nobody", "--overwrite")) == ""
    assert _refused(tenant(*label, f"{BASELINE}-"))


def _refused(done: subprocess.CompletedProcess[str]) -> str:
    return done.stderr if done.returncode else ""


# Hostile input.

HOSTILE = {
    "an attribute walk": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "a loop": "{% for i in range(1000000000) %}x{% endfor %}",
    "a huge power": "{{ 9 ** 9 ** 9 }}",
    "a huge text": "{{ 'x' * 10000000000 }}",
    "nested parentheses": "{{ " + "(" * 240 + "1" + ")" * 240 + " }}",
    "a file": "{% include '/etc/passwd' %}",
    "an endless replace": "{{ 'a'" + " | replace('a', 'aaaaaaaaaaaaaaaaaaaa')" * 10 + " }}",
    "a broken text": "{{ '",
}
SAYINGS = {
    "YAML": "a: b\n- c\n{d: [e]}",
    "Jinja": "{{ 7 * 7 }}{% raw %}",
    "Unicode": "\u202e\u0000\ufeff".replace("\u0000", "") + "ｆｕｌｌ",
    "very long": "x" * 200_000,
    "many": ",".join(f"n{number}" for number in range(30_000)),
    "a star": "*",
    "everything": "0.0.0.0/0",
    "an end": "app: b}, to: {entity: Any",
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_template_is_reported_and_holds_up_nobody(
    new_platform: Callable[[], Platform], new_team: Callable[..., Team], what: str
) -> None:
    hostile, other = new_platform(), new_platform()
    team, bystander = new_team(**hostile.label), new_team()
    other.apply(flow("a", "b", 80))
    eventually(lambda: other.ready().get("reason") == "RolledOut")
    flows = [flow(HOSTILE[what], f"b{number}", 80) for number in range(60)]

    said = hostile.apply(*flows, check=False)
    other.put_label(bystander)
    bystander.plane.kubectl(
        *("wait", "--for=create", f"appconn/{other.name}", "-n", bystander.namespace, "--timeout=15s")
    )

    if "is invalid" not in said:  # by the API server itself
        eventually(lambda: hostile.ready().get("reason") in ("Invalid", "NamespacesFailed"))
        assert hostile.object(team) == {}
    assert team.policies() == {}


@pytest.mark.parametrize("saying", SAYINGS)
def test_whatever_a_namespace_says_of_itself_opens_nothing_more(
    platform: Platform, new_team: Callable[..., Team], saying: str
) -> None:
    """The namespace gets nothing and is named; and another one is served meanwhile."""
    team, other = new_team(**platform.label), new_team(**platform.label)
    platform.annotate(other, "said=fine")
    patch = json.dumps({"metadata": {"annotations": {"said": SAYINGS[saying]}}})
    team.plane.kubectl("patch", "namespace", team.namespace, "--type=merge", "--patch-file=/dev/stdin", input=patch)
    said = "{{ namespace.annotations.said }}"

    platform.apply(
        flow("a", "b", said),
        {"forEach": "namespace.annotations.said | split", **flow("a", {"app": "{{ item }}"}, 80)},
        flow("a", {"ipBlocks": [{"cidr": said}]}, 443) if saying == "everything" else flow("a", "c", 80),
    )

    eventually(lambda: platform.ready().get("reason") in ("NamespacesFailed", "RollingOut"))
    rows = eventually(lambda: [row for row in platform.status()["failures"] if row["namespace"] == team.namespace])
    assert rows[0]["reason"] == "RenderFailed"
    assert platform.object(team) == {}
    if saying != "everything":
        eventually(lambda: len(platform.flows(other)) == 3)


def test_expressions_without_number_hold_up_no_other_namespace(
    platform: Platform, new_team: Callable[..., Team], operator: Operator
) -> None:
    """A template at every limit, for many namespaces, while a team changes an object of its own."""
    blocks = [{"cidr": "10.{{ parameters.octet }}.0.0/16"} for _ in range(8)]
    flows = [flow("a", {"ipBlocks": blocks}, 443, name=f"f{n}") for n in range(60)]
    teams = [new_team(**platform.label) for _ in range(20)]
    bystander = new_team()
    platform.apply(*flows, parameters={"octet": "1"})

    longest = 0.0
    end = time.monotonic() + 60
    while platform.status().get("readyCount") != len(teams):
        assert time.monotonic() < end, platform.status()
        start = time.monotonic()
        assert operator.get("/healthz")[0] == 200
        longest = max(longest, time.monotonic() - start)
        time.sleep(0.01)

    bystander.connect("ours", flow("a", "b", 80))
    bystander.wait_ready("ours")
    print(f"the event loop answered after {longest:.3f} s at the latest")
    assert longest < HELD_UP_SECONDS


def test_a_template_writes_nothing_of_what_teams_have_made(platform: Platform, team: Team) -> None:
    team.connect("ours", flow("a", "b", 80))
    team.wait_ready("ours")
    since = len(team.plane.writes(user=USER))

    platform.apply(flow("frontend", "api", 8080))
    platform.put_label(team)
    eventually(lambda: platform.object(team))
    team.wait_ready(platform.name)

    written: list[dict[str, Any]] = [
        write["objectRef"]
        for write in team.plane.writes(user=USER, since=since)
        if write["objectRef"]["resource"] == "appconnectivities" and "subresource" not in write["objectRef"]
    ]
    assert {place["name"] for place in written if place.get("namespace") == team.namespace} == {platform.name}
