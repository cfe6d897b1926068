"""Waiting for what comes by a watch: whoever asks again and again is a load of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

from kubernetes.aio import client, watch

from appconnectivity.core import api, status


class Awaited:
    """Whatever has come so far."""

    def __init__(self) -> None:
        self._come: set[Hashable] = set()
        self._waiting: list[tuple[set[Hashable], asyncio.Event]] = []

    async def wait(self, wanted: Iterable[Hashable]) -> None:
        missing, arrived = set(wanted) - self._come, asyncio.Event()
        if missing:
            self._waiting.append((missing, arrived))
            await arrived.wait()

    def come(self, key: Hashable) -> None:
        self._come.add(key)
        for missing, arrived in self._waiting:
            missing.discard(key)
            if not missing:
                arrived.set()
        self._waiting = [entry for entry in self._waiting if entry[0]]


@asynccontextmanager
async def ready_objects(configuration: Any) -> AsyncIterator[Awaited]:
    """Objects that are Ready, as (namespace, name), and as (namespace, name, generation)."""

    async def follow(connected: client.ApiClient, awaited: Awaited) -> None:
        everything = client.CustomObjectsApi(connected).list_cluster_custom_object
        async with watch.Watch() as watching:
            async for event in watching.stream(everything, api.GROUP, api.VERSION, api.PLURAL):
                body = event["object"]
                found, metadata = body.get("status") or {}, body["metadata"]
                is_current = found.get("observedGeneration") == metadata["generation"]
                if is_current and status.condition(found, "Ready").get("status") == "True":
                    key = (metadata["namespace"], metadata["name"])
                    awaited.come(key)
                    awaited.come((*key, metadata["generation"]))

    async with _following(configuration, follow) as awaited:
        yield awaited


@asynccontextmanager
async def standing_policies(configuration: Any) -> AsyncIterator[Awaited]:
    """NetworkPolicies, as (namespace, name)."""

    async def follow(connected: client.ApiClient, awaited: Awaited) -> None:
        everything = client.NetworkingV1Api(connected).list_network_policy_for_all_namespaces
        async with watch.Watch() as watching:
            async for event in watching.stream(everything):
                metadata = event["raw_object"]["metadata"]
                awaited.come((metadata["namespace"], metadata["name"]))

    async with _following(configuration, follow) as awaited:
        yield awaited


@asynccontextmanager
async def _following(configuration: Any, follow: Callable[[client.ApiClient, Awaited], Any]) -> AsyncIterator[Awaited]:
    awaited = Awaited()
    async with client.ApiClient(configuration) as connected:
        following = asyncio.create_task(follow(connected, awaited))
        try:
            yield awaited
        finally:
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following
