"""Many changes a second, without a pause, and how soon nothing waits any more."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from bench.tools import Bench, Body, each
from cluster.controlplane import ControlPlane
from cluster.operator import Operator

SECONDS, A_SECOND, NAMESPACES = 60, 500, 200

# Gives the object of that name, in that namespace, another port.
Change = Callable[[str, int], Awaitable[None]]


@dataclass(frozen=True)
class Churn:
    """Changes a second, the seconds until nothing waited any more after the last, and the passes for each change."""

    a_second: float
    drained: float
    passes: float


class Etcd:
    """Changes put into etcd as the API server would store them: it takes fewer a second from its clients, and tells
    whoever watches all the same. Keys and objects are those of apiextensions' storage; etcd's API is that of its
    gateway."""

    def __init__(self, session: aiohttp.ClientSession, name: str) -> None:
        self._session, self._name = session, name
        self._known: dict[str, tuple[Body, str]] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def change(self, namespace: str, port: int) -> None:
        async with self._locks[namespace]:
            if namespace not in self._known:
                self._note(namespace, await self._call("range", {"key": self._key(namespace)}))
            while not await self._put(namespace, port):
                pass  # the operator has written its status meanwhile

    async def _put(self, namespace: str, port: int) -> bool:
        body, revision = self._known[namespace]
        body["spec"]["flows"][0]["ports"] = [port]
        body["metadata"]["generation"] += 1
        key = {"key": self._key(namespace)}
        wanted = {
            "compare": [{**key, "target": "MOD", "result": "EQUAL", "modRevision": revision}],
            "success": [{"requestPut": {**key, "value": _text(json.dumps(body))}}],
            "failure": [{"requestRange": key}],
        }
        answer = await self._call("txn", wanted)
        if answer.get("succeeded"):
            self._known[namespace] = body, answer["header"]["revision"]
            return True
        self._note(namespace, answer["responses"][0]["response_range"])
        return False

    def _note(self, namespace: str, found: Body) -> None:
        (entry,) = found["kvs"]
        self._known[namespace] = json.loads(base64.b64decode(entry["value"])), entry["mod_revision"]

    async def _call(self, what: str, body: Body) -> Any:
        async with self._session.post(f"/v3/kv/{what}", json=body, raise_for_status=True) as answer:
            return await answer.json()

    def _key(self, namespace: str) -> str:
        return _text(f"/registry/appconnectivity.io/appconnectivities/{namespace}/{self._name}")


@asynccontextmanager
async def etcd(plane: ControlPlane, name: str) -> AsyncIterator[Etcd]:
    """Of objects of that name."""
    async with aiohttp.ClientSession(plane.etcd) as session:
        yield Etcd(session, name)


async def churn(at: Bench, running: Operator, names: list[str], name: str, change: Change) -> Churn:
    """In these namespaces, each with a Ready object of that name."""
    passes = running.metric("appconnectivity_reconciles_total", result="ok")
    changes, a_second = await _keep_changing(names, change)
    end = time.perf_counter()
    await each(names, lambda namespace: at.wait_until_current((namespace, name)))
    drained = time.perf_counter() - end
    passes = running.metric("appconnectivity_reconciles_total", result="ok") - passes
    return Churn(a_second, drained, passes / changes)


async def _keep_changing(names: list[str], change: Change) -> tuple[int, float]:
    """As many changes as are taken, and no more than are to be tried; returns how many these were, and how many a
    second."""
    begin, changes, pending = time.perf_counter(), 0, set[asyncio.Future[None]]()
    while (elapsed := time.perf_counter() - begin) < SECONDS:
        while changes < elapsed * A_SECOND and len(pending) < len(names):
            task = asyncio.ensure_future(change(names[changes % len(names)], 8080 + changes // len(names) % 1000))
            pending.add(task)
            task.add_done_callback(pending.discard)
            changes += 1
        await asyncio.sleep(0.005)
    await asyncio.gather(*pending)
    return changes, changes / (time.perf_counter() - begin)


def _text(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
