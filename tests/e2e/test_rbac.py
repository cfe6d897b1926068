"""The operator's rights are least: the API server's audit log shows that none is missing and none is never used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from cluster.controlplane import ControlPlane
from cluster.operator import NAMESPACE, ROOT, SERVICE_ACCOUNT, USER, Operator, install
from e2e.conftest import Team, eventually, flow

RBAC = ROOT / "manifests" / "base" / "rbac.yaml"
GROUP = "appconnectivity.io"
PEER_LABELS = {"tier": "peers"}
TEMPLATE = """
apiVersion: appconnectivity.io/v1alpha1
kind: AppConnectivityTemplate
metadata: {name: standard}
spec:
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}}
  template: {spec: {}}
"""

# What the cluster has: its DNS with a node-local cache, and Services that need their EndpointSlices looked up.
CLUSTER = """
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec: {selector: {k8s-app: kube-dns}, ports: [{name: dns, port: 53, protocol: UDP, targetPort: dns}]}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: node-local-dns, namespace: kube-system}
spec:
  selector: {matchLabels: {k8s-app: node-local-dns}}
  template:
    metadata: {labels: {k8s-app: node-local-dns}}
    spec: {containers: [{name: cache, image: none, args: [-localip, 169.254.20.10]}]}
"""
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {selector: {app: db}, ports: [{port: 80, targetPort: web}]}
"""


@dataclass(frozen=True, order=True)
class Right:
    """One verb on one resource, everywhere or in one namespace, on every object or on one."""

    group: str
    resource: str
    verb: str
    namespace: str = "*"
    name: str = "*"

    def covers(self, used: Right) -> bool:
        pairs = ((self.namespace, used.namespace), (self.name, used.name))
        is_same = (self.group, self.resource, self.verb) == (used.group, used.resource, used.verb)
        return is_same and all(mine in ("*", theirs) for mine, theirs in pairs)


def granted() -> list[Right]:
    """What the ClusterRole and the Roles of the manifests give, one verb at a time."""
    roles = [body for body in yaml.safe_load_all(RBAC.read_text()) if "rules" in body]
    return sorted(
        Right(group, resource, verb, namespace=body["metadata"].get("namespace", "*"), name=name)
        for body in roles
        for rule in body["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for name in rule.get("resourceNames", ["*"])
    )


def used(event: dict[str, Any]) -> set[Right]:
    """The rights that the request needed; none for discovery, which every user may do."""
    about = event.get("objectRef", {})
    if not about.get("resource"):
        return set()
    resource = "/".join(part for part in (about["resource"], about.get("subresource")) if part)
    # A server-side apply that makes an object needs the right to create it too.
    verbs = {event["verb"], *(["create"] if event["verb"] == "patch" and _code(event) == 201 else [])}
    where = {"namespace": about.get("namespace", ""), "name": about.get("name", "")}
    return {Right(about.get("apiGroup", ""), resource, verb, **where) for verb in verbs}


def _code(event: dict[str, Any]) -> int:
    return int(event["responseStatus"]["code"])


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """One of its own, so that the audit log holds nothing but this operator's work with the rights as they are."""
    with ControlPlane() as own:
        install(own)
        yield own


@pytest.fixture(scope="module")
def operator(plane: ControlPlane) -> Iterator[Operator]:
    running = Operator(plane)
    running.wait_ready()
    yield running
    assert running.stop()[0] == 0


@pytest.fixture(scope="module")
def events(plane: ControlPlane, operator: Operator) -> list[dict[str, Any]]:
    """What the API server was asked by an operator that has done all that it can do."""
    plane.kubectl("apply", "-f", "-", input=CLUSTER)
    shop, peers = _team(plane, "shop"), _team(plane, "peers", **PEER_LABELS)
    shop.apply(yaml.safe_load(SERVICE))
    peers.apply(yaml.safe_load(SERVICE))
    everything = (
        flow("web", {"service": "db"}, name="named-target-port"),
        flow("web", {"service": "db", "namespace": "peers"}, name="service-elsewhere"),
        flow("web", {"app": "api", "namespace": "peers"}, 8080, name="by-name"),
        flow("web", {"namespaceSelector": {"matchLabels": PEER_LABELS}}, 8080, name="by-label"),
        flow("web", {"entity": "KubeAPIServer"}, name="api-server"),
    )
    shop.connect("shop", *everything)
    shop.wait_ready()
    _drift(shop)
    shop.connect("shop", everything[0])
    eventually(lambda: not any("by-label" in name for name in shop.policies()))
    shop.delete("appconn", "shop")
    eventually(lambda: not shop.policies())
    _onboard(shop)
    last = Right(GROUP, "appconnectivities", "delete", namespace="shop", name="standard")
    eventually(lambda: any(last in used(event) for event in plane.audit_events(user=USER)), what="the audit log has it")
    return plane.audit_events(user=USER)


def _team(plane: ControlPlane, name: str, **labels: str) -> Team:
    metadata = {"name": name, "labels": labels}
    plane.kubectl(
        "apply", "-f", "-", input=yaml.safe_dump({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    )
    return Team(plane=plane, namespace=name)


def _onboard(team: Team) -> None:
    """A template selects the namespace, and then no longer does."""
    team.plane.kubectl("apply", "-f", "-", input=TEMPLATE)
    eventually(lambda: team.get("appconn", "standard"))
    team.wait_ready("standard")
    team.plane.kubectl("apply", "-f", "-", input=TEMPLATE.replace("shop", "nobody"))
    eventually(lambda: not team.get("appconn", "standard"))


def _drift(team: Team) -> None:
    """Somebody changes one policy and deletes another; both come back, and an Event says so."""
    changed, deleted = "shop.by-name.egress", "shop.by-label.egress"
    body = '{"spec": {"podSelector": {"matchLabels": {"app": "other"}}}}'
    team.plane.kubectl("patch", "networkpolicy", changed, "-n", team.namespace, "--type=merge", "-p", body)
    team.delete("networkpolicy", deleted)
    eventually(lambda: deleted in team.policies())
    eventually(lambda: team.policies()[changed]["spec"]["podSelector"] == {"matchLabels": {"app": "web"}})
    eventually(lambda: len(team.events("DriftRepaired")) == 2)


def test_no_right_is_missing(events: list[dict[str, Any]]) -> None:
    assert [event["requestURI"] for event in events if _code(event) == 403] == []


def test_nothing_is_done_that_the_manifests_do_not_give(events: list[dict[str, Any]]) -> None:
    asked = {right for event in events for right in used(event)}

    assert asked
    assert [right for right in sorted(asked) if not any(given.covers(right) for given in granted())] == []


@pytest.mark.parametrize("right", granted(), ids=lambda right: f"{right.verb}-{right.resource}")
def test_a_right_that_is_given_is_used(events: list[dict[str, Any]], right: Right) -> None:
    assert any(right.covers(asked) for event in events for asked in used(event))


def test_an_apply_that_makes_an_object_needs_the_right_to_create(plane: ControlPlane, operator: Operator) -> None:
    """Holds the reading of the audit log above: without it that right would seem to be unused."""
    team = _team(plane, "no-create")
    role = _cluster_role()
    policies = next(rule for rule in role["rules"] if rule["resources"] == ["networkpolicies"])
    policies["verbs"].remove("create")
    plane.kubectl("replace", "-f", "-", input=yaml.safe_dump(role))

    team.connect("shop", flow("web", "api", 8080))
    refused = eventually(lambda: team.condition("shop", "Programmed").get("reason") == "Forbidden")
    plane.kubectl("replace", "-f", "-", input=yaml.safe_dump(_cluster_role()))

    assert refused
    team.wait_ready()


def _cluster_role() -> dict[str, Any]:
    bodies = yaml.safe_load_all(RBAC.read_text())
    return next(body for body in bodies if body["kind"] == "ClusterRole")


def test_the_rights_are_bound_to_the_operators_service_account_and_to_nobody_else() -> None:
    bindings = [body for body in yaml.safe_load_all(RBAC.read_text()) if body["kind"].endswith("Binding")]
    subject = {"kind": "ServiceAccount", "name": SERVICE_ACCOUNT, "namespace": NAMESPACE}

    assert len(bindings) == 2
    assert all(body["subjects"] == [subject] for body in bindings)


_READ, _WRITE = ("get", "list", "watch"), ("create", "update", "patch", "delete", "deletecollection")


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        pytest.param("view", {*_READ}, id="view"),
        pytest.param("edit", {*_READ, *_WRITE}, id="edit"),
        pytest.param("admin", {*_READ, *_WRITE}, id="admin"),
        pytest.param("", set(), id="no-role"),
    ],
)
def test_users_have_their_namespaces_role_for_objects_but_nobody_writes_a_status(
    plane: ControlPlane, role: str, allowed: set[str]
) -> None:
    user, namespace = f"somebody-{role}", "shop"
    _team(plane, namespace)
    if role:
        plane.kubectl("create", "rolebinding", user, f"--clusterrole={role}", f"--user={user}", "-n", namespace)

    def may(verb: str, *options: str, where: str = namespace) -> bool:
        asked = ("auth", "can-i", verb, f"appconnectivities.{GROUP}", "-n", where, f"--as={user}")
        answer = plane.kubectl(*asked, *options, check=False).stdout.strip()
        assert answer in ("yes", "no")
        return answer == "yes"

    assert {verb for verb in (*_READ, *_WRITE) if may(verb)} == allowed
    assert not any(may(verb, "--subresource=status") for verb in ("update", "patch"))
    assert not may("get", where="default")
