"""What flows refer to: Services, endpoints, the API server and the cluster's DNS, as these come, change and go."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from cluster.controlplane import ADVERTISED, ControlPlane
from cluster.operator import Operator
from e2e.conftest import Team, eventually, flow

DNS = "appconnectivity.allow-dns"
TO_DB = "shop.to-db.egress"


def service(name: str, *ports: dict[str, Any], selector: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"ports": list(ports), **spec}
    if selector:
        body["selector"] = selector
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": body}


def endpoints(of: str, *addresses: str, name: str = "hand-made", port_name: str = "", port: int) -> dict[str, Any]:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": f"{of}-{name}", "labels": {"kubernetes.io/service-name": of}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address]} for address in addresses],
        "ports": [{"name": port_name, "port": port, "protocol": "TCP"}],
    }


DB = service("db", {"port": 5432, "targetPort": 15432}, selector={"app": "postgres"})


@pytest.fixture
def shop(operator: Operator, team: Team) -> Team:
    """An object with one flow to Service db, which is not there yet, and one that needs nothing."""
    team.connect("shop", flow("api", {"service": "db"}, name="to-db"), flow("frontend", "api", 8080))
    eventually(lambda: team.row("shop", "to-db"))
    return team


def ports(team: Team, name: str = TO_DB) -> list[Any]:
    """Ports of the first rule; empty while there is no such policy."""
    body = team.policies().get(name)
    return [entry["port"] for entry in body["spec"]["egress"][0]["ports"]] if body else []


def cidrs(team: Team, name: str = TO_DB) -> list[str]:
    body = team.policies().get(name)
    return [rule["to"][0]["ipBlock"]["cidr"] for rule in body["spec"]["egress"]] if body else []


def row_says(team: Team, state: str, reason: str) -> dict[str, Any]:
    def as_wished() -> dict[str, Any]:
        row = team.row("shop", "to-db")
        return row if (row.get("state"), row.get("reason")) == (state, reason) else {}

    return eventually(as_wished, what=f"{state}/{reason}")


def test_a_service_that_comes_later_is_found_and_the_other_flows_do_not_wait(operator: Operator, shop: Team) -> None:
    row = row_says(shop, "Unresolved", "ServiceNotFound")
    assert row["message"] == "Service db is not there (yet); nothing is opened for it"
    resolved = shop.condition("shop", "ResolvedRefs")
    assert (resolved["status"], resolved["reason"]) == ("False", "ServiceNotFound")
    assert shop.condition("shop", "Ready")["reason"] == "ServiceNotFound"
    assert {"shop.frontend-to-api.egress", "shop.frontend-to-api.ingress"} <= set(shop.policies())
    assert not any(".to-db." in name for name in shop.policies())

    shop.apply(DB)
    shop.wait_ready()

    assert ports(shop) == [15432]
    ingress = shop.policies()["shop.to-db.ingress"]["spec"]
    assert ingress["podSelector"] == {"matchLabels": {"app": "postgres"}}
    assert ingress["ingress"][0]["ports"] == [{"port": 15432, "protocol": "TCP"}]


def test_policies_follow_the_services_selector_and_target_port(operator: Operator, shop: Team) -> None:
    shop.apply(DB)
    eventually(lambda: ports(shop) == [15432])

    shop.apply(service("db", {"port": 5432, "targetPort": 25432}, selector={"app": "postgres", "role": "primary"}))

    eventually(lambda: ports(shop) == [25432])
    wanted = {"matchLabels": {"app": "postgres", "role": "primary"}}
    eventually(lambda: shop.policies()["shop.to-db.ingress"]["spec"]["podSelector"] == wanted)


def test_a_named_target_port_becomes_the_numbers_of_its_endpoints(operator: Operator, shop: Team) -> None:
    shop.apply(service("db", {"name": "sql", "port": 5432, "targetPort": "postgres"}, selector={"app": "db"}))
    eventually(lambda: ports(shop) == ["postgres"])
    row = row_says(shop, "Active", "Active")
    assert row["message"] == "port postgres stays a name, which some CNIs get wrong; a number is safer"

    shop.apply(endpoints("db", "10.1.0.1", port_name="sql", port=15432))
    eventually(lambda: ports(shop) == [15432])
    eventually(lambda: "message" not in shop.row("shop", "to-db"))

    shop.apply(endpoints("db", "10.1.0.2", name="second", port_name="sql", port=25432))
    eventually(lambda: ports(shop) == [15432, 25432])

    shop.delete("endpointslice", "db-hand-made")
    eventually(lambda: ports(shop) == [25432])


def test_an_external_name_is_refused_with_a_way_out(operator: Operator, shop: Team) -> None:
    shop.apply(service("db", type="ExternalName", externalName="db.example.com"))

    row = row_says(shop, "Unresolved", "ServiceIsExternalName")
    assert row["message"] == (
        "Service db is an ExternalName: a DNS alias without pods; use ipBlocks or entity: Internet;"
        " nothing is opened for it"
    )


def test_a_service_without_selector_means_exactly_its_addresses(operator: Operator, shop: Team) -> None:
    shop.apply(service("db", {"port": 5432, "targetPort": 15432}))
    row = row_says(shop, "Unresolved", "NoEndpoints")
    assert row["message"].startswith("Service db has no selector and no EndpointSlice with addresses for its ports yet")

    shop.apply(endpoints("db", "10.9.0.1", "10.9.0.9", port=15432))
    eventually(lambda: cidrs(shop) == ["10.9.0.1/32", "10.9.0.9/32"])
    assert ports(shop) == [15432]
    shop.wait_ready()

    shop.apply(endpoints("db", "10.9.0.9", port=15432))
    eventually(lambda: cidrs(shop) == ["10.9.0.9/32"])


def test_a_port_that_the_service_lacks_is_named_beside_those_that_it_has(operator: Operator, team: Team) -> None:
    team.apply(service("db", {"name": "sql", "port": 5432}, selector={"app": "db"}))
    team.connect("shop", flow("api", {"service": "db"}, 5433, name="to-db"))

    row = row_says(team, "Unresolved", "ServicePortNotFound")
    assert row["message"].startswith("Service db has no port TCP 5433; it has: 5432/TCP sql")


def test_the_last_policies_stay_when_the_service_goes_but_not_for_a_changed_flow(
    operator: Operator, shop: Team
) -> None:
    shop.apply(DB)
    shop.wait_ready()
    before = shop.policies()

    shop.delete("service", "db")
    row = row_says(shop, "Unresolved", "ServiceNotFound")
    assert row["message"] == "Service db is not there (yet); its policies stay as they are"
    assert shop.policies() == before

    shop.connect("shop", flow("other", {"service": "db"}, name="to-db"), flow("frontend", "api", 8080))
    eventually(lambda: not any(".to-db." in name for name in shop.policies()))
    eventually(lambda: "nothing is opened for it" in shop.row("shop", "to-db")["message"])


def test_policies_that_stay_for_a_lost_service_are_put_back_by_nobody_and_taken_by_removal(
    operator: Operator, shop: Team
) -> None:
    shop.apply(DB)
    shop.wait_ready()
    shop.delete("service", "db")
    row_says(shop, "Unresolved", "ServiceNotFound")

    shop.connect("shop", flow("frontend", "api", 8080))

    eventually(lambda: not any(".to-db." in name for name in shop.policies()))
    shop.wait_ready()


def test_the_api_server_is_its_endpoints_and_their_port(operator: Operator, team: Team) -> None:
    team.connect("shop", flow("controller", {"entity": "KubeAPIServer"}, name="to-db"))
    team.wait_ready()

    live = team.get("endpointslice", "kubernetes", namespace="default")
    assert cidrs(team) == [f"{ADVERTISED}/32"]
    assert ports(team) == [live["ports"][0]["port"]]


def test_without_a_dns_service_the_conventional_one_is_assumed_and_said(operator: Operator, team: Team) -> None:
    team.connect("shop")
    team.wait_ready()

    resolved = team.condition("shop", "ResolvedRefs")
    assert (resolved["status"], resolved["reason"]) == ("True", "DNSAssumed")
    assert team.policies()[DNS]["spec"]["egress"] == [
        {"to": [_pods_of_kube_system("k8s-app", "kube-dns")], "ports": _on(53)},
    ]


@pytest.fixture
def kube_system(installed: ControlPlane) -> Iterator[Team]:
    """kube-system, as it was before in the end."""
    place = Team(plane=installed, namespace="kube-system")
    yield place
    place.delete("service", "kube-dns", "--ignore-not-found")
    place.delete("daemonset", "node-local-dns", "--ignore-not-found")


def test_the_dns_allow_follows_the_clusters_dns(operator: Operator, team: Team, kube_system: Team) -> None:
    team.connect("shop")
    team.wait_ready()

    kube_system.apply(_node_local_dns("169.254.20.10"))
    kube_system.apply(_dns_service(target=5353))

    wanted = [
        {"to": [{"ipBlock": {"cidr": "169.254.20.10/32"}}], "ports": _on(53)},
        {"to": [_pods_of_kube_system("dns", "here")], "ports": _on(5353)},
    ]
    eventually(lambda: team.policies()[DNS]["spec"]["egress"] == wanted)
    eventually(lambda: team.condition("shop", "ResolvedRefs")["reason"] == "ResolvedRefs")

    _retarget(kube_system, 8053)
    eventually(lambda: team.policies()[DNS]["spec"]["egress"][1]["ports"] == _on(8053))

    kube_system.delete("daemonset", "node-local-dns")
    kube_system.delete("service", "kube-dns")
    eventually(lambda: team.condition("shop", "ResolvedRefs")["reason"] == "DNSAssumed")
    assert team.policies()[DNS]["spec"]["egress"][0]["ports"] == _on(53)


def test_a_write_about_services_names_the_port_that_people_mix_up(operator: Operator, team: Team) -> None:
    """The Service's port where the pods listen on another one: allowed as written, and said."""
    team.apply(service("api", {"port": 80, "targetPort": 8080}, selector={"app": "api"}))
    team.connect("shop", flow("frontend", "api", 80))
    team.wait_ready()

    said = "Service api maps port 80 to 8080: flows name the pods' port; write 8080"
    eventually(lambda: team.row("shop", "frontend-to-api").get("message", "").startswith(said))
    assert ports(team, "shop.frontend-to-api.egress") == [80]


def _pods_of_kube_system(key: str, value: str) -> dict[str, Any]:
    return {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
        "podSelector": {"matchLabels": {key: value}},
    }


def _on(port: int) -> list[dict[str, Any]]:
    return [{"port": port, "protocol": protocol} for protocol in ("TCP", "UDP")]


def _dns_service(*, target: int) -> dict[str, Any]:
    entries = [
        {"name": f"dns-{protocol.lower()}", "port": 53, "protocol": protocol, "targetPort": target}
        for protocol in ("UDP", "TCP")
    ]
    return service("kube-dns", *entries, selector={"dns": "here"})


def _retarget(team: Team, target: int) -> None:
    """By JSON patch: kubectl apply takes the two entries of port 53 for one."""
    changes = [{"op": "replace", "path": f"/spec/ports/{n}/targetPort", "value": target} for n in (0, 1)]
    team.plane.kubectl("patch", "service", "kube-dns", "-n", team.namespace, "--type=json", "-p", json.dumps(changes))


def _node_local_dns(address: str) -> dict[str, Any]:
    labels = {"k8s-app": "node-local-dns"}
    container = {"name": "node-cache", "image": "node-cache", "args": ["-localip", address, "-conf", "/etc/Corefile"]}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "node-local-dns"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }
