"""What goes when something is deleted: with the operator, without it, and with whatever it left behind."""

from __future__ import annotations

import contextlib
import json
import re
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cluster.controlplane import ControlPlane
from cluster.operator import USER, Operator, install
from e2e.conftest import Team, appconn, eventually, flow

CRD = "appconnectivities.appconnectivity.io"
# The garbage collector looks for new kinds every 30 s; a kind that is as young as that is not watched by it yet.
GC_SECONDS = 60.0


@contextlib.contextmanager
def held_still(operator: Operator) -> Iterator[None]:
    """The operator does nothing meanwhile, and says no good-bye."""
    operator.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        operator.process.send_signal(signal.SIGCONT)


@pytest.fixture
def doomed(operator: Operator, team: Team) -> Team:
    """A namespace with an object that is ready, to be deleted by the test."""
    made = Team(plane=team.plane, namespace=f"{team.namespace}-doomed")
    made.plane.kubectl("create", "namespace", made.namespace)
    made.connect("shop", flow("frontend", "api", 8080))
    made.wait_ready()
    return made


def test_a_namespace_goes_while_the_operator_is_stopped(operator: Operator, doomed: Team) -> None:
    with held_still(operator):
        doomed.plane.kubectl("delete", "namespace", doomed.namespace, "--timeout=30s")

    eventually(lambda: operator.metric("appconnectivity_managed_policies", namespace=doomed.namespace) == 0)


def test_a_namespace_goes_while_the_operator_runs_and_nothing_is_fought(operator: Operator, doomed: Team) -> None:
    failures = _failures(operator, doomed)
    before = len(_policy_writes(doomed))

    doomed.plane.kubectl("delete", "namespace", doomed.namespace, "--timeout=30s")

    eventually(lambda: operator.metric("appconnectivity_managed_policies", namespace=doomed.namespace) == 0)
    assert _policy_writes(doomed)[before:] == []
    assert _failures(operator, doomed) == failures


def test_an_object_deleted_while_the_operator_is_down_is_cleaned_by_garbage_collection(
    operator: Operator, team: Team
) -> None:
    team.connect("shop", flow("frontend", "api", 8080))
    team.connect("other", flow("api", "db", 5432))
    team.wait_ready("shop")
    team.wait_ready("other")

    with held_still(operator):
        team.delete("appconn", "shop")
        eventually(lambda: not any(name.startswith("shop.") for name in team.policies()), within=GC_SECONDS)
        assert len(team.policies()) == 4
        team.delete("appconn", "other")
        eventually(lambda: not team.policies(), within=GC_SECONDS)


def test_orphans_go_with_the_sweep_of_the_next_start(team: Team, installed_operator: Callable[..., Operator]) -> None:
    running = installed_operator()
    team.connect("shop", flow("frontend", "api", 8080))
    team.wait_ready()
    running.stop()
    team.delete("appconn", "shop", "--cascade=orphan")
    orphans = eventually(lambda: _without_owners(team))
    assert len(orphans) == 4

    installed_operator()

    eventually(lambda: not team.policies())


def test_orphans_made_while_the_operator_runs_go_too(operator: Operator, team: Team) -> None:
    team.connect("shop", flow("frontend", "api", 8080))
    team.wait_ready()

    team.delete("appconn", "shop", "--cascade=orphan")

    eventually(lambda: not team.policies())


def test_foreground_deletion_is_not_blocked(operator: Operator, team: Team) -> None:
    team.connect("shop", flow("frontend", "api", 8080))
    team.wait_ready()

    team.delete("appconn", "shop", "--cascade=foreground", "--timeout=15s")

    eventually(lambda: not team.policies())
    assert team.get("appconn", "shop") == {}


def test_the_finalizer_of_somebody_else_is_left_alone_and_keeps_no_policies(operator: Operator, team: Team) -> None:
    body = appconn("shop", flow("frontend", "api", 8080))
    body["metadata"]["finalizers"] = ["example.com/archive"]
    team.apply(body)
    team.wait_ready()

    team.delete("appconn", "shop", "--wait=false")
    eventually(lambda: not team.policies())
    assert team.get("appconn", "shop")["metadata"]["finalizers"] == ["example.com/archive"]

    patch = json.dumps({"metadata": {"finalizers": None}})
    team.plane.kubectl("patch", "appconn", "shop", "-n", team.namespace, "--type=merge", "-p", patch)
    eventually(lambda: not team.get("appconn", "shop"))


def test_on_the_way_out_the_deny_goes_before_the_allows(operator: Operator, team: Team) -> None:
    team.connect("shop", flow("frontend", "api", 8080))
    team.wait_ready()
    team.connect("shop", flow("frontend", "api", 8080), defaultDeny="None", policyTypes=["Ingress"])
    eventually(lambda: set(team.policies()) == {"shop.frontend-to-api.ingress"})

    deleted = [e["objectRef"]["name"] for e in _policy_writes(team) if e["verb"] == "delete"]
    assert deleted[0] == "appconnectivity.default-deny"


@pytest.fixture
def own_plane() -> Iterator[ControlPlane]:
    """A control plane of the test's own, with all that a user installs: its CRD may be taken away."""
    with ControlPlane() as plane:
        install(plane)
        yield plane


@pytest.fixture
def start(own_plane: ControlPlane) -> Iterator[Callable[[], Operator]]:
    """Starts operators on that control plane; none is left running."""
    started: list[Operator] = []

    def one() -> Operator:
        started.append(Operator(own_plane))
        started[-1].wait_ready()
        return started[-1]

    yield one
    for running in started:
        running.kill()


def test_the_crd_goes_while_the_operator_runs(own_plane: ControlPlane, start: Callable[[], Operator]) -> None:
    """Its objects go first, which the operator hears: their policies go, and nothing else. From a missing kind it
    concludes nothing, and it goes on when that is there again."""
    shop = Team(plane=own_plane, namespace="default")
    shop.apply(_foreign())
    foreign = shop.policies()["foreign"]
    running = start()
    shop.connect("shop", flow("frontend", "api", 8080))
    shop.wait_ready()

    wanted = {*shop.policies()}

    own_plane.kubectl("delete", "crd", CRD, "--timeout=30s")

    assert shop.policies()["foreign"] == foreign
    assert running.process.poll() is None
    install(own_plane)
    shop.connect("shop", flow("frontend", "api", 8080))
    shop.wait_ready()
    eventually(lambda: {*shop.policies()} == wanted, within=GC_SECONDS)
    deleted = [write["objectRef"]["name"] for write in own_plane.writes(user=USER) if write["verb"] == "delete"]
    assert set(deleted) <= wanted
    assert running.process.poll() is None


def test_the_crd_goes_while_no_operator_runs_and_the_next_start_cleans_up(
    own_plane: ControlPlane, start: Callable[[], Operator]
) -> None:
    shop = Team(plane=own_plane, namespace="default")
    running = start()
    shop.connect("shop", flow("frontend", "api", 8080))
    shop.wait_ready()
    running.kill()

    own_plane.kubectl("delete", "crd", CRD, "--timeout=30s")
    assert own_plane.kubectl("get", "crd", CRD, check=False).returncode != 0
    waiting = Operator(own_plane, name="without-crds")
    try:
        said = eventually(lambda: answer if "CRDs" in (answer := waiting.get("/readyz"))[1] else None)
        assert (said[0], "kubectl apply --server-side -k manifests/base" in said[1]) == (503, True)
        install(own_plane)
        waiting.wait_ready()
    finally:
        waiting.kill()

    start()
    eventually(lambda: not shop.policies())


def _failures(operator: Operator, team: Team) -> list[str]:
    """What the log says of passes over the namespace, and of writes of its statuses, that failed."""
    name = team.namespace
    return re.findall(rf"namespace {name}: .*\(again in .*|status of {name}/.*", operator.log.read_text())


def _without_owners(team: Team) -> list[str]:
    return [name for name, body in team.policies().items() if not body["metadata"].get("ownerReferences")]


def _foreign() -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "foreign"},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
    }


def _policy_writes(team: Team) -> list[dict[str, Any]]:
    return [
        event
        for event in team.plane.writes(user=USER)
        if event["objectRef"].get("namespace") == team.namespace and event["objectRef"]["resource"] == "networkpolicies"
    ]
