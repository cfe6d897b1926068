"""Where an observation reads: from the API server, as of now or as new as what was heard; or from memory of that."""

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

    async def within(self, kind: Kind, namespaces: Collection[str]) -> dict[str, Bodies]:
        """All in these namespaces, by namespace."""


@dataclass(frozen=True)
class Live:
    """The API server, as of now; or ``recent``, not older than any event or answer that was heard."""

    client: Client
    recent: bool

    async def get(self, kind: Kind, *, name: str, namespace: str = "") -> Body | None:
        return await self.client.get(kind, name=name, namespace=namespace, recent=self.recent)

    async def list(self, kind: Kind, *, namespace: str = "", label_selector: str = "") -> Bodies:
        return await self.client.list(kind, namespace=namespace, label_selector=label_selector, recent=self.recent)

    async def within(self, kind: Kind, namespaces: Collection[str]) -> dict[str, Bodies]:
        if len(namespaces) > MANY:  # as of now: only such a LIST is paged
            found = _by_namespace(await self.client.list(kind))
            return {namespace: found.get(namespace, []) for namespace in namespaces}
        lists = await asyncio.gather(*(self.list(kind, namespace=namespace) for namespace in namespaces))
        return dict(zip(namespaces, lists, strict=True))


class Memory:
    """Every object of some kinds as it was last heard of: begun by a LIST, kept by events and by the answers to our own
    writes, and put right by each further LIST. Of other kinds ``otherwise`` tells."""

    def __init__(self, *, otherwise: Reads) -> None:
        self._otherwise = otherwise
        self._stores: dict[Kind, Store] = {}
        self._as_of: dict[Kind, int] = {}
        self._since: dict[tuple[Kind, str, str], tuple[int, Body | None]] = {}

    async def get(self, kind: Kind, *, name: str, namespace: str = "") -> Body | None:
        if kind not in self._stores:
            return await self._otherwise.get(kind, name=name, namespace=namespace)
        return self._stores[kind].get(namespace, name)

    async def list(self, kind: Kind, *, namespace: str = "", label_selector: str = "") -> Bodies:
        if kind not in self._stores or label_selector:
            return await self._otherwise.list(kind, namespace=namespace, label_selector=label_selector)
        return self._stores[kind].bodies(namespace or None)

    async def within(self, kind: Kind, namespaces: Collection[str]) -> dict[str, Bodies]:
        if kind not in self._stores:
            return await self._otherwise.within(kind, namespaces)
        return {namespace: self._stores[kind].bodies(namespace) for namespace in namespaces}

    def settle(self, kind: Kind, listing: Listing) -> None:
        """Takes a LIST as of now over; what was heard meanwhile and is newer stays, unless the store was put back."""
        self._stores[kind] = listing.store
        is_put_back = listing.version < self._as_of.get(kind, 0)
        self._as_of[kind] = listing.version
        heard = {key: event for key, event in self._since.items() if key[0] is kind}
        for key, (version, body) in heard.items():
            del self._since[key]
            if version > listing.version and not is_put_back:
                self._take(key, version, body)

    def note(self, plural: str, event_type: str | None, body: Body) -> None:
        """An event. One that is older than what is known is late, but for those of a new LIST (type None)."""
        kind = next((kind for kind in self._stores if kind.plural == plural), None)
        if kind is None:
            return
        key, version = _key(kind, body), version_of(body)
        if event_type is None or version >= self._stores[kind].version(*key[1:]):
            self._take(key, version, None if event_type == "DELETED" else body)

    def wrote(self, kind: Kind, body: Body) -> None:
        """The answer to a write of our own; its event may have come before it."""
        if kind in self._stores:
            self.note(kind.plural, "MODIFIED", body)

    def _take(self, key: tuple[Kind, str, str], version: int, body: Body | None) -> None:
        self._since[key] = (version, body)
        if body is None:
            self._stores[key[0]].drop(*key[1:])
        else:
            self._stores[key[0]].put(body)


def _key(kind: Kind, body: Body) -> tuple[Kind, str, str]:
    metadata = body["metadata"]
    return kind, metadata.get("namespace", ""), metadata["name"]


def _by_namespace(bodies: Bodies) -> dict[str, Bodies]:
    found: dict[str, Bodies] = {}
    for body in bodies:
        found.setdefault(body["metadata"]["namespace"], []).append(body)
    return found
