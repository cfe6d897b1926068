"""Where an observation reads: from the API server, as of now or as new as what was heard; from memory of what was
heard; or from what a sweep has seen."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from appconnectivity.cluster.client import Client, Listing
from appconnectivity.cluster.kinds import Kind

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
            return {namespace: list(found.get(namespace, {}).values()) for namespace in namespaces}
        lists = await asyncio.gather(*(self.list(kind, namespace=namespace) for namespace in namespaces))
        return dict(zip(namespaces, lists, strict=True))


class Snapshot:
    """What LISTs have shown of some kinds; of others ``otherwise`` tells."""

    def __init__(self, found: Mapping[Kind, Bodies], *, otherwise: Reads) -> None:
        self._found = {kind: _by_namespace(bodies) for kind, bodies in found.items()}
        self._otherwise = otherwise

    async def get(self, kind: Kind, *, name: str, namespace: str = "") -> Body | None:
        if kind not in self._found:
            return await self._otherwise.get(kind, name=name, namespace=namespace)
        return self._found[kind].get(namespace, {}).get(name)

    async def list(self, kind: Kind, *, namespace: str = "", label_selector: str = "") -> Bodies:
        if kind not in self._found or label_selector:
            return await self._otherwise.list(kind, namespace=namespace, label_selector=label_selector)
        groups = [self._found[kind].get(namespace, {})] if namespace else self._found[kind].values()
        return [body for group in groups for body in group.values()]

    async def within(self, kind: Kind, namespaces: Collection[str]) -> dict[str, Bodies]:
        if kind not in self._found:
            return await self._otherwise.within(kind, namespaces)
        return {namespace: await self.list(kind, namespace=namespace) for namespace in namespaces}


class Memory(Snapshot):
    """Of some kinds every object as it was last heard of; begun by a LIST, and put right by each further one."""

    def __init__(self, *, otherwise: Reads) -> None:
        super().__init__({}, otherwise=otherwise)
        self._as_of: dict[Kind, int] = {}
        self._since: dict[tuple[Kind, str, str], tuple[str | None, Body]] = {}

    def settle(self, kind: Kind, listing: Listing) -> None:
        """Takes over a LIST as of now; what was heard of and is newer stays, unless the store was put back."""
        heard = {key: event for key, event in self._since.items() if key[0] is kind}
        for key in heard:
            del self._since[key]
        self._found[kind] = _by_namespace(listing.bodies)
        version = listing.version if listing.version is not None else math.inf
        if version >= self._as_of.get(kind, 0):
            for event_type, body in heard.values():
                if _version(body) > version:
                    self.note(kind.plural, event_type, body)
        self._as_of[kind] = listing.version or 0

    def note(self, plural: str, event_type: str | None, body: Body) -> None:
        """Takes note of an event; those of one object come in their order."""
        kind = next((kind for kind in self._found if kind.plural == plural), None)
        if kind is None:
            return
        metadata = {**body["metadata"], "managedFields": []}
        namespace, name = metadata.get("namespace", ""), metadata["name"]
        kept = {**body, "metadata": metadata}
        self._since[kind, namespace, name] = (event_type, kept)
        if event_type == "DELETED":
            self._found[kind].get(namespace, {}).pop(name, None)
        else:
            self._found[kind].setdefault(namespace, {})[name] = kept


def _version(body: Body) -> int:
    version = body["metadata"].get("resourceVersion", "")
    return int(version) if version.isdecimal() else 0


def _by_namespace(bodies: Bodies) -> dict[str, dict[str, dict[str, Any]]]:
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for body in bodies:
        metadata = body["metadata"]
        found.setdefault(metadata.get("namespace", ""), {})[metadata["name"]] = body
    return found
