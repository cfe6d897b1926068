"""Waiting for objects to become Ready by one watch: whoever asks again and again is a load of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from typing import Any

from kubernetes.aio import client, watch

from appconnectivity.core import api, status


class Ready:
    """The objects that have become Ready so far, as (namespace, name)."""

    def __init__(self) -> None:
        self.found: set[tuple[str, str]] = set()
        self._changed = asyncio.Condition()

    async def wait(self, wanted: Collection[tuple[str, str]]) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self.found.issuperset(wanted))

    async def follow(self, configuration: Any) -> None:
        """Until it is cancelled."""
        async with client.ApiClient(configuration) as connected, watch.Watch() as watching:
            everything = client.CustomObjectsApi(connected).list_cluster_custom_object
            async for event in watching.stream(everything, api.GROUP, api.VERSION, api.PLURAL):
                await self._note(event["object"])

    async def _note(self, body: dict[str, Any]) -> None:
        if status.condition(body.get("status") or {}, "Ready").get("status") == "True":
            async with self._changed:
                self.found.add((body["metadata"]["namespace"], body["metadata"]["name"]))
                self._changed.notify_all()


@asynccontextmanager
async def followed(configuration: Any) -> AsyncIterator[Ready]:
    ready = Ready()
    following = asyncio.create_task(ready.follow(configuration))
    try:
        yield ready
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
