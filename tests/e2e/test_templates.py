"""Templates: a label on a namespace brings the object, and the operator alone decides what it says."""

from __future__ import annotations

import functools
import json
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from cluster.controlplane import ControlPlane
from cluster.operator import USER, Operator
from e2e.admission import refusing
from e2e.conftest import Team, appconn, eventually, flow
from e2e.platform import Platform

DENY = "appconnectivity.default-deny"


@pytest.fixture
def onboarded(platform: Platform, team: Team) -> Team:
    """A namespace with the label, and its object Ready."""
    platform.apply(flow("frontend", "api", 8080))
    platform.put_label(team)
    eventually(lambda: platform.object(team))
    team.wait_ready(platform.name)
    return team


@pytest.fixture
def rolled_out(platform: Platform, onboarded: Team) -> Team:
    """The same, where the template's status says so, too."""
    eventually(lambda: platform.reports("RolledOut", readyCount=1))
    return onboarded


def policy_writes(team: Team, *, since: int) -> list[dict[str, Any]]:
    return [w for w in _writes_in(team, since=since) if w["objectRef"]["resource"] == "networkpolicies"]


def _writes_in(team: Team, *, since: int) -> list[dict[str, Any]]:
    """Of the operator, in the team's namespace."""
    found = team.plane.writes(user=USER, since=since)
    return [w for w in found if w["objectRef"].get("namespace") == team.namespace]


def _has(platform: Platform, team: Team, *flows: dict[str, Any]) -> bool:
    return platform.flows(team) == [*flows]


def test_a_labelled_namespace_gets_the_object_and_is_isolated(platform: Platform, onboarded: Team) -> None:
    body = platform.object(onboarded)
    owner = body["metadata"]["ownerReferences"][0]

    assert platform.flows(onboarded) == [flow("frontend", "api", 8080)]
    assert (owner["kind"], owner["name"], owner["controller"]) == ("AppConnectivityTemplate", platform.name, True)
    assert DENY in onboarded.policies()
    status = eventually(lambda: platform.reports("RolledOut", readyCount=1))
    platform.wait_ready()
    assert status["readyNamespaces"] == "1/1"


def test_namespaces_that_had_the_label_before_get_it_too(platform: Platform, new_team: Callable[..., Team]) -> None:
    teams = [new_team(**platform.label) for _ in range(3)]

    platform.apply(flow("frontend", "api", 8080))

    for team in teams:
        eventually(functools.partial(platform.object, team))
        team.wait_ready(platform.name)
    status = eventually(lambda: platform.reports("RolledOut", readyCount=3))
    platform.wait_ready()
    assert {key: status[key] for key in ("selectedCount", "updatedCount", "readyCount", "failedCount")} == {
        "selectedCount": 3,
        "updatedCount": 3,
        "readyCount": 3,
        "failedCount": 0,
    }


def test_a_namespace_that_is_made_with_the_label_gets_it(platform: Platform, new_team: Callable[..., Team]) -> None:
    platform.apply()
    team = new_team(**platform.label)

    eventually(lambda: platform.object(team))
    team.wait_ready(platform.name)


def test_only_the_templates_object_goes_with_the_label(platform: Platform, onboarded: Team) -> None:
    onboarded.connect("ours", flow("a", "b", 80))
    onboarded.wait_ready("ours")

    platform.take_label(onboarded)

    eventually(lambda: not platform.object(onboarded))
    eventually(lambda: not any(platform.name in name for name in onboarded.policies()))
    assert onboarded.get("appconn", "ours")
    assert {"ours.a-to-b.ingress", DENY} <= set(onboarded.policies())
    eventually(lambda: platform.status()["selectedCount"] == 0)


def test_nothing_is_left_when_the_label_goes(platform: Platform, onboarded: Team) -> None:
    platform.put_label(onboarded, "another")

    eventually(lambda: not platform.object(onboarded) and not onboarded.policies())


def test_policies_go_before_the_object_so_that_they_go_in_their_order(platform: Platform, onboarded: Team) -> None:
    since = len(onboarded.plane.writes(user=USER))

    platform.take_label(onboarded)
    eventually(lambda: not platform.object(onboarded) and not onboarded.policies())

    def verbs() -> list[tuple[str, str]]:
        found = [w for w in _writes_in(onboarded, since=since) if "subresource" not in w["objectRef"]]
        return [(write["verb"], write["objectRef"]["resource"]) for write in found]

    gone = ("delete", "appconnectivities")
    eventually(lambda: gone in verbs(), what="the audit log has it")
    deletions = [place for place, write in enumerate(verbs()) if write == ("delete", "networkpolicies")]
    assert deletions
    assert verbs().index(gone) > max(deletions)
    assert any("does not select this namespace any more" in event["message"] for event in onboarded.events("Audit"))


def test_a_changed_template_reaches_every_namespace(platform: Platform, new_team: Callable[..., Team]) -> None:
    teams = [new_team(**platform.label) for _ in range(3)]
    platform.apply(flow("frontend", "api", 8080))
    platform.wait_ready()
    eventually(lambda: platform.status().get("readyCount") == 3)

    platform.apply(flow("frontend", "api", 9090))

    for team in teams:
        eventually(functools.partial(_has, platform, team, flow("frontend", "api", 9090)))
    eventually(lambda: platform.reports("RolledOut", readyCount=3))


def test_a_rollout_is_bounded(
    platform: Platform, new_team: Callable[..., Team], installed_operator: Callable[..., Operator]
) -> None:
    """No more objects are written at a time than maxConcurrent lets: as many as were Ready before, and two."""
    teams = [new_team(**platform.label) for _ in range(6)]
    since = len(platform.plane.writes(user=USER))
    platform.apply(flow("frontend", "api", 8080), maxConcurrent=2)
    installed_operator()
    eventually(lambda: platform.status().get("readyCount") == len(teams))

    names = {team.namespace for team in teams}
    under_way: set[str] = set()
    most = 0
    for write in platform.plane.writes(user=USER, since=since):
        place = write["objectRef"]
        if place["resource"] != "appconnectivities" or place.get("namespace") not in names:
            continue
        under_way = under_way - {place["namespace"]} if "subresource" in place else under_way | {place["namespace"]}
        most = max(most, len(under_way))
    assert most == 2


def test_what_a_namespace_says_of_itself_is_put_in(platform: Platform, team: Team) -> None:
    platform.apply(
        {
            "forEach": "namespace.annotations['partners'] | default('') | split",
            **flow({"namespace": "{{ item }}"}, "api", 80),
        },
        {"when": "namespace.labels.tier == 'web'", **flow({"namespace": "{{ parameters.ingress }}"}, "web", 8080)},
        parameters={"ingress": "ingress-nginx"},
    )
    team.plane.kubectl("label", "namespace", team.namespace, "tier=web")
    platform.annotate(team, "partners=team-b, team-c")
    platform.put_label(team)

    eventually(lambda: platform.object(team))
    assert [entry["from"]["namespace"] for entry in platform.flows(team)] == ["team-b", "team-c", "ingress-nginx"]

    platform.annotate(team, "partners=team-c")

    eventually(lambda: [entry["from"]["namespace"] for entry in platform.flows(team)] == ["team-c", "ingress-nginx"])


def test_a_namespace_that_can_not_be_rendered_keeps_what_it_has_and_is_named(
    platform: Platform, new_team: Callable[..., Team]
) -> None:
    good, bad = new_team(**platform.label, tier="web"), new_team(**platform.label, tier="web")
    platform.apply(flow("{{ namespace.labels.tier }}", "api", 8080))
    eventually(lambda: platform.status().get("readyCount") == 2)

    bad.plane.kubectl("label", "namespace", bad.namespace, "tier-")
    platform.apply(flow("{{ namespace.labels.tier }}", "api", 9090))

    eventually(lambda: platform.flows(good) == [flow("web", "api", 9090)])
    status = eventually(lambda: platform.reports("NamespacesFailed"))
    assert platform.flows(bad) == [flow("web", "api", 8080)]
    assert bad.condition(platform.name, "Ready")["status"] == "True"
    assert "has no 'tier'" in eventually(lambda: bad.events("RenderFailed"))[0]["message"]
    assert status["failures"] == [
        {
            "namespace": bad.namespace,
            "reason": "RenderFailed",
            "message": "spec.template.spec.flows[0].from.app: '{{ namespace.labels.tier }}':"
            " namespace.labels has no 'tier'",
        }
    ]
    assert status["readyNamespaces"] == "1/2"


def test_an_object_of_the_team_with_this_name_is_left_alone(platform: Platform, team: Team) -> None:
    team.connect(platform.name, flow("a", "b", 80))
    team.wait_ready(platform.name)
    before = platform.object(team)

    platform.apply(flow("frontend", "api", 8080))
    platform.put_label(team)

    eventually(lambda: platform.ready().get("reason") == "NamespacesFailed")
    assert platform.status()["failures"][0]["reason"] == "NameConflict"
    after = platform.object(team)
    assert (after["spec"], after["metadata"]["generation"]) == (before["spec"], before["metadata"]["generation"])
    assert [entry["manager"] for entry in after["metadata"]["managedFields"] if "subresource" not in entry] == [
        "kubectl-client-side-apply"
    ]
    assert [e["message"].split(" is not")[0] for e in eventually(lambda: team.events("NameConflict"))] == [
        f"AppConnectivityTemplate {platform.name}: AppConnectivity {platform.name}"
    ]

    team.delete("appconn", platform.name)
    eventually(lambda: platform.flows(team) == [flow("frontend", "api", 8080)])


def test_the_next_operator_does_not_tell_once_more_what_the_status_says(
    platform: Platform, new_team: Callable[..., Team], installed_operator: Callable[..., Operator]
) -> None:
    first, team = installed_operator(), new_team(**platform.label)
    team.connect(platform.name, flow("a", "b", 80))
    platform.apply(flow("frontend", "api", 8080))
    eventually(lambda: team.events("NameConflict"))
    eventually(lambda: platform.status().get("failedCount") == 1)
    first.stop()

    installed_operator()
    later = new_team(**platform.label)
    eventually(lambda: platform.object(later))
    later.wait_ready(platform.name)

    assert len(team.events("NameConflict")) == 1


def test_two_templates_on_one_namespace_both_hold(new_platform: Callable[[], Platform], team: Team) -> None:
    one, other = new_platform(), new_platform()
    one.apply(flow("a", "b", 80))
    other.apply(flow("c", "d", 81), namespaceSelector={"matchLabels": one.label})

    one.put_label(team)

    for platform in (one, other):
        eventually(functools.partial(platform.object, team))
        team.wait_ready(platform.name)
    assert {f"{one.name}.a-to-b.ingress", f"{other.name}.c-to-d.ingress", DENY} <= set(team.policies())


def test_the_objects_go_with_their_template(platform: Platform, onboarded: Team) -> None:
    platform.delete()

    eventually(lambda: not platform.object(onboarded) and not onboarded.policies())


def test_an_object_that_a_deleted_template_has_left_goes_too(platform: Platform, onboarded: Team) -> None:
    platform.delete("--cascade=orphan")

    eventually(lambda: not platform.object(onboarded) and not onboarded.policies())


def test_a_template_that_is_made_anew_takes_over_what_stands(platform: Platform, onboarded: Team) -> None:
    platform.delete("--cascade=orphan")
    platform.apply(flow("frontend", "api", 8080))

    uid = platform.body()["metadata"]["uid"]
    eventually(
        lambda: [r["uid"] for r in platform.object(onboarded).get("metadata", {}).get("ownerReferences", [])] == [uid]
    )
    onboarded.wait_ready(platform.name)


TAMPERINGS = {
    "switched to Audit": [{"op": "replace", "path": "/spec/mode", "value": "Audit"}],
    "a flow is added": [
        {"op": "add", "path": "/spec/flows/-", "value": flow({"entity": "Any"}, {"podSelector": {}}, "*")}
    ],
    "all flows are taken out": [{"op": "replace", "path": "/spec/flows", "value": []}],
    "no deny": [{"op": "replace", "path": "/spec/defaultDeny", "value": "None"}],
    "another label key": [{"op": "add", "path": "/spec/appLabel", "value": "mine"}],
    "one direction only": [{"op": "replace", "path": "/spec/policyTypes", "value": ["Ingress"]}],
    "the owner is taken off": [{"op": "remove", "path": "/metadata/ownerReferences"}],
    "the label is taken off": [{"op": "remove", "path": "/metadata/labels"}],
}
WITHOUT_TRACE = ("the owner is taken off", "the label is taken off")


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_an_edited_object_is_put_back_and_its_policies_stand_all_the_while(
    platform: Platform, onboarded: Team, tampering: str
) -> None:
    before = platform.object(onboarded)
    since = len(onboarded.plane.writes(user=USER))

    onboarded.plane.kubectl(
        *("patch", "appconn", platform.name, "-n", onboarded.namespace, "--type=json", "--field-manager=mallory"),
        *("-p", json.dumps(TAMPERINGS[tampering])),
    )

    def is_put_back() -> bool:
        found = platform.object(onboarded)
        marks = ("labels", "ownerReferences")
        return found["spec"] == before["spec"] and all(
            found["metadata"].get(key) == before["metadata"][key] for key in marks
        )

    eventually(is_put_back, within=2)
    event = eventually(lambda: onboarded.events("DriftRepaired"))[0]
    # Who only takes something away owns no field afterwards.
    who = "(the API server's audit log says by whom)" if tampering in WITHOUT_TRACE else "by mallory"
    assert event["message"] == (
        f"AppConnectivity {platform.name} was changed {who} and has been put back, as its template says"
    )
    onboarded.wait_ready(platform.name)
    assert policy_writes(onboarded, since=since) == []


def test_a_deleted_object_is_put_back(platform: Platform, onboarded: Team) -> None:
    onboarded.delete("appconn", platform.name, "--wait=false")

    eventually(lambda: platform.flows(onboarded) == [flow("frontend", "api", 8080)], within=2)
    eventually(lambda: DENY in onboarded.policies(), within=2)
    event = eventually(lambda: onboarded.events("DriftRepaired"))[0]
    assert "was deleted" in event["message"]


def test_a_finalizer_does_not_keep_it_half_deleted(platform: Platform, onboarded: Team) -> None:
    """An object that is being deleted wants nothing any more: with a finalizer it would stay so for ever."""
    uid = platform.object(onboarded)["metadata"]["uid"]
    patch = {"metadata": {"finalizers": ["mallory.example/keep"]}}
    onboarded.plane.kubectl(
        "patch", "appconn", platform.name, "-n", onboarded.namespace, "--type=merge", "-p", json.dumps(patch)
    )

    onboarded.delete("appconn", platform.name, "--wait=false")

    eventually(lambda: platform.object(onboarded).get("metadata", {}).get("uid", uid) != uid, within=3)
    onboarded.wait_ready(platform.name)
    assert DENY in onboarded.policies()


CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mine"}}


def owned_by(owner: dict[str, Any], **more: Any) -> dict[str, Any]:
    identity = {key: owner[key] for key in ("apiVersion", "kind")}
    return identity | {"name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"], **more}


def patch(platform: Platform, team: Team, body: dict[str, Any]) -> None:
    words = ("patch", "appconn", platform.name, "-n", team.namespace, "--type=merge", "--patch-file=/dev/stdin")
    team.plane.kubectl(*words, input=json.dumps(body))


def test_a_deletion_that_waits_for_something_does_not_keep_it_half_deleted(platform: Platform, onboarded: Team) -> None:
    """Garbage collection would wait for a dependent that never goes."""
    before = platform.object(onboarded)
    dependent: dict[str, Any] = {"name": "mine", "finalizers": ["mallory.example/keep"]}
    dependent |= {"ownerReferences": [owned_by(before, blockOwnerDeletion=True)]}
    onboarded.apply(CONFIG_MAP | {"metadata": dependent})

    onboarded.delete("appconn", platform.name, "--cascade=foreground", "--wait=false")

    uid = before["metadata"]["uid"]
    eventually(lambda: platform.object(onboarded).get("metadata", {}).get("uid", uid) != uid, within=5)
    onboarded.wait_ready(platform.name)
    assert DENY in onboarded.policies()
    onboarded.plane.kubectl(
        *("patch", "configmap", "mine", "-n", onboarded.namespace, "-p", '{"metadata":{"finalizers":null}}')
    )


def test_another_owner_does_not_keep_it_from_being_put_back(platform: Platform, onboarded: Team) -> None:
    """An object has one controller at most: where somebody has put in another, ours can't be applied."""
    onboarded.apply(CONFIG_MAP)
    other = owned_by(onboarded.get("configmap", "mine"), controller=True)

    patch(platform, onboarded, {"metadata": {"ownerReferences": [other]}, "spec": {"mode": "Audit"}})

    eventually(lambda: platform.object(onboarded)["spec"]["mode"] == "Enforce", within=3)
    assert DENY in onboarded.policies()
    owners = [owner["name"] for owner in platform.object(onboarded)["metadata"]["ownerReferences"]]
    assert owners == [platform.name]


def test_a_full_object_does_not_keep_it_from_being_put_back(platform: Platform, onboarded: Team) -> None:
    full = {"x": "x" * (256 * 1024 - 1)}
    body = platform.object(onboarded)
    metadata = {key: value for key, value in body["metadata"].items() if key != "managedFields"}
    filled = body | {"metadata": metadata | {"annotations": full}, "spec": body["spec"] | {"mode": "Audit"}}

    onboarded.plane.kubectl("replace", "-n", onboarded.namespace, "-f", "-", input=json.dumps(filled))

    eventually(lambda: platform.object(onboarded)["spec"]["mode"] == "Enforce", within=3)
    assert DENY in onboarded.policies()


def test_a_namespace_whose_object_is_refused_holds_up_no_other(
    platform: Platform, new_team: Callable[..., Team], installed: ControlPlane
) -> None:
    """A quota or an admission policy may refuse the object; here the namespace lets nobody make one."""
    first, second = new_team(), new_team()
    unless = f"object.metadata.name != '{platform.name}'"
    policy = refusing("refuse-one", first.namespace, "appconnectivities", unless=unless, message="denied")
    installed.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(policy))
    wanted = ("create", "--dry-run=server", "-n", first.namespace, "-f", "-")
    text = yaml.safe_dump(appconn(platform.name))
    eventually(lambda: "denied" in installed.kubectl(*wanted, input=text, check=False).stderr)

    platform.apply(flow("a", "b", 80), maxConcurrent=1)
    for team in (first, second):
        platform.put_label(team)

    eventually(lambda: platform.object(second))
    second.wait_ready(platform.name)
    eventually(lambda: platform.status().get("readyNamespaces") == "1/2")
    assert [(row["namespace"], row["reason"]) for row in platform.status()["failures"]] == [
        (first.namespace, "WriteFailed")
    ]
    assert first.namespace in platform.ready()["message"]
    installed.kubectl("delete", "-f", "-", input=yaml.safe_dump_all(policy))


def test_another_object_can_not_be_put_in_its_place(platform: Platform, onboarded: Team) -> None:
    hole = appconn(platform.name, flow({"entity": "Any"}, {"podSelector": {}}, "*"), mode="Audit")

    onboarded.plane.kubectl(
        "replace", "--force", "-n", onboarded.namespace, "-f", "-", input=yaml.safe_dump(hole), check=False
    )

    eventually(lambda: platform.flows(onboarded) == [flow("frontend", "api", 8080)], within=3)
    onboarded.wait_ready(platform.name)
    assert DENY in onboarded.policies()


def test_whoever_keeps_editing_it_does_not_get_it_switched_off(platform: Platform, onboarded: Team) -> None:
    since = len(onboarded.plane.writes(user=USER))
    for _ in range(12):
        onboarded.plane.kubectl(
            *("patch", "appconn", platform.name, "-n", onboarded.namespace, "--type=merge"),
            *("-p", '{"spec": {"mode": "Audit"}}'),
        )
        assert DENY in onboarded.policies()

    eventually(lambda: platform.object(onboarded)["spec"]["mode"] == "Enforce", within=2)
    assert policy_writes(onboarded, since=since) == []


def test_whoever_edits_it_all_the_time_does_not_get_its_word_into_the_policies(
    platform: Platform, onboarded: Team
) -> None:
    before = {name: body["spec"] for name, body in onboarded.policies().items()}
    kubectl = f"{onboarded.plane.kubectl_path} --kubeconfig {onboarded.plane.kubeconfig}"
    edit = f"{kubectl} patch appconn {platform.name} -n {onboarded.namespace} --type=merge -p"
    loop = f'for n in $(seq 60); do {edit} \'{{"spec": {{"appLabel": "m\'$n\'"}}}}\' >/dev/null; done'
    attackers = [subprocess.Popen(["bash", "-c", loop]) for _ in range(2)]
    while any(attacker.poll() is None for attacker in attackers):
        assert {name: body["spec"] for name, body in onboarded.policies().items()} == before
        time.sleep(0.2)

    eventually(lambda: "appLabel" not in platform.object(onboarded)["spec"], within=3)
    assert {name: body["spec"] for name, body in onboarded.policies().items()} == before


def test_an_object_of_the_team_goes_on_beside_it(platform: Platform, onboarded: Team) -> None:
    onboarded.connect("ours", flow("a", "b", 80))

    onboarded.wait_ready("ours")
    assert "ours.a-to-b.ingress" in onboarded.policies()


def test_a_template_that_means_nothing_changes_nothing(platform: Platform, rolled_out: Team) -> None:
    platform.apply(flow("{{ nobody.knows }}", "api", 8080))

    eventually(lambda: platform.ready().get("reason") == "Invalid")
    assert "nobody is not known here" in platform.ready()["message"]
    assert platform.flows(rolled_out) == [flow("frontend", "api", 8080)]
    assert (platform.status()["selectedCount"], platform.status()["readyNamespaces"]) == (1, "0/1")


def test_what_a_template_meant_before_it_means_nothing_holds_on(
    platform: Platform, onboarded: Team, new_team: Callable[..., Team]
) -> None:
    platform.apply(flow("{{ nobody.knows }}", "api", 8080))
    eventually(lambda: platform.ready().get("reason") == "Invalid")

    patch(platform, onboarded, {"spec": {"mode": "Audit"}})
    eventually(lambda: platform.object(onboarded)["spec"]["mode"] == "Enforce", within=3)
    later = new_team(**platform.label)
    eventually(lambda: platform.flows(later) == [flow("frontend", "api", 8080)])
    platform.take_label(onboarded)
    eventually(lambda: not platform.object(onboarded))
    assert platform.ready()["reason"] == "Invalid"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        pytest.param(
            {"when": "namespace.labels.exposed == true", **flow("a", "b", 80)},
            "spec.template.spec.flows[0].when: 'namespace.labels.exposed == true':"
            " values are texts: compare with 'true' in quotes, not with true",
            id="a text and a truth",
        ),
        pytest.param(
            flow("a", "b", "{{ parameters.port }}"),
            "spec.template.spec.flows[0].ports[0]: '{{ parameters.port }}' is 'http:80': 'http:80' is not a port",
            id="a parameter",
        ),
    ],
)
def test_what_no_namespace_could_get_is_said_before_there_is_one(
    platform: Platform, written: dict[str, Any], said: str
) -> None:
    platform.apply(written, parameters={"port": "http:80"})

    eventually(lambda: platform.ready().get("reason") == "Invalid")
    assert platform.ready()["message"].startswith(said)


def test_an_empty_selector_is_refused_at_once(platform: Platform) -> None:
    said = platform.apply(namespaceSelector={}, check=False)

    assert "select by at least one label; for every namespace write that a label Exists" in said


def test_a_protected_namespace_is_left_alone(platform: Platform, installed: ControlPlane) -> None:
    installed.kubectl("label", "namespace", "kube-public", f"baseline={platform.name}")

    platform.apply(flow("frontend", "api", 8080))

    platform.wait_ready()
    assert platform.status()["selectedCount"] == 0
    assert installed.kubectl("get", "appconn", "-n", "kube-public", "-o", "name").stdout == ""
    installed.kubectl("label", "namespace", "kube-public", "baseline-")


def test_a_namespace_that_is_ending_is_no_failure(platform: Platform, team: Team, operator: Operator) -> None:
    pod_like = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "held", "finalizers": ["test.example/held"]},
    }
    team.apply(pod_like)
    team.plane.kubectl("delete", "namespace", team.namespace, "--wait=false")
    platform.apply(flow("frontend", "api", 8080))
    platform.put_label(team)

    platform.wait_ready()
    assert platform.status()["selectedCount"] == 0
    team.plane.kubectl("patch", "configmap", "held", "-n", team.namespace, "-p", '{"metadata":{"finalizers":null}}')


def test_at_rest_nothing_is_written(platform: Platform, rolled_out: Team) -> None:
    time.sleep(1)  # Events come after the status
    since = len(rolled_out.plane.writes(user=USER))

    platform.annotate(rolled_out, "unrelated=yes")
    time.sleep(1)

    assert rolled_out.plane.writes(user=USER, since=since) == []


def test_a_restarted_operator_writes_nothing(rolled_out: Team, installed_operator: Callable[..., Operator]) -> None:
    since = len(rolled_out.plane.writes(user=USER))

    installed_operator()
    time.sleep(1)

    assert [w for w in rolled_out.plane.writes(user=USER, since=since) if w["objectRef"]["resource"] != "events"] == []
