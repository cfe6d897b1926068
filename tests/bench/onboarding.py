"""How long a label takes: from the label on a namespace until its object is Ready, beside the same writes done bare."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from appconnectivity.cluster.client import Client, load_configuration
from appconnectivity.cluster.kinds import APP_CONNECTIVITY, EVENT, NAMESPACE, NETWORK_POLICY, TEMPLATE, Kind
from bench.ready import Ready, followed
from cluster.controlplane import ControlPlane
from cluster.operator import USER, Operator, install

ONE_BY_ONE, AT_ONCE = 50, 500
_REST_SECONDS = 20
FLOWS = [
    {"from": {"app": "frontend"}, "to": {"app": "api"}, "ports": [8080]},
    {"from": {"app": "prometheus", "namespace": "monitoring"}, "to": {"podSelector": {}}, "ports": [9090]},
]
TEMPLATE_NAME = "standard"
_TEMPLATE = {
    "apiVersion": "appconnectivity.io/v1alpha1",
    "kind": "AppConnectivityTemplate",
    "metadata": {"name": TEMPLATE_NAME},
    "spec": {
        "namespaceSelector": {"matchLabels": {"baseline": "standard"}},
        "maxConcurrent": 100,
        "template": {"spec": {"flows": FLOWS}},
    },
}

FIRST = "first"

Body = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Result:
    """What was measured, in seconds, and the writes that the operator made at rest."""

    labelled: list[float]
    bare: list[float]
    all_labelled: float
    all_bare: float
    writes_at_rest: int

    def rows(self) -> list[tuple[str, str, str, str, str]]:
        p50, bare = statistics.median(self.labelled), statistics.median(self.bare)
        return [
            ("label to Ready, p50 of 50 namespaces", _ms(p50), _ms(bare), f"{p50 / bare:.2f}", "3.00"),
            (
                "500 namespaces labelled at once, all Ready",
                _ms(self.all_labelled),
                _ms(self.all_bare),
                f"{self.all_labelled / self.all_bare:.2f}",
                "1.50",
            ),
            (f"writes in {_REST_SECONDS} s of rest", str(self.writes_at_rest), "", "", "0"),
        ]


def measure() -> Result:
    """On a control plane of its own, with the operator as manifests/base lets it run. It has ended when all is bare."""
    with ControlPlane() as plane:
        install(plane)
        running = Operator(plane)
        running.wait_ready()
        try:
            labelled, all_labelled, at_rest = asyncio.run(_with(plane, _labelled))
        finally:
            running.stop()
        bare, all_bare = asyncio.run(_with(plane, _bare))
        return Result(labelled, bare, all_labelled, all_bare, at_rest)


async def _with(plane: ControlPlane, measured: Callable[[ControlPlane, Client, Ready], Awaitable[T]]) -> T:
    configuration = await load_configuration(kubeconfig=str(plane.kubeconfig), context=None)
    client = Client(configuration)
    try:
        async with followed(configuration) as ready:
            return await measured(plane, client, ready)
    finally:
        await client.close()


async def _labelled(plane: ControlPlane, client: Client, ready: Ready) -> tuple[list[float], float, int]:
    await client.apply(TEMPLATE, _TEMPLATE, force=True)
    names = [FIRST, *(f"one-{number:03}" for number in range(ONE_BY_ONE))]
    await _each(client, names, _make)
    labelled = [await _timed(_label_and_wait(client, ready, name)) for name in names][1:]
    many = [f"many-{number:03}" for number in range(AT_ONCE)]
    await _each(client, many, _make)
    all_labelled = await _timed(_all_labelled(client, ready, many))
    return labelled, all_labelled, await _writes_at_rest(plane)


async def _bare(_: ControlPlane, client: Client, __: Ready) -> tuple[list[float], float]:
    bodies = await _bodies(client, FIRST)
    names = [f"bare-{number:03}" for number in range(ONE_BY_ONE)]
    await _each(client, names, _make)
    bare = [await _timed(_write_bare(client, name, bodies)) for name in names]
    copies = [f"copy-{number:03}" for number in range(AT_ONCE)]
    await _each(client, copies, _make)
    return bare, await _timed(_each(client, copies, lambda c, name: _write_bare(c, name, bodies)))


async def _timed(work: Awaitable[None]) -> float:
    start = time.perf_counter()
    await work
    return time.perf_counter() - start


async def _each(client: Client, names: Iterable[str], act: Callable[[Client, str], Awaitable[None]]) -> None:
    await asyncio.gather(*(act(client, name) for name in names))


async def _make(client: Client, name: str) -> None:
    await _put(client, NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})


async def _label(client: Client, name: str, value: str = "standard") -> None:
    metadata = {"name": name, "labels": {"baseline": value}}
    await _put(client, NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})


async def _label_and_wait(client: Client, ready: Ready, name: str) -> None:
    await _label(client, name)
    await ready.wait({(name, TEMPLATE_NAME)})


async def _all_labelled(client: Client, ready: Ready, names: list[str]) -> None:
    await _each(client, names, _label)
    await ready.wait({(name, TEMPLATE_NAME) for name in names})


async def _bodies(client: Client, namespace: str) -> list[tuple[Kind, Body]]:
    """Everything that the operator has written in a namespace, in the order in which it has to be written."""
    policies = await client.list(NETWORK_POLICY, namespace=namespace)
    denies = [body for body in policies if body["metadata"]["name"].startswith("appconnectivity.")]
    allows = [body for body in policies if body not in denies]
    (found,) = await client.list(APP_CONNECTIVITY, namespace=namespace)
    events = await client.list(EVENT, namespace=namespace)
    kinds = {"NetworkPolicy": NETWORK_POLICY, "AppConnectivity": APP_CONNECTIVITY, "Event": EVENT}
    whole = [
        found | {"apiVersion": "appconnectivity.io/v1alpha1", "kind": "AppConnectivity"},
        *(body | {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"} for body in [*allows, *denies]),
        *(body | {"apiVersion": "v1", "kind": "Event"} for body in events),
    ]
    return [(kinds[body["kind"]], _plain(body)) for body in whole]


def _plain(body: Body) -> Body:
    kept = ("name", "namespace", "labels", "annotations")
    return {**body, "metadata": {key: body["metadata"][key] for key in kept if key in body["metadata"]}}


async def _write_bare(client: Client, name: str, bodies: list[tuple[Kind, Body]]) -> None:
    """The same writes, one after the other where one needs the other, with nothing read and nothing decided."""
    await _label(client, name, "nobody")
    (kind, first), *others = [(kind, _moved(body, name)) for kind, body in bodies]
    await _put(client, kind, first)
    policies = [body for kind, body in others if kind is NETWORK_POLICY]
    shared = [body for body in policies if body["metadata"]["name"].startswith("appconnectivity.")]
    await asyncio.gather(*(_put(client, NETWORK_POLICY, body) for body in policies if body not in shared))
    for body in sorted(shared, key=lambda body: str(body["metadata"]["name"])):
        await _put(client, NETWORK_POLICY, body)
    status = {key: first[key] for key in ("apiVersion", "kind", "metadata", "status")}
    await client.apply(APP_CONNECTIVITY, status, force=True, subresource="status")
    for body in (body for kind, body in others if kind is EVENT):
        metadata = {"namespace": name, "generateName": "standard."}
        about = body["involvedObject"] | {"namespace": name}
        await client.create(EVENT, body | {"metadata": metadata, "involvedObject": about})


def _moved(body: Body, namespace: str) -> Body:
    """The object in another namespace; what names the first one in it names the other."""
    before = body["metadata"]["namespace"]
    moved: Body = json.loads(json.dumps(body).replace(f'"{before}"', f'"{namespace}"'))
    return moved


async def _put(client: Client, kind: Kind, body: Body) -> None:
    await client.apply(kind, body, force=True)


async def _writes_at_rest(plane: ControlPlane) -> int:
    await asyncio.sleep(3)
    before = len(plane.writes(user=USER))
    await asyncio.sleep(_REST_SECONDS)
    return len(plane.writes(user=USER, since=before))


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
