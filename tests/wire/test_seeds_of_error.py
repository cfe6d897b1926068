"""The classical mistakes in network policies, each in a world where it would show in packets."""

from __future__ import annotations

from typing import Any

import pytest

from appconnectivity.core.reachability import Host, World
from cluster.wire import truth
from cluster.wire.lab import WireLab
from wire.scene import app, declares, each, flow, pod, stage, world_of

TEAMS = {"shop": {}, "blue": {"team": "blue"}, "red": {"team": "red"}}
BLUE_CLIENTS = {"app": "client", "namespaceSelector": {"matchLabels": {"team": "blue"}}}


def test_from_pods_in_namespaces_means_both_and_never_one_of_them(lab: WireLab) -> None:
    world = world_of(TEAMS, app("shop/api", "shop/client", "blue/client", "blue/other", "red/client"), dual=True)
    scene = stage(lab, world, ports=(8080, 9999))
    scene.declare(declares("shop", flow(BLUE_CLIENTS, "api", 8080), policyTypes=["Ingress"]))

    everybody = "shop/api shop/client blue/client blue/other red/client"
    scene.prove(*each(everybody, "blue/client blue/other red/client", "ALL"), "blue/client -> shop/api : TCP 8080")


def test_to_pods_in_namespaces_means_both_and_never_one_of_them(lab: WireLab) -> None:
    world = world_of(TEAMS, app("shop/api", "shop/client", "blue/client", "blue/other", "red/client"), dual=True)
    scene = stage(lab, world, ports=(8080, 9999))
    scene.declare(declares("shop", flow("api", BLUE_CLIENTS, 8080), policyTypes=["Egress"]))

    everybody = "shop/api shop/client blue/client blue/other red/client"
    scene.prove(*each("blue/client blue/other red/client", everybody, "ALL"), "shop/api -> blue/client : TCP 8080")


HALF = flow({"app": "web", "namespace": "front"}, {"app": "db", "namespace": "back"}, 5432)


@pytest.mark.parametrize(
    ("at_source", "at_destination", "lines"),
    [
        pytest.param([HALF], [], [], id="only-the-source-declares"),
        pytest.param([], [HALF], [], id="only-the-destination-declares"),
        pytest.param([HALF], [HALF], ["front/web -> back/db : TCP 5432"], id="both-declare"),
    ],
)
def test_between_isolated_namespaces_one_half_opens_nothing(
    at_source: list[Any], at_destination: list[Any], lines: list[str], lab: WireLab
) -> None:
    world = world_of({"front": {}, "back": {}}, app("front/web", "front/db", "back/web", "back/db"))
    scene = stage(lab, world, ports=(5431, 5432, 5433))
    scene.declare(declares("front", *at_source), declares("back", *at_destination))

    scene.prove(*lines)


def test_what_the_two_halves_open_is_what_both_say_protocol_by_protocol(lab: WireLab) -> None:
    """Each number is declared on both sides, but not always for the same protocol."""
    world = world_of({"front": {}, "back": {}}, app("front/web", "back/db"), dual=True)
    scene = stage(lab, world, ports=(7000, 7001, 7002, 7003, 7004, 7005))
    web, db = {"app": "web", "namespace": "front"}, {"app": "db", "namespace": "back"}
    scene.declare(
        declares("front", flow(web, db, 7000, "7001/UDP", "7002/SCTP", "7003/TCP", "7004/SCTP", "7005/UDP")),
        declares("back", flow(web, db, "7000/UDP", "7001/UDP", "7002/SCTP", "7003/SCTP", "7004/UDP", 7005)),
    )

    scene.prove("front/web -> back/db : UDP 7001, SCTP 7002")


def test_the_neighbours_of_a_range_stay_shut_in_every_protocol(lab: WireLab) -> None:
    lines = ["calls/gateway -> calls/media : TCP 8000-8010,65535, UDP 5000-5002, SCTP 1-2"]
    scene = stage(
        lab,
        world_of({"calls": {}}, app("calls/gateway", "calls/media"), dual=True),
        ports=truth.ports_of(lines, more=(8005,)),
    )
    ports = ("8000-8010", "65535-65535", "5000-5002/UDP", "1-2/SCTP")
    scene.declare(declares("calls", flow("gateway", "media", *ports)))

    scene.prove(*lines)


EDGES = {
    "below": "203.0.112.255",
    "first": "203.0.113.0",
    "before": "203.0.113.7",
    "hole-first": "203.0.113.8",
    "hole-again": "203.0.113.12",
    "hole-last": "203.0.113.15",
    "after": "203.0.113.16",
    "last": "203.0.113.255",
    "above": "203.0.114.0",
    "six": "2001:db8:1::9",
    "six-before": "2001:db8:1:bac:ffff:ffff:ffff:ffff",
    "six-hole-first": "2001:db8:1:bad::",
    "six-hole-last": "2001:db8:1:bad:ffff:ffff:ffff:ffff",
    "six-after": "2001:db8:1:bae::",
    "six-above": "2001:db8:2::",
}
BLOCKS = {
    "ipBlocks": [
        {"cidr": "203.0.113.0/24", "except": ["203.0.113.8/29"]},
        {"cidr": "203.0.113.12/32"},
        {"cidr": "2001:db8:1::/48", "except": ["2001:db8:1:bad::/64"]},
    ]
}
WITHIN = "host:first host:before host:hole-again host:after host:last host:six host:six-before host:six-after"


def test_except_cuts_its_addresses_out_of_its_own_block_and_of_no_other(lab: WireLab) -> None:
    """203.0.113.12 is cut out of one block and stands in another: it is in."""
    world = world_of({"shop": {}}, app("shop/api", "shop/other"), hosts=EDGES, dual=True)
    scene = stage(lab, world, ports=(443, 444))
    scene.declare(declares("shop", flow("api", BLOCKS, 443), flow(BLOCKS, "other", 444)))

    scene.prove(*each("shop/api", WITHIN, "TCP 443"), *each(WITHIN, "shop/other", "TCP 444"))


SIXES = {
    "global": "2001:db8::7",
    "hole": "2001:db8:bad::7",
    "unassigned": "4000::7",
    "upper-half": "9000::7",
    "unique-local": "fd00:99::7",
    "four": "203.0.113.7",
}


def test_all_of_ipv6_without_its_exceptions_is_all_of_ipv6_without_its_exceptions(lab: WireLab) -> None:
    world = world_of({"shop": {}}, app("shop/api", "shop/other"), hosts=SIXES, dual=True)
    scene = stage(lab, world, ports=(443, 444))
    block = {"cidr": "::/0", "except": ["2001:db8:bad::/48", "fd00::/8"]}
    scene.declare(declares("shop", flow("api", {"ipBlocks": [block]}, 443)))

    scene.prove(*each("shop/api", "host:global host:unassigned host:upper-half", "TCP 443"))


def test_all_of_ipv6_is_all_of_it_and_nothing_of_ipv4(lab: WireLab) -> None:
    pods = (pod("shop/api", {"app": "api"}, number=1, dual=True), pod("open/four", {}, number=2))
    hosts = tuple(Host(name, ip) for name, ip in SIXES.items())
    scene = stage(lab, World({"shop": {}, "open": {}}, pods, hosts), ports=(443, 444))
    scene.declare(declares("shop", flow("api", {"ipBlocks": [{"cidr": "::/0"}]}, 443)))

    sixes = "host:global host:hole host:unassigned host:upper-half host:unique-local"
    scene.prove(*each("shop/api", sixes, "TCP 443"), "host:four -> open/four : ALL", "open/four -> host:four : ALL")


def service(**port: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "api", "namespace": "shop"},
        "spec": {"selector": {"app": "api"}, "ports": [{"protocol": "TCP", **port}]},
    }


@pytest.mark.parametrize("chosen", [(), (80,), ("http",)], ids=["no-ports", "by-number", "by-name"])
def test_a_service_opens_its_pods_port_and_never_its_own(chosen: tuple[int | str, ...], lab: WireLab) -> None:
    world = world_of({"shop": {}}, app("shop/frontend", "shop/api", "shop/other"))
    scene = stage(lab, world, ports=(79, 80, 81, 8079, 8080, 8081))
    lab.apply(service(name="http", port=80, targetPort=8080))
    scene.declare(declares("shop", flow("frontend", {"service": "api"}, ports=[*chosen] or None)))

    scene.prove("shop/frontend -> shop/api : TCP 8080")


def test_the_number_of_a_service_means_nothing_to_a_flow_between_pods(lab: WireLab) -> None:
    world = world_of({"shop": {}}, app("shop/frontend", "shop/api"))
    scene = stage(lab, world, ports=(80, 8080))
    lab.apply(service(name="http", port=80, targetPort=8080))
    scene.declare(declares("shop", flow("frontend", "api", 80)))

    scene.prove("shop/frontend -> shop/api : TCP 80")


def test_a_namespace_that_is_labelled_like_another_gains_nothing(lab: WireLab) -> None:
    """Whoever owns a namespace may label it, but ``namespace: backoffice`` goes by the name, which nobody can give."""
    copied = {"name": "backoffice", "namespace": "backoffice", "app": "reports"}
    world = world_of(
        {"shop": {"name": "shop"}, "backoffice": {"name": "backoffice"}, "spoof": copied},
        app("shop/api", "backoffice/reports", "spoof/reports"),
    )
    scene = stage(lab, world, ports=(8080, 9999))
    own_name = "kubernetes.io/metadata.name=backoffice"
    lab.plane.kubectl("label", "--overwrite", "namespace", "spoof", own_name, check=False)
    scene.declare(
        declares("shop", flow({"app": "reports", "namespace": "backoffice"}, "api", 8080)),
        declares("backoffice", flow("reports", {"app": "api", "namespace": "shop"}, 8080)),
    )

    scene.prove("backoffice/reports -> shop/api : TCP 8080")


def test_a_label_that_is_copied_to_another_namespace_is_what_a_namespace_selector_trusts(lab: WireLab) -> None:
    """The counterpart: who selects by a label lets everybody in who may set it."""
    world = world_of(TEAMS | {"spoof": {"team": "blue"}}, app("shop/api", "blue/client", "spoof/client", "red/client"))
    scene = stage(lab, world, ports=(8080, 9999))
    scene.declare(declares("shop", flow(BLUE_CLIENTS, "api", 8080)))

    others = "blue/client spoof/client red/client"
    scene.prove(*each(others, others, "ALL"), *each("blue/client spoof/client", "shop/api", "TCP 8080"))
