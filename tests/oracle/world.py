"""The small world in which drawn objects are judged, and what the compiler is told of it.

Labels, names and addresses are such that a policy that means a little too much or too little shows: the same label in
another namespace, a label that is empty or absent, a name on another port, an address just inside and just outside.
"""

from __future__ import annotations

import re
from dataclasses import asdict
from itertools import product
from typing import Any

from appconnectivity.core import api
from appconnectivity.core.facts import Service, ServicePort
from appconnectivity.core.reachability import Host, Pod, World
from appconnectivity.core.selectors import Selector
from builders import compile_, endpoints, facts, flow, obj, peer
from oracle.declared import NAMESPACE, Connection, Declared, Probe, Served, Together, routes
from strategies import NUMBERS

WEB = {"web": ("TCP", 8080)}
WORLD = World(
    namespaces={"shop": {"team": "red"}, "data": {"team": "red"}, "ops": {"team": "blue"}, "kube-system": {}},
    pods=(
        Pod("shop", "a", {"app": "a"}, ("10.0.1.1",), WEB),
        Pod("shop", "b", {"app": "b", "tier": "web"}, ("10.0.1.2", "fd00::1:2"), {"web": ("TCP", 443)}),
        Pod("shop", "c", {"app": "c", "tier": ""}, ("10.0.3.3",), {"web": ("UDP", 53)}),
        Pod("shop", "bare", {}, ("10.0.3.4",), WEB),
        Pod("shop", "odd", {"example.com/app": "a", "App": "b", "k8s-app": "kube-dns"}, ("fd00::3:5",)),
        Pod("data", "a", {"app": "a", "tier": "web"}, ("10.0.2.1",), WEB),
        Pod("data", "c", {"app": "c"}, ("10.0.2.2",)),
        Pod("ops", "b", {"app": "b"}, ("10.0.4.1", "fd00::4:1"), WEB),
        Pod("kube-system", "coredns", {"k8s-app": "kube-dns"}, ("10.0.5.1", "fd00::5:1")),
        Pod("kube-system", "a", {"app": "a"}, ("10.0.5.2",)),
    ),
    hosts=(
        Host("good", "203.0.113.8"),
        Host("bad", "203.0.113.7"),
        Host("intranet", "192.168.7.7"),
        Host("six", "2001:db8::7"),
    ),
)
SERVICES = {
    ("shop", "db"): Served({("TCP", 80): 8080, ("TCP", 443): 443, ("UDP", 53): 53}, labels={"app": "b"}),
    ("shop", "ext"): Served({("TCP", 80): 8080}, addresses=("203.0.113.8",)),
    ("data", "db"): Served({("TCP", 80): 8050}, labels={"app": "a"}),
}
# The same Services as the API server tells of them; https goes to a port by name.
_FOUND = (
    Service(
        "shop",
        "db",
        Selector.of_labels({"app": "b"}),
        (
            ServicePort("http", "TCP", 80, 8080),
            ServicePort("https", "TCP", 443, "web"),
            ServicePort("names", "UDP", 53, 53),
        ),
        endpoints=(endpoints("10.0.1.2", https=443),),
    ),
    Service(
        "shop",
        "ext",
        None,
        (ServicePort("http", "TCP", 80, 80),),
        endpoints=(endpoints("203.0.113.8", http=8080),),
    ),
    Service("data", "db", Selector.of_labels({"app": "a"}), (ServicePort("http", "TCP", 80, 8050),)),
)
# Every port that an object can come to, with its neighbours, and one that none can; each in every protocol.
_DRAWN = {int(number) for text in NUMBERS for number in re.findall(r"\d+", str(text))}
_SERVED = {number for served in SERVICES.values() for number in served.ports.values()}
_SERVICE_PORTS = {number for served in SERVICES.values() for _, number in served.ports}
_NAMED = {number for pod in WORLD.pods for _, number in pod.ports.values()}
_PORTS = {n + step for n in _DRAWN | _SERVED | _SERVICE_PORTS | _NAMED for step in (-1, 0, 1)} | {9999}
PROBES: tuple[Probe, ...] = tuple(product(("TCP", "UDP", "SCTP"), sorted(_PORTS)))
_GRANT = obj(flow({"namespace": NAMESPACE}, {"podSelector": {}}, "*"), name="all", namespace="data")
FACTS = facts(
    *_FOUND,
    labels={api.NAMESPACE_NAME_LABEL: NAMESPACE, "team": "red"},
    peers={"data": peer(_GRANT, name="data", team="red"), "ops": peer(name="ops", team="blue")},
)

PAIRS = [
    (source, target)
    for source, target in product(WORLD.ends, repeat=2)
    if source != target and not (isinstance(source, Host) and isinstance(target, Host))
]


def connections_of(pairs: list[tuple[Pod | Host, Pod | Host]]) -> list[Connection]:
    return [(source.ref, target.ref, *probe) for source, target in pairs for probe in PROBES]


CONNECTIONS = connections_of(PAIRS)


def policies_of(*bodies: Any) -> list[Any]:
    """The policies that the compiler makes of objects in this world."""
    return [policy.to_dict() for policy in compile_(*bodies, facts=FACTS).policies]


def declared(*bodies: Any) -> set[Connection]:
    """Every probe that these objects leave or make possible, by their own words."""
    says = Together(tuple(Declared(body["spec"], WORLD, SERVICES) for body in bodies))
    return {
        (source.ref, target.ref, *probe) for source, target in PAIRS for probe in says.opens(source, target, PROBES)
    }


def declared_at(body: Any) -> set[tuple[str, str, str, str, int]]:
    """The same for each address of the target: source, target, address, protocol, port."""
    says = Declared(body["spec"], WORLD, SERVICES)
    return {
        (source.ref, target.ref, str(there.address), *probe)
        for source, target in PAIRS
        for here, there in routes(source, target)
        for probe in says.opens_at(here, there, PROBES)
    }


def plain() -> dict[str, Any]:
    """The world as plain data."""
    return {
        "namespaces": {name: dict(labels) for name, labels in WORLD.namespaces.items()},
        "pods": [asdict(pod) for pod in WORLD.pods],
        "hosts": [asdict(host) for host in WORLD.hosts],
    }
