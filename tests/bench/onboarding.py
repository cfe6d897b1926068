"""How long a label takes: from the label on a namespace until its object is Ready, beside the same writes done bare."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from appconnectivity.cluster.kinds import TEMPLATE
from bench.tools import Bench, Body, bench, each, moved, namespace, timed
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


async def _with(plane: ControlPlane, measured: Callable[[ControlPlane, Bench], Awaitable[T]]) -> T:
    async with bench(plane) as at:
        return await measured(plane, at)


async def _labelled(plane: ControlPlane, at: Bench) -> tuple[list[float], float, int]:
    await at.client.apply(TEMPLATE, _TEMPLATE, force=True)
    names = [FIRST, *(f"one-{number:03}" for number in range(ONE_BY_ONE))]
    await at.make_namespaces(names)
    labelled = [await timed(_label_and_wait(at, name)) for name in names][1:]
    many = [f"many-{number:03}" for number in range(AT_ONCE)]
    await at.make_namespaces(many)
    all_labelled = await timed(_all_labelled(at, many))
    return labelled, all_labelled, await _writes_at_rest(plane)


async def _bare(_: ControlPlane, at: Bench) -> tuple[list[float], float]:
    bodies = await at.written(FIRST)
    names = [f"bare-{number:03}" for number in range(ONE_BY_ONE)]
    await at.make_namespaces(names)
    bare = [await timed(_write_bare(at, name, bodies)) for name in names]
    copies = [f"copy-{number:03}" for number in range(AT_ONCE)]
    await at.make_namespaces(copies)
    return bare, await timed(each(copies, lambda name: _write_bare(at, name, bodies)))


async def _label_and_wait(at: Bench, name: str) -> None:
    await at.put(namespace(name, baseline="standard"))
    await at.ready.wait([(name, TEMPLATE_NAME)])


async def _all_labelled(at: Bench, names: list[str]) -> None:
    await each(names, lambda name: at.put(namespace(name, baseline="standard")))
    await at.ready.wait([(name, TEMPLATE_NAME) for name in names])


async def _write_bare(at: Bench, name: str, bodies: list[Body]) -> None:
    """The same writes, one after the other where one needs the other, with nothing read and nothing decided."""
    await at.put(namespace(name, baseline="nobody"))
    mine = [moved(body, name) for body in bodies]
    (first,) = (body for body in mine if body["kind"] == "AppConnectivity")
    await at.put({key: value for key, value in first.items() if key != "status"})
    policies = [body for body in mine if body["kind"] == "NetworkPolicy"]
    shared = [body for body in policies if body["metadata"]["name"].startswith("appconnectivity.")]
    await each([body for body in policies if body not in shared], at.put)
    for body in sorted(shared, key=lambda body: str(body["metadata"]["name"])):
        await at.put(body)
    await at.write_status(first)
    for body in mine:
        if body["kind"] == "Event":
            await at.write_event(body)


async def _writes_at_rest(plane: ControlPlane) -> int:
    await asyncio.sleep(3)
    before = len(plane.writes(user=USER))
    await asyncio.sleep(_REST_SECONDS)
    return len(plane.writes(user=USER, since=before))


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
