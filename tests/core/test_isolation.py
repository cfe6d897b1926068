"""What closes, in its three forms; and that DNS is open for exactly those who are closed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from appconnectivity.core import api, naming
from appconnectivity.core.facts import EndpointPort, Endpoints, Service, ServicePort
from appconnectivity.core.policy import Role
from appconnectivity.core.selectors import Selector
from builders import KUBE_DNS, compile_, facts, flow, names, obj, observed, service, spec_of, without_dns

A_TO_B = flow("a", "b")
BOTH = ["Ingress", "Egress"]


def closed(*bodies: Any, **more: Any) -> dict[str, tuple[Any, Any]]:
    """Name, then podSelector and policyTypes, of every policy that isolates without opening anything but DNS."""
    compiled = compile_(*bodies, **more)
    roles = (Role.DENY, Role.DNS)
    return {
        policy.name: (policy.spec["podSelector"].get("matchLabels", {}), policy.spec["policyTypes"])
        for policy in compiled.policies
        if policy.role in roles
    }


ALL: tuple[Any, Any] = ({}, ["Egress", "Ingress"])


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param(
            {},
            {"appconnectivity.default-deny": ALL, "appconnectivity.allow-dns": ({}, ["Egress"])},
            id="namespace-both",
        ),
        pytest.param(
            {"policyTypes": ["Ingress"]}, {"appconnectivity.default-deny": ({}, ["Ingress"])}, id="namespace-ingress"
        ),
        pytest.param(
            {"policyTypes": ["Egress"]},
            {"appconnectivity.default-deny": ({}, ["Egress"]), "appconnectivity.allow-dns": ({}, ["Egress"])},
            id="namespace-egress",
        ),
        pytest.param({"dns": "None"}, {"appconnectivity.default-deny": ALL}, id="namespace-without-dns"),
        pytest.param(
            {"defaultDeny": "Endpoints"},
            {
                "shop.a.deny": ({"app": "a"}, ["Egress", "Ingress"]),
                "shop.b.deny": ({"app": "b"}, ["Egress", "Ingress"]),
                "shop.a.allow-dns": ({"app": "a"}, ["Egress"]),
                "shop.b.allow-dns": ({"app": "b"}, ["Egress"]),
            },
            id="endpoints-both",
        ),
        pytest.param(
            {"defaultDeny": "Endpoints", "policyTypes": ["Ingress"]},
            {"shop.a.deny": ({"app": "a"}, ["Ingress"]), "shop.b.deny": ({"app": "b"}, ["Ingress"])},
            id="endpoints-ingress-needs-no-dns",
        ),
        pytest.param(
            {"defaultDeny": "None"},
            {"shop.a.allow-dns": ({"app": "a"}, ["Egress"])},
            id="none-gives-dns-only-to-those-whose-egress-the-flow-closes",
        ),
        pytest.param({"defaultDeny": "None", "policyTypes": ["Ingress"]}, {}, id="none-ingress"),
        pytest.param({"defaultDeny": "None", "dns": "None"}, {}, id="none-without-dns"),
    ],
)
def test_each_form_of_deny_closes_what_it_says(spec: dict[str, Any], expected: dict[str, Any]) -> None:
    assert closed(obj(A_TO_B, **spec)) == expected


def test_without_a_deny_a_closed_flow_isolates_nobody() -> None:
    expired = flow("a", "b", expirationTime="2026-01-01T00:00:00Z")

    assert closed(obj(expired, defaultDeny="None")) == {}
    assert "shop.a.deny" in closed(obj(expired, defaultDeny="Endpoints"))


def test_the_deny_stands_for_the_union_of_what_objects_want() -> None:
    one, other = obj(name="one", policyTypes=["Ingress"]), obj(name="two", policyTypes=["Egress"], dns="None")
    compiled = compile_(one, other)

    assert names(compiled) == [naming.DEFAULT_DENY]
    assert compiled.policies[0].spec["policyTypes"] == ["Egress", "Ingress"]
    assert [owner.name for owner in compiled.policies[0].owners] == ["one", "two"]


def test_an_object_that_wants_no_deny_does_not_own_it() -> None:
    compiled = compile_(obj(name="one"), obj(name="two", defaultDeny="None"))

    assert {owner.name for policy in compiled.policies for owner in policy.owners} == {"one"}


def test_dns_is_open_where_one_of_two_objects_wants_it() -> None:
    compiled = compile_(obj(name="one"), obj(name="two", dns="None"))
    dns = next(policy for policy in compiled.policies if policy.name == naming.ALLOW_DNS)

    assert [owner.name for owner in dns.owners] == ["one"]


def dns_rules(**found: Any) -> list[Any]:
    rules: list[Any] = spec_of(compile_(obj(), facts=replace(facts(), **found)), naming.ALLOW_DNS)["egress"]
    return rules


def in_namespace(name: str, **labels: str) -> dict[str, Any]:
    selector = {"matchLabels": {api.NAMESPACE_NAME_LABEL: name}}
    return {"namespaceSelector": selector, "podSelector": {"matchLabels": labels}}


def port(number: int | str, protocol: str) -> dict[str, Any]:
    return {"port": number, "protocol": protocol}


OPENSHIFT = Service(
    namespace="openshift-dns",
    name="dns-default",
    selector=Selector.of_labels({"dns.operator.openshift.io/daemonset-dns": "default"}),
    ports=(
        ServicePort("dns", "UDP", 53, "dns"),
        ServicePort("dns-tcp", "TCP", 53, "dns-tcp"),
        ServicePort("metrics", "TCP", 9154, "metrics"),
    ),
    endpoints=(
        Endpoints(
            ("10.128.0.5",),
            (
                EndpointPort("dns", "UDP", 5353),
                EndpointPort("dns-tcp", "TCP", 5353),
                EndpointPort("metrics", "TCP", 9154),
            ),
        ),
    ),
)


def test_dns_is_the_pods_of_kube_dns_and_nothing_else() -> None:
    assert dns_rules() == [
        {"ports": [port(53, "TCP"), port(53, "UDP")], "to": [in_namespace("kube-system", **{"k8s-app": "kube-dns"})]}
    ]


def test_dns_of_openshift_is_on_its_pods_port() -> None:
    (rule,) = dns_rules(dns_services=(OPENSHIFT,))

    assert rule["ports"] == [port(5353, "TCP"), port(5353, "UDP")]
    assert rule["to"] == [in_namespace("openshift-dns", **{"dns.operator.openshift.io/daemonset-dns": "default"})]


def test_dns_of_openshift_keeps_the_ports_name_while_it_has_no_endpoint() -> None:
    (rule,) = dns_rules(dns_services=(replace(OPENSHIFT, endpoints=()),))

    assert rule["ports"] == [port("dns-tcp", "TCP"), port("dns", "UDP")]


def test_the_nodes_own_cache_is_allowed_beside_the_service() -> None:
    rules = dns_rules(node_local_dns=("169.254.20.10",))

    assert {"ports": [port(53, "TCP"), port(53, "UDP")], "to": [{"ipBlock": {"cidr": "169.254.20.10/32"}}]} in rules
    assert len(rules) == 2


def test_a_dns_that_speaks_udp_alone_is_allowed_in_udp_alone() -> None:
    only_udp = replace(KUBE_DNS, ports=(ServicePort("dns", "UDP", 53, 53),))

    assert [rule["ports"] for rule in dns_rules(dns_services=(only_udp,))] == [[port(53, "UDP")]]


def test_a_dns_service_without_selector_is_its_addresses() -> None:
    bare = replace(
        KUBE_DNS,
        selector=None,
        endpoints=(Endpoints(("10.0.0.9",), (EndpointPort("dns", "UDP", 53), EndpointPort("dns-tcp", "TCP", 53))),),
    )

    assert [rule["to"] for rule in dns_rules(dns_services=(bare,))] == [[{"ipBlock": {"cidr": "10.0.0.9/32"}}]]


def test_where_no_dns_is_found_the_conventional_one_is_allowed_and_said_to_be_assumed() -> None:
    compiled = compile_(obj(), facts=without_dns(facts()))

    assert compiled.dns_assumed
    assert spec_of(compiled, naming.ALLOW_DNS) == spec_of(compile_(obj()), naming.ALLOW_DNS)
    assert not compile_(obj()).dns_assumed


def test_no_dns_rule_is_ever_open_to_everyone() -> None:
    useless = replace(KUBE_DNS, ports=(ServicePort("metrics", "TCP", 9153, 9153),))
    for found in ((), (useless,), (replace(KUBE_DNS, is_external_name=True),)):
        assert all(rule["to"] and rule["ports"] for rule in dns_rules(dns_services=found))


PRIMARY = Selector.of_labels({"app": "db", "role": "primary"})
DB = service("db", selector=PRIMARY)
TO_SERVICE = {"from": {"app": "a"}, "to": {"service": "db"}}


@pytest.mark.parametrize(
    "flows",
    [
        pytest.param([TO_SERVICE], id="a-service-alone"),
        pytest.param([TO_SERVICE, flow("a", "db", 9000)], id="a-service-beside-an-app-of-its-name"),
    ],
)
def test_what_closed_a_services_pods_stays_while_the_service_is_gone(flows: list[Any]) -> None:
    """The Service is re-created (helm does so): its pods must not open in the meantime."""
    body = obj(*flows, defaultDeny="Endpoints")
    before = compile_(body, facts=facts(DB))
    after = compile_(body, facts=facts(), standing=observed(before))

    denies = {p.name for p in before.policies if p.role is Role.DENY and p.spec["podSelector"] == PRIMARY.to_dict()}
    assert denies
    assert denies <= after.kept | set(names(after))


def test_an_object_never_keeps_what_closed_another_objects_pods() -> None:
    other = obj(TO_SERVICE, name="other", defaultDeny="Endpoints")
    body = obj(TO_SERVICE, defaultDeny="Endpoints")
    standing = observed(compile_(body, other, facts=facts(DB)))

    assert all(name.startswith("shop.") for name in compile_(body, standing=standing).kept)
