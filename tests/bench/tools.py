"""What the benchmarks have in common: a client, clocks, and what a process has used."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from appconnectivity.cluster.client import Client
from appconnectivity.cluster.configuration import load_configuration
from appconnectivity.cluster.kinds import APP_CONNECTIVITY, EVENT, NAMESPACE, NETWORK_POLICY
from bench.ready import Awaited, ready_objects, standing_policies
from cluster.controlplane import ControlPlane

Body = dict[str, Any]
T = TypeVar("T")

_KINDS = {"NetworkPolicy": NETWORK_POLICY, "AppConnectivity": APP_CONNECTIVITY, "Event": EVENT, "Namespace": NAMESPACE}
_API = {"NetworkPolicy": "networking.k8s.io/v1", "AppConnectivity": "appconnectivity.io/v1alpha1", "Event": "v1"}


@dataclass(frozen=True)
class Bench:
    """The administrator's connection, and what it hears: of objects that are Ready, and of policies that stand."""

    client: Client
    ready: Awaited
    policies: Awaited | None

    async def put(self, body: Body) -> None:
        await self.client.apply(_KINDS[body["kind"]], body, force=True)

    async def change_port(self, body: Body, port: int) -> None:
        """By a patch, which costs the API server less than an apply does."""
        change = {"op": "replace", "path": "/spec/flows/0/ports/0", "value": port}
        await self.client.patch(APP_CONNECTIVITY, body, [change])

    async def make_namespaces(self, names: Iterable[str]) -> None:
        await each(names, lambda name: self.put(namespace(name)))

    async def wait_until_current(self, place: tuple[str, str]) -> None:
        """Until the object, as it is now, is Ready."""
        body = await self.client.get(APP_CONNECTIVITY, namespace=place[0], name=place[1])
        assert body is not None, place
        await self.ready.wait([(*place, body["metadata"]["generation"])])

    async def written(self, name: str) -> list[Body]:
        """All that stands in a namespace and that the operator has to do with, as it would be written anew."""
        found = []
        for kind, resource in (
            ("AppConnectivity", APP_CONNECTIVITY),
            ("NetworkPolicy", NETWORK_POLICY),
            ("Event", EVENT),
        ):
            listed = await self.client.list(resource, namespace=name)
            found += [_plain({**body, "apiVersion": _API[kind], "kind": kind}) for body in listed]
        return found

    async def write_status(self, body: Body) -> None:
        status = {key: body[key] for key in ("apiVersion", "kind", "metadata", "status")}
        await self.client.apply(APP_CONNECTIVITY, status, force=True, subresource="status")

    async def write_event(self, body: Body) -> None:
        metadata = {"namespace": body["metadata"]["namespace"], "generateName": "bare."}
        await self.client.create(EVENT, body | {"metadata": metadata})


@asynccontextmanager
async def bench(plane: ControlPlane, *, with_policies: bool = False) -> AsyncIterator[Bench]:
    configuration = await load_configuration(kubeconfig=str(plane.kubeconfig), context=None)
    client = Client(configuration)
    try:
        async with AsyncExitStack() as stack:
            ready = await stack.enter_async_context(ready_objects(configuration))
            policies = await stack.enter_async_context(standing_policies(configuration)) if with_policies else None
            yield Bench(client, ready, policies)
    finally:
        await client.close()


def namespace(name: str, **labels: str) -> Body:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def moved(body: Body, place: str) -> Body:
    """The object in another namespace; what names the first one in it names the other."""
    before = body["metadata"]["namespace"]
    found: Body = json.loads(json.dumps(body).replace(f'"{before}"', f'"{place}"'))
    return found


async def each(items: Iterable[T], act: Callable[[T], Awaitable[None]]) -> None:
    """All at once, as far as the client lets them."""
    await asyncio.gather(*(act(item) for item in items))


async def timed(work: Awaitable[None]) -> float:
    """Seconds."""
    start = time.perf_counter()
    await work
    return time.perf_counter() - start


def cpu_seconds(pid: int) -> float:
    """What the process has used of all cores, since it began."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def rss_megabytes(pid: int) -> float:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


def _plain(body: Body) -> Body:
    kept = ("name", "namespace", "labels", "annotations")
    return {**body, "metadata": {key: body["metadata"][key] for key in kept if key in body["metadata"]}}
