"""Where an observation reads: from memory of what was heard, or from the API server: as new as that, or as of now."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from appconnectivity.cluster.client import Client, Listing
from appconnectivity.cluster.kinds import Kind
from appconnectivity.cluster.store import Store, version_of

Body = Mapping[str, Any]
Bodies = list[dict[str, Any]]

# From this many namespaces on, one LIST of the whole cluster is cheaper than one a namespace.
MANY = 8


class Reads(Protocol):
    """Reads of one kind of newness. All raise errors.ClusterError: what could not be read is unknown, never absent."""

    async def get(self, kind: Kind, *, name: str, namespace: str = "") -> Body | None:
        """The object, or None where there is none."""

    async def list(self, kind: Kind, *, namespace: str = "", label_selector: str = "") -> Bodies:
        """All of them, never a part."""

    async def packed(self, kind: Kind, namespace: str) -> Store:
        """All in this namespace, for who needs not each."""

    async def within(self, kind: Kind, namespaces: Collection[str]) -> dict[str, Bodies]:
        """All in these namespaces, by namespace."""


@dataclass(frozen=True)
class Recent:
    """The API server, not older than any event or answer that was heard."""

    client: Client

    async def get(self, kind: Kind, *, name: str, namespace: str = "") -> Body | None:
        return await self.client.get(kind, name=name, namespace=namespace, recent=True)

    async def list(self, kind: Kind, *, namespace: str = "", label_selector: str = "") -> Bodies:
        return await self.client.list(kind, namespace=namespace, label_selector=label_selector, recent=True)

    async def packed(self, kind: Kind, namespace: str) -> Store:
        return Store(await self.list(kind, namespace=namespace))

    async def within(self, kind: Kind, namespaces: Collection[str]) -> dict[str, Bodies]:
        lists = await asyncio.gather(*(self.list(kind, namespace=namespace) for namespace in namespaces))
        return dict(zip(namespaces, lists, strict=True))


@dataclass(frozen=True)
class Now:
    """The API server as of now. ``memory`` is told: else the next pass would go by what this one knows to be wrong."""

    client: Client
    memory: Memory

    async def get(self, kind: Kind, *, name: str, namespace: str = "") -> Body | None:
        body = await self.client.get(kind, name=name, namespace=namespace)
        self.memory.looked_for(kind, namespace, name, body)
        return body

    async def list(self, kind: Kind, *, namespace: str = "", label_selector: str = "") -> Bodies:
        if label_selector:
            return await self.client.list(kind, namespace=namespace, label_selector=label_selector)
        return (await self.packed(kind, namespace)).bodies()

    async def packed(self, kind: Kind, namespace: str) -> Store:
        listing = await self.client.everything(kind, namespace=namespace)
        self.memory.saw(kind, namespace or None, listing)
        return listing.store

    async def within(self, kind: Kind, namespaces: Collection[str]) -> dict[str, Bodies]:
        if len(namespaces) <= MANY:
            lists = await asyncio.gather(*(self.list(kind, namespace=namespace) for namespace in namespaces))
            return dict(zip(namespaces, lists, strict=True))
        listing = await self.client.everything(kind)
        self.memory.saw(kind, None, listing)
        return {namespace: listing.store.bodies(namespace) for namespace in namespaces}


class Memory:
    """Every object of some kinds as it was last heard of: begun by a LIST, kept by events and by the answers to our own
    writes and looks, and put right by each further LIST. Of other kinds ``otherwise`` tells."""

    def __init__(self, *, otherwise: Reads) -> None:
        self._otherwise = otherwise
        self._stores: dict[Kind, Store] = {}
        self._as_of: dict[Kind, int] = {}
        self._gone: dict[Kind, dict[tuple[str, str], int]] = {}

    async def get(self, kind: Kind, *, name: str, namespace: str = "") -> Body | None:
        if kind not in self._stores:
            return await self._otherwise.get(kind, name=name, namespace=namespace)
        return self._stores[kind].get(namespace, name)

    async def list(self, kind: Kind, *, namespace: str = "", label_selector: str = "") -> Bodies:
        if kind not in self._stores or label_selector:
            return await self._otherwise.list(kind, namespace=namespace, label_selector=label_selector)
        return self._stores[kind].bodies(namespace or None)

    async def packed(self, kind: Kind, namespace: str) -> Store:
        if kind not in self._stores:
            return await self._otherwise.packed(kind, namespace)
        return self._stores[kind].part(namespace)

    async def within(self, kind: Kind, namespaces: Collection[str]) -> dict[str, Bodies]:
        if kind not in self._stores:
            return await self._otherwise.within(kind, namespaces)
        return {namespace: self._stores[kind].bodies(namespace) for namespace in namespaces}

    def settle(self, kind: Kind, listing: Listing) -> None:
        """Takes a LIST as of now over; what was heard meanwhile and is newer stays, unless the store was put back."""
        before, gone = self._stores.get(kind, Store()), self._gone.get(kind, {})
        is_put_back = listing.version < self._as_of.get(kind, 0)
        self._stores[kind], self._as_of[kind], self._gone[kind] = listing.store, listing.version, {}
        if is_put_back:
            return
        for key in before.keys():  # noqa: SIM118 - no mapping
            if (before.version(*key) or 0) > listing.version:
                listing.store.take(before, *key)
        for key, version in gone.items():
            if version > listing.version:
                self._drop(kind, key, version)

    def unlisted(self, kind: Kind, namespace: str | None, listing: Listing) -> Collection[tuple[str, str]]:
        """What is remembered of one namespace (None: of all) and a LIST as of now lacks; nobody told of its end."""
        known, listed = self._stores.get(kind, Store()), listing.store
        return [
            key
            for key in known.keys(namespace)
            if listed.version(*key) is None and (known.version(*key) or 0) <= listing.version
        ]

    def saw(self, kind: Kind, namespace: str | None, listing: Listing) -> None:
        """A LIST as of now of one namespace (None: of all)."""
        if kind not in self._stores:
            return
        for key in self.unlisted(kind, namespace, listing):
            self._drop(kind, key, listing.version)
        for body in listing.store.bodies():
            self.note(kind.plural, "MODIFIED", body)

    def looked_for(self, kind: Kind, namespace: str, name: str, body: Body | None) -> None:
        """An object as it is now; None where there is none."""
        if kind not in self._stores:
            return
        known = self._stores[kind].version(namespace, name)
        if body is not None:
            self.note(kind.plural, "MODIFIED", body)
        elif known is not None:
            self._drop(kind, (namespace, name), known)

    def note(self, plural: str, event_type: str | None, body: Body) -> None:
        """An event, or what is as good as one. What is older than what is known is late: pages of a LIST too, with
        which a watch begins (type None), since all are as of the first. Where the store was put back, ``settle`` tells.
        """
        kind = next((kind for kind in self._stores if kind.plural == plural), None)
        if kind is None:
            return
        key, version = _key(body), version_of(body)
        known = self._stores[kind].version(*key)
        last = known - 1 if known is not None else max(self._as_of[kind], self._gone[kind].get(key, 0))
        if version <= last:
            return
        if event_type == "DELETED":
            self._drop(kind, key, version)
        else:
            self._stores[kind].put(body)
            self._gone[kind].pop(key, None)

    def _drop(self, kind: Kind, key: tuple[str, str], version: int) -> None:
        self._stores[kind].drop(*key)
        self._gone[kind][key] = max(version, self._gone[kind].get(key, 0))


def _key(body: Body) -> tuple[str, str]:
    return body["metadata"].get("namespace", ""), body["metadata"]["name"]
