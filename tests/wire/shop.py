"""A shop whose declared connections are tried again and again, and those that nobody declared as well.

Several flows begin and end at each pod, since it is there that policies written one after the other could cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from appconnectivity.core.reachability import Host, Pod, World
from cluster.wire.lab import WireLab
from cluster.wire.traffic import Count, Knock

INTERVAL = 0.02
WORLD = World(
    namespaces={"kube-system": {}, "monitoring": {}, "shop": {}},
    pods=(
        Pod("kube-system", "coredns", {"k8s-app": "kube-dns"}, ("10.244.0.2",)),
        Pod("monitoring", "prometheus", {"app": "prometheus"}, ("10.244.3.10",)),
        Pod("shop", "api", {"app": "api"}, ("10.244.1.11",)),
        Pod("shop", "db", {"app": "db"}, ("10.244.1.12",)),
        Pod("shop", "frontend", {"app": "frontend"}, ("10.244.1.10",)),
        Pod("shop", "worker", {"app": "worker"}, ("10.244.1.13",)),
    ),
    hosts=(Host("payment", "203.0.113.10"), Host("stranger", "198.51.100.9")),
)
PORTS = (53, 443, 5432, 8080, 8081, 9090)
IPS = {pod.ref: pod.ips[0] for pod in WORLD.pods} | {host.ref: host.ip for host in WORLD.hosts}

Flow = dict[str, Any]


def flow(source: str, target: str, *ports: int, **more: Any) -> Flow:
    return {"from": {"app": source}, "to": {"app": target}, "ports": list(ports), **more}


TO_API = flow("frontend", "api", 8080)
FLOWS = [
    TO_API,
    flow("worker", "api", 8080),
    flow("api", "db", 5432),
    flow("worker", "db", 5432),
    {
        "name": "metrics",
        "from": {"app": "prometheus", "namespace": "monitoring"},
        "to": {"podSelector": {}},
        "ports": [9090],
    },
    {"name": "payment", "from": {"app": "api"}, "to": {"ipBlocks": [{"cidr": "203.0.113.0/24"}]}, "ports": [443]},
]


def door(source: str, target: str, port: int, protocol: str = "TCP") -> Knock:
    return Knock(source=source, target=target, ip=IPS[target], protocol=protocol, port=port)


SHOP = [pod.ref for pod in WORLD.pods if pod.namespace == "shop"]
DECLARED = [
    door("shop/frontend", "shop/api", 8080),
    door("shop/worker", "shop/api", 8080),
    door("shop/api", "shop/db", 5432),
    door("shop/worker", "shop/db", 5432),
    door("shop/api", "host:payment", 443),
    *(door("monitoring/prometheus", ref, 9090) for ref in SHOP),
    *(door(ref, "kube-system/coredns", 53, protocol) for ref in SHOP for protocol in ("UDP", "TCP")),
]
UNDECLARED = [
    door("shop/frontend", "shop/db", 5432),
    door("shop/db", "shop/frontend", 8080),
    door("host:stranger", "shop/api", 8080),
    door("monitoring/prometheus", "shop/api", 8080),
    door("shop/api", "host:stranger", 443),
    door("shop/worker", "kube-system/coredns", 8080),
]


def obj(*flows: Flow, name: str = "shop", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "appconnectivity.io/v1alpha1",
        "kind": "AppConnectivity",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"mode": "Enforce", **spec, "flows": list(flows)},
    }


def open_shop(lab: WireLab) -> None:
    """A live namespace without policies, in which every door is seen open: it is policies that shut them later on."""
    lab.build(WORLD, ports=PORTS)
    lab.settle()
    doors = {*DECLARED, *UNDECLARED}
    assert lab.traffic.knock(doors) == doors


@contextmanager
def watched(lab: WireLab, doors: list[Knock]) -> Iterator[Callable[[], Count]]:
    """Knocks at the doors while the block runs; what is yielded tells what came of it, afterwards."""
    stream = lab.traffic.stream(doors, interval=INTERVAL)
    counts: list[Count] = []
    try:
        yield lambda: counts[0]
    finally:
        counts.append(stream.stop())


def ready(lab: WireLab, *names: str) -> None:
    for name in names or ("shop",):
        lab.wait_ready(name, namespace="shop")
    lab.settle()


def none_failed(scenario: str, count: Count) -> None:
    """Prints the figures, for docs/verification.md."""
    print(f"{scenario}: {count.tried} declared connections tried, {len(count.shut)} failed")
    _was_at_work(count)
    assert not count.shut, _told(count.shut)


def none_succeeded(scenario: str, count: Count) -> None:
    print(f"{scenario}: {count.tried} undeclared connections tried, {count.open} succeeded")
    _was_at_work(count)
    assert count.open == 0


def _was_at_work(count: Count) -> None:
    """An attempt that broke, or that was never made, is no shut door."""
    assert not count.errors, "\n".join(count.errors[:10])
    assert count.tried >= count.enough


def _told(shut: list[tuple[float, Knock]]) -> str:
    begin = shut[0][0]
    return "\n".join(f"{at - begin:.3f} s: {d.source} -> {d.target} {d.protocol} {d.port}" for at, d in shut[:40])
