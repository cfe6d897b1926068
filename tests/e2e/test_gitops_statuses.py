"""The statuses that GitOps tools are tested with are those that the real operator writes.

They are kept in manifests/gitops/argocd/testdata, beside Argo CD's own list of what each means. Set
TESTS_GOLDEN=write to write them anew, and read the difference.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import yaml

from cluster.controlplane import ControlPlane
from cluster.operator import ROOT, Operator
from e2e.conftest import Team, appconn, eventually, flow

TESTDATA = ROOT / "manifests" / "gitops" / "argocd" / "testdata"
SHOP = appconn("shop", flow("frontend", "api", 8080))
CHANGED = appconn("shop", flow("frontend", "api", 8080), flow("frontend", "search", 9200))
NOBODYS = appconn("shop", flow({"app": "a", "namespace": "elsewhere"}, {"app": "b", "namespace": "elsewhere"}, 8080))
TO_DB = appconn("shop", flow("api", {"service": "db"}))
AUDIT = appconn("shop", flow("frontend", "api", 8080), mode="Audit")
HELD = SHOP | {"metadata": {"name": "shop", "finalizers": ["example.com/hold"]}}
FOREIGN = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "shop.frontend-to-api.ingress"},
    "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
}
# As every cluster has it.
DNS = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "kube-dns", "namespace": "kube-system"},
    "spec": {"selector": {"k8s-app": "kube-dns"}, "ports": [{"name": "dns", "port": 53, "protocol": "UDP"}]},
}

Body = dict[str, Any]


@pytest.fixture(scope="module", autouse=True)
def dns(installed: ControlPlane) -> Iterator[None]:
    installed.kubectl("apply", "-f", "-", input=yaml.safe_dump(DNS))
    yield
    installed.kubectl("delete", "service", "kube-dns", "-n", "kube-system")


@contextmanager
def held(operator: Operator) -> Iterator[None]:
    """The operator stands still, so that nobody looks at what is changed meanwhile."""
    operator.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        operator.process.send_signal(signal.SIGCONT)


def sync(team: Team, *bodies: Body) -> None:
    """Applies as Argo CD does."""
    options = ("--server-side", "--force-conflicts", "--field-manager=argocd-controller", "-n", team.namespace)
    team.plane.kubectl("apply", *options, "-f", "-", input=yaml.safe_dump_all(bodies))


def settled(team: Team, reason: str) -> Body:
    """The object, once the operator has given this reason for the present spec."""

    def is_so() -> bool:
        ready = team.condition("shop", "Ready")
        generation = team.get("appconn", "shop")["metadata"]["generation"]
        return (ready.get("reason"), ready.get("observedGeneration")) == (reason, generation)

    eventually(is_so, what=reason)
    return team.get("appconn", "shop")


def pending(team: Team, operator: Operator) -> Body:
    with held(operator):
        sync(team, SHOP)
        return team.get("appconn", "shop")


def ready(team: Team, operator: Operator) -> Body:
    sync(team, SHOP)
    return settled(team, "Ready")


def progressing_after_a_change(team: Team, operator: Operator) -> Body:
    ready(team, operator)
    with held(operator):
        sync(team, CHANGED)
        return team.get("appconn", "shop")


def invalid(team: Team, operator: Operator) -> Body:
    sync(team, NOBODYS)
    return settled(team, "InvalidFlow")


def progressing_after_a_correction(team: Team, operator: Operator) -> Body:
    invalid(team, operator)
    with held(operator):
        sync(team, SHOP)
        return team.get("appconn", "shop")


def waiting_for_a_service(team: Team, operator: Operator) -> Body:
    sync(team, TO_DB)
    return settled(team, "ServiceNotFound")


def conflict(team: Team, operator: Operator) -> Body:
    sync(team, FOREIGN)
    sync(team, SHOP)
    return settled(team, "NameConflict")


def audit(team: Team, operator: Operator) -> Body:
    sync(team, AUDIT)
    return settled(team, "Audit")


def deleting(team: Team, operator: Operator) -> Body:
    sync(team, HELD)
    settled(team, "Ready")
    with held(operator):
        team.delete("appconn", "shop", "--wait=false")
        found = team.get("appconn", "shop")
    team.plane.kubectl(
        *("patch", "appconn", "shop", "-n", team.namespace, "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    )
    return found


def as_kept(body: Body, **names: str) -> str:
    """The object's YAML without what differs each time; ``names`` are this run's namespaces, by what they stand for."""
    metadata = {key: value for key, value in body["metadata"].items() if key != "managedFields"}
    metadata |= {"uid": "00000000-0000-0000-0000-000000000000", "resourceVersion": "1"}
    text = yaml.safe_dump(body | {"metadata": metadata}, width=120)
    text = re.sub(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", "2026-01-01T00:00:00Z", text)
    for name, namespace in names.items():
        text = re.sub(rf"\b{namespace}\b", name, text)
    return text


def agree(name: str, found: str) -> None:
    path = TESTDATA / f"{name}.yaml"
    if os.environ.get("TESTS_GOLDEN") == "write":
        path.write_text(found)

    assert path.read_text() == found


@pytest.mark.parametrize(
    "make",
    [
        pending,
        ready,
        progressing_after_a_change,
        invalid,
        progressing_after_a_correction,
        waiting_for_a_service,
        conflict,
        audit,
        deleting,
    ],
)
def test_the_kept_status_is_what_the_operator_writes(
    operator: Operator, team: Team, make: Callable[[Team, Operator], Body]
) -> None:
    agree(make.__name__, as_kept(make(team, operator), shop=team.namespace))


def test_so_is_that_of_an_object_that_waits_for_the_other_side(
    operator: Operator, new_team: Callable[..., Team]
) -> None:
    shop, finance = new_team(), new_team()
    finance.connect("finance")
    finance.wait_ready("finance")
    sync(shop, appconn("shop", flow("api", {"app": "billing", "namespace": finance.namespace}, 9090)))

    found = as_kept(settled(shop, "Ready"), shop=shop.namespace, finance=finance.namespace)
    assert "reason: AwaitingGrant" in found
    agree("awaiting_grant", found)


def test_and_that_of_a_namespace_that_is_being_adopted(installed_operator: Callable[..., Operator], team: Team) -> None:
    installed_operator("--adoption-seconds", "60")
    sync(team, SHOP)

    agree("adopting", as_kept(settled(team, "Adopting"), shop=team.namespace))


def test_no_status_is_kept_that_nobody_has_written() -> None:
    kept = {path.stem for path in TESTDATA.iterdir() if not path.stem.startswith("template_")}

    assert kept == {
        *("pending", "ready", "progressing_after_a_change", "invalid", "progressing_after_a_correction"),
        *("waiting_for_a_service", "conflict", "audit", "deleting", "awaiting_grant", "adopting"),
    }
