"""Observing a namespace: live, consistent reads of it and of all that its flows refer to.

One failed read fails the whole observation: what could not be read is unknown, never absent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from appconnectivity.cluster import decode
from appconnectivity.cluster.client import Client
from appconnectivity.cluster.kinds import (
    APP_CONNECTIVITY,
    DAEMON_SET,
    ENDPOINT_SLICE,
    NAMESPACE,
    NETWORK_POLICY,
    SERVICE,
)
from appconnectivity.core.facts import Endpoints, Facts, Options, Peer, Service
from appconnectivity.core.intent import Intent, parse
from appconnectivity.core.references import References, references, services_of_grants
from appconnectivity.core.selectors import Selector

Body = Mapping[str, Any]

# From this many other namespaces on, one LIST of the whole cluster is cheaper than two a namespace.
_MANY_PEERS = 8
NODE_LOCAL_DNS = ("kube-system", "node-local-dns")
# The node-local cache is not watched: that it comes or goes is known so much later.
DNS_SECONDS = 10.0

Dns = tuple[tuple[Service, ...], tuple[str, ...]]


@dataclass(frozen=True)
class Observation:
    """One namespace at one moment. ``bodies`` are its AppConnectivity objects that are not being deleted."""

    namespace: str
    bodies: tuple[Body, ...]
    policies: tuple[Body, ...]
    intents: tuple[Intent, ...]
    references: References
    facts: Facts


@dataclass(frozen=True)
class _Kept:
    found: Dns
    until: float


class Observer:
    """Reads what a reconciliation has to know. ``dns_services`` are candidates as (namespace, name), ``clock`` tells
    seconds."""

    def __init__(
        self,
        client: Client,
        *,
        options: Options,
        dns_services: Sequence[tuple[str, str]],
        clock: Callable[[], float],
    ) -> None:
        self._client = client
        self._options = options
        self._dns_services = tuple(dns_services)
        self._clock = clock
        self._dns: _Kept | None = None
        self._dns_changes = 0

    async def observe(
        self, namespace: str, *, recent: bool, refer: Callable[[str, References], None] = lambda *_: None
    ) -> Observation | None:
        """The namespace as it is, or None where it is gone or being deleted. Raises errors.ClusterError.

        ``recent`` is enough for what adds: its objects and policies are not older than any event or own write. What
        takes away has to know what there is now. ``refer`` is told what will be looked up before it is, so that no
        change in between goes unnoticed.
        """
        body, objects, policies = await asyncio.gather(
            self._client.get(NAMESPACE, name=namespace, recent=recent),
            self._client.list(APP_CONNECTIVITY, namespace=namespace, recent=recent),
            self._client.list(NETWORK_POLICY, namespace=namespace, recent=recent),
        )
        if body is None or body["metadata"].get("deletionTimestamp"):
            return None
        bodies = _existing(objects)
        intents = self._parse(bodies)
        wanted = references(intents)
        refer(namespace, replace(wanted, pending=True))
        facts = Facts(namespace)
        if intents:
            facts = await self._facts(namespace, labels=_labels(body), wanted=wanted, recent=recent)
        return Observation(
            namespace=namespace,
            bodies=tuple(bodies),
            policies=tuple(policies),
            intents=intents,
            references=replace(wanted, namespaces=wanted.namespaces | facts.peers.keys()),
            facts=facts,
        )

    async def objects(self, namespace: str) -> list[Body]:
        """The namespace's AppConnectivity objects that are not being deleted."""
        return _existing(await self._client.list(APP_CONNECTIVITY, namespace=namespace))

    def forget_dns(self, body: Body) -> None:
        """Something has happened to this Service or EndpointSlice: DNS, if it may be of that, is read anew."""
        if (body.get("metadata") or {}).get("namespace") in {namespace for namespace, _ in self._dns_services}:
            self._dns = None
            self._dns_changes += 1

    async def dns(self) -> Dns:
        """The cluster's DNS Services, and the addresses of its node-local cache.

        Every namespace asks for them, so what was read is kept for DNS_SECONDS, unless an event tells of a change.
        """
        if self._dns is not None and self._clock() < self._dns.until:
            return self._dns.found
        before = self._dns_changes
        found = await self._read_dns()
        if before == self._dns_changes:
            self._dns = _Kept(found, until=self._clock() + DNS_SECONDS)
        return found

    async def _read_dns(self) -> Dns:
        found = await asyncio.gather(*(self._service(*key, recent=False) for key in self._dns_services))
        namespace, name = NODE_LOCAL_DNS
        cache = await self._client.get(DAEMON_SET, namespace=namespace, name=name)
        return tuple(s for s in found if s is not None), decode.node_local_addresses(cache) if cache else ()

    async def _service(self, namespace: str, name: str, *, recent: bool) -> Service | None:
        """The Service, with its EndpointSlices where it alone does not say where connections end."""
        body = await self._client.get(SERVICE, namespace=namespace, name=name, recent=recent)
        return await self._with_endpoints(body, recent=recent) if body else None

    async def _facts(self, namespace: str, *, labels: Mapping[str, str], wanted: References, recent: bool) -> Facts:
        own, peers, dns, api_server = await asyncio.gather(
            self._client.list(SERVICE, namespace=namespace, recent=recent),
            self._peers(wanted, recent=recent),
            self.dns() if wanted.dns else _nothing(),
            self._api_server(recent=recent) if wanted.api_server else _no_endpoints(),
        )
        theirs = [intent for peer in peers.values() for intent in peer.intents]
        named = wanted.services | services_of_grants(theirs, namespace=namespace, labels=labels)
        services = await self._services(namespace, own=own, named=named, recent=recent)
        return Facts(
            namespace=namespace,
            labels=labels,
            services=services,
            dns_services=dns[0],
            node_local_dns=dns[1],
            api_server=api_server,
            peers=peers,
        )

    async def _services(
        self, namespace: str, *, own: Sequence[Body], named: frozenset[tuple[str, str]], recent: bool
    ) -> dict[tuple[str, str], Service]:
        """The own Services, and those that flows name: our flows, and such of other namespaces as may be grants."""
        elsewhere = [key for key in named if key[0] != namespace]
        local = [(body, (namespace, str(body["metadata"]["name"])) in named) for body in own]
        found = await asyncio.gather(
            *(self._with_endpoints(body, recent=recent) if is_named else _as_is(body) for body, is_named in local),
            *(self._service(*key, recent=recent) for key in elsewhere),
        )
        return {(entry.namespace, entry.name): entry for entry in found if entry is not None}

    async def _with_endpoints(self, body: Body, *, recent: bool) -> Service:
        if not decode.needs_endpoints(body):
            return decode.service(body)
        metadata = body["metadata"]
        slices = await self._slices(metadata["namespace"], metadata["name"], recent=recent)
        return decode.service(body, endpoint_slices=slices)

    async def _slices(self, namespace: str, service: str, *, recent: bool) -> list[dict[str, Any]]:
        selector = f"{decode.SERVICE_NAME_LABEL}={service}"
        return await self._client.list(ENDPOINT_SLICE, namespace=namespace, label_selector=selector, recent=recent)

    async def _api_server(self, *, recent: bool) -> tuple[Endpoints, ...]:
        slices = await self._slices("default", "kubernetes", recent=recent)
        return tuple(sorted((decode.endpoints(body) for body in slices), key=lambda entry: entry.addresses))

    async def _peers(self, wanted: References, *, recent: bool) -> dict[str, Peer]:
        """The other namespaces that flows point to, by name or by label; the own one too where labels select it."""
        if not wanted.namespaces and not wanted.selectors:
            return {}
        places = await self._places(wanted, recent=recent)
        if len(places) > _MANY_PEERS:
            objects, policies = await self._everything_in("", recent=False)  # of which only a LIST as of now is paged
        else:
            found = await asyncio.gather(*(self._everything_in(name, recent=recent) for name in places))
            objects = [body for entry in found for body in entry[0]]
            policies = [body for entry in found for body in entry[1]]
        intents = self._parse(_existing(objects))
        return {
            name: Peer(
                labels=labels,
                intents=tuple(intent for intent in intents if intent.namespace == name),
                isolations=tuple(decode.isolation(p) for p in policies if p["metadata"]["namespace"] == name),
            )
            for name, labels in places.items()
        }

    async def _places(self, wanted: References, *, recent: bool) -> dict[str, dict[str, str]]:
        if wanted.selectors:
            bodies: Iterable[Body | None] = await self._client.list(NAMESPACE, recent=recent)
        else:
            bodies = await asyncio.gather(
                *(self._client.get(NAMESPACE, name=name, recent=recent) for name in wanted.namespaces)
            )
        found = {str(body["metadata"]["name"]): _labels(body) for body in bodies if body}
        return {name: labels for name, labels in found.items() if _is_wanted(name, labels, wanted=wanted)}

    async def _everything_in(
        self, namespace: str, *, recent: bool
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        objects, policies = await asyncio.gather(
            self._client.list(APP_CONNECTIVITY, namespace=namespace, recent=recent),
            self._client.list(NETWORK_POLICY, namespace=namespace, recent=recent),
        )
        return objects, policies

    def _parse(self, bodies: Iterable[Body]) -> tuple[Intent, ...]:
        return tuple(parse(body, default_app_label=self._options.app_label) for body in bodies)


def _existing(bodies: Iterable[Body]) -> list[Body]:
    """Without those being deleted: they want nothing any more (and their garbage collection must not be fought)."""
    return [body for body in bodies if not body["metadata"].get("deletionTimestamp")]


def _is_wanted(name: str, labels: Mapping[str, str], *, wanted: References) -> bool:
    selectors: Iterable[Selector] = wanted.selectors
    return name in wanted.namespaces or any(selector.matches(labels) for selector in selectors)


def _labels(body: Body) -> dict[str, str]:
    return dict(body["metadata"].get("labels") or {})


async def _as_is(body: Body) -> Service | None:
    return decode.service(body)


async def _nothing() -> Dns:
    return (), ()


async def _no_endpoints() -> tuple[Endpoints, ...]:
    return ()
