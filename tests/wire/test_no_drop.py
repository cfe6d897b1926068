"""No declared connection fails while policies come, change and go; and nothing undeclared gets through meanwhile.

Several flows begin and end at each pod, since it is there that policies written one after the other could cut.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from appconnectivity.core.reachability import Host, Pod, World
from cluster import processes
from cluster.operator import USER, Operator
from cluster.wire.lab import WireLab
from cluster.wire.traffic import Count, Knock
from wire.conftest import ADOPTION

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
WRITES = ("create", "patch", "delete")
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
    assert count.tried > 0
    assert not count.shut, _told(count.shut)


def none_succeeded(scenario: str, count: Count) -> None:
    print(f"{scenario}: {count.tried} undeclared connections tried, {count.open} succeeded")
    assert count.tried > 0
    assert count.open == 0


def _told(shut: list[tuple[float, Knock]]) -> str:
    begin = shut[0][0]
    return "\n".join(f"{at - begin:.3f} s: {d.source} -> {d.target} {d.protocol} {d.port}" for at, d in shut[:40])


@pytest.fixture
def shop(lab: WireLab) -> WireLab:
    """A live namespace that has no policies yet."""
    lab.build(WORLD, ports=PORTS)
    lab.settle()
    return lab


@pytest.fixture
def closed(shop: WireLab) -> WireLab:
    """The same, where the flows are declared and enforced."""
    shop.apply(obj(*FLOWS))
    ready(shop)
    return shop


def test_a_live_namespace_gets_its_first_object(shop: WireLab) -> None:
    with watched(shop, DECLARED) as count:
        shop.apply(obj(*FLOWS))
        ready(shop)
        time.sleep(1)
    none_failed("first object", count())

    with watched(shop, UNDECLARED) as count:
        time.sleep(1)
    none_succeeded("after it", count())


def test_an_object_moves_from_audit_to_enforce_and_back(shop: WireLab) -> None:
    shop.apply(obj(*FLOWS, mode="Audit"))
    ready(shop)
    with watched(shop, DECLARED) as count:
        shop.apply(obj(*FLOWS))
        ready(shop)
    none_failed("from Audit to Enforce", count())

    with watched(shop, DECLARED) as count:
        shop.apply(obj(*FLOWS, mode="Audit"))
        time.sleep(4)
    none_failed("from Enforce to Audit", count())
    assert shop.plane.kubectl("get", "networkpolicies", "-n", "shop", "-o", "name").stdout == ""


RENAMED = {**TO_API, "name": "renamed"}
BOTH_PORTS = {**TO_API, "ports": [8080, 8081]}
CHANGES = {
    "a flow is added": [[*FLOWS, flow("frontend", "worker", 8080)], FLOWS],
    "a flow is renamed": [[RENAMED, *FLOWS[1:]], FLOWS],
    "a flow gets another port": [[BOTH_PORTS, *FLOWS[1:]], FLOWS],
    "all flows get names": [[{**body, "name": f"flow-{n}"} for n, body in enumerate(FLOWS)], FLOWS],
}


@pytest.mark.parametrize("change", CHANGES)
def test_flows_change(closed: WireLab, change: str) -> None:
    with watched(closed, DECLARED) as declared, watched(closed, UNDECLARED) as undeclared:
        for flows in CHANGES[change]:
            closed.apply(obj(*flows))
            ready(closed)
    none_failed(change, declared())
    none_succeeded(change, undeclared())


def test_an_object_is_split_in_two(closed: WireLab) -> None:
    with watched(closed, DECLARED) as declared, watched(closed, UNDECLARED) as undeclared:
        closed.apply(obj(*FLOWS[3:], name="second"))
        ready(closed, "second")
        closed.apply(obj(*FLOWS[:3]))
        ready(closed)
    none_failed("an object is split", declared())
    none_succeeded("an object is split", undeclared())


def test_policies_are_torn_down_in_order(closed: WireLab) -> None:
    """The object goes and leaves its policies to the operator (garbage collection alone would know no order)."""
    with watched(closed, DECLARED) as count:
        closed.plane.kubectl("delete", "appconn", "shop", "-n", "shop", "--cascade=orphan")
        time.sleep(4)
    none_failed("torn down", count())
    assert closed.plane.kubectl("get", "networkpolicies", "-n", "shop", "-o", "name").stdout == ""


# Killed and restarted.


@pytest.fixture
def unattended(bare_lab: WireLab) -> Iterator[WireLab]:
    """A live namespace with an object that no operator has seen yet."""
    bare_lab.build(WORLD, ports=PORTS)
    bare_lab.settle()
    bare_lab.apply(obj(*FLOWS))
    yield bare_lab
    with at_work(bare_lab):
        bare_lab.clear()


@contextmanager
def at_work(lab: WireLab) -> Iterator[Operator]:
    """An operator that is killed hard at the end of the block."""
    running = Operator(lab.plane, *ADOPTION)
    try:
        yield running
    except BaseException:
        print(processes.tail(running.log, lines=60))
        raise
    finally:
        running.kill()


def await_writes(lab: WireLab, number: int) -> None:
    """Until the API server has answered that many writes of the operator."""
    end, rest = time.monotonic() + 15, ""
    with lab.plane.audit_log.open() as log:
        log.seek(0, 2)
        while number > 0:
            assert time.monotonic() < end, f"{number} writes are missing"
            *lines, rest = (rest + log.read()).split("\n")
            number -= sum(USER in line and any(f'"verb":"{verb}"' in line for verb in WRITES) for line in lines)
            time.sleep(0.001)


# 2 that keep the namespace open, 10 allows, DNS, deny, status, event; and when its time is over 2 deletions and so on.
@pytest.mark.parametrize("number", [1, 2, 3, 6, 9, 12, 13, 14, 15, 17, 18, 19])
def test_the_operator_is_killed_after_a_write_and_restarted(unattended: WireLab, number: int) -> None:
    with watched(unattended, DECLARED) as declared:
        with at_work(unattended):
            await_writes(unattended, number)
        time.sleep(0.5)
        with at_work(unattended):
            ready(unattended)
    none_failed(f"killed after write {number}", declared())

    with watched(unattended, UNDECLARED) as undeclared:
        time.sleep(0.5)
    none_succeeded(f"killed after write {number}", undeclared())


def test_an_operator_with_other_policy_names_takes_over(unattended: WireLab) -> None:
    """As after an upgrade: all that stands has names that this version does not know, and goes when its own stand."""
    with at_work(unattended):
        ready(unattended)
    old = unattended.rename_policies("shop", prefix="old-")
    seen = watched(unattended, DECLARED), watched(unattended, UNDECLARED)
    with seen[0] as declared, seen[1] as undeclared, at_work(unattended):
        unattended.await_gone("shop", old)
    none_failed("other names", declared())
    none_succeeded("other names", undeclared())
