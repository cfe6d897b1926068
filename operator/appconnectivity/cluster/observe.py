"""Observing a namespace: live, consistent reads of it and of all that its flows refer to.

One failed read fails the whole observation: what could not be read is unknown, never absent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from appconnectivity.cluster import decode
from appconnectivity.cluster.kinds import (
    APP_CONNECTIVITY,
    DAEMON_SET,
    ENDPOINT_SLICE,
    NAMESPACE,
    NETWORK_POLICY,
    SERVICE,
)
from appconnectivity.cluster.reads import Reads
from appconnectivity.core.facts import Endpoints, Facts, Options, Peer, Service
from appconnectivity.core.intent import Intent, parse
from appconnectivity.core.references import References, references, services_of_grants, together
from appconnectivity.core.selectors import Selector
from appconnectivity.core.settled import NONE_SETTLED, Settled

Body = Mapping[str, Any]

NODE_LOCAL_DNS = ("kube-system", "node-local-dns")
# The node-local cache is not watched: that it comes or goes is known so much later.
DNS_SECONDS = 10.0

Dns = tuple[tuple[Service, ...], tuple[str, ...]]


@dataclass(frozen=True)
class Observation:
    """One namespace at one moment. ``bodies`` are its AppConnectivity objects that are not being deleted; ``intents``
    what they say, and ``policies`` what stands, but for those that have ``settled``."""

    namespace: str
    bodies: tuple[Body, ...]
    policies: tuple[Body, ...]
    intents: tuple[Intent, ...]
    references: References
    facts: Facts
    settled: Settled = NONE_SETTLED


@dataclass(frozen=True)
class _Kept:
    found: Dns
    until: float


class Observer:
    """Reads what a reconciliation has to know, ``now`` or as ``recent`` reads have it. ``dns_services`` are candidates
    as (namespace, name), ``clock`` tells seconds."""

    def __init__(
        self,
        *,
        now: Reads,
        recent: Reads,
        options: Options,
        dns_services: Sequence[tuple[str, str]],
        clock: Callable[[], float],
    ) -> None:
        self.now = now
        self.recent = recent
        self._options = options
        self._dns_services = tuple(dns_services)
        self._clock = clock
        self._dns: _Kept | None = None
        self._dns_changes = 0

    async def observe(
        self,
        namespace: str,
        reads: Reads,
        *,
        refer: Callable[[str, References], None] = lambda *_: None,
        settled: Settled = NONE_SETTLED,
    ) -> Observation | None:
        """The namespace as ``reads`` have it, or None where it is gone or being deleted. Raises errors.ClusterError.

        ``recent`` reads are enough for what adds: its objects and policies are not older than any event or own write.
        What takes away has to know what there is ``now``. ``refer`` is told what will be looked up before it is, so
        that no change in between goes unnoticed. ``settled`` are the objects that had settled at the last look.
        """
        body, objects, policies = await asyncio.gather(
            reads.get(NAMESPACE, name=namespace),
            reads.packed(APP_CONNECTIVITY, namespace),
            reads.packed(NETWORK_POLICY, namespace),
        )
        if body is None or body["metadata"].get("deletionTimestamp"):
            return None
        bodies = _existing(objects.bodies())
        settled = settled.still(objects.by_name(namespace), policies.by_name(namespace))
        intents = self._parse(body for body in bodies if body["metadata"]["name"] not in settled.objects)
        wanted = together([references(intents), settled.references])
        refer(namespace, replace(wanted, pending=True))
        facts = Facts(namespace)
        if bodies:
            facts = await self._facts(namespace, reads, labels=_labels(body), wanted=wanted)
        if not settled.follow_from(facts):
            settled, intents = NONE_SETTLED, self._parse(bodies)
        return Observation(
            namespace=namespace,
            bodies=tuple(bodies),
            policies=tuple(policies.bodies(but=settled.policies)),
            intents=intents,
            references=replace(wanted, namespaces=wanted.namespaces | facts.peers.keys()),
            facts=facts,
            settled=settled,
        )

    async def objects(self, namespace: str) -> list[Body]:
        """The namespace's AppConnectivity objects that are not being deleted."""
        return _existing(await self.now.list(APP_CONNECTIVITY, namespace=namespace))

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
        found = await asyncio.gather(*(self._service(*key, self.now) for key in self._dns_services))
        namespace, name = NODE_LOCAL_DNS
        cache = await self.now.get(DAEMON_SET, namespace=namespace, name=name)
        return tuple(s for s in found if s is not None), decode.node_local_addresses(cache) if cache else ()

    async def _service(self, namespace: str, name: str, reads: Reads) -> Service | None:
        """The Service, with its EndpointSlices where it alone does not say where connections end."""
        body = await reads.get(SERVICE, namespace=namespace, name=name)
        return await self._with_endpoints(body, reads) if body else None

    async def _facts(self, namespace: str, reads: Reads, *, labels: Mapping[str, str], wanted: References) -> Facts:
        own, peers, dns, api_server = await asyncio.gather(
            reads.list(SERVICE, namespace=namespace),
            self._peers(wanted, reads),
            self.dns() if wanted.dns else _nothing(),
            self._api_server(reads) if wanted.api_server else _no_endpoints(),
        )
        theirs = [intent for peer in peers.values() for intent in peer.intents]
        named = wanted.services | services_of_grants(theirs, namespace=namespace, labels=labels)
        services = await self._services(namespace, reads, own=own, named=named)
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
        self, namespace: str, reads: Reads, *, own: Sequence[Body], named: frozenset[tuple[str, str]]
    ) -> dict[tuple[str, str], Service]:
        """The own Services, and those that flows name: our flows, and such of other namespaces as may be grants."""
        elsewhere = [key for key in named if key[0] != namespace]
        local = [(body, (namespace, str(body["metadata"]["name"])) in named) for body in own]
        found = await asyncio.gather(
            *(self._with_endpoints(body, reads) if is_named else _as_is(body) for body, is_named in local),
            *(self._service(*key, reads) for key in elsewhere),
        )
        return {(entry.namespace, entry.name): entry for entry in found if entry is not None}

    async def _with_endpoints(self, body: Body, reads: Reads) -> Service:
        if not decode.needs_endpoints(body):
            return decode.service(body)
        metadata = body["metadata"]
        return decode.service(body, endpoint_slices=await _slices(metadata["namespace"], metadata["name"], reads))

    async def _api_server(self, reads: Reads) -> tuple[Endpoints, ...]:
        slices = await _slices("default", "kubernetes", reads)
        return tuple(sorted((decode.endpoints(body) for body in slices), key=lambda entry: entry.addresses))

    async def _peers(self, wanted: References, reads: Reads) -> dict[str, Peer]:
        """The other namespaces that flows point to, by name or by label; the own one too where labels select it."""
        if not wanted.namespaces and not wanted.selectors:
            return {}
        places = await _places(wanted, reads)
        objects, policies = await asyncio.gather(
            reads.within(APP_CONNECTIVITY, places), reads.within(NETWORK_POLICY, places)
        )
        return {
            name: Peer(
                labels=labels,
                intents=self._parse(_existing(objects[name])),
                isolations=tuple(decode.isolation(policy) for policy in policies[name]),
            )
            for name, labels in places.items()
        }

    def _parse(self, bodies: Iterable[Body]) -> tuple[Intent, ...]:
        return tuple(parse(body, default_app_label=self._options.app_label) for body in bodies)


async def _places(wanted: References, reads: Reads) -> dict[str, dict[str, str]]:
    """The labels of those other namespaces."""
    if wanted.selectors:
        bodies: Iterable[Body | None] = await reads.list(NAMESPACE)
    else:
        bodies = await asyncio.gather(*(reads.get(NAMESPACE, name=name) for name in wanted.namespaces))
    found = {str(body["metadata"]["name"]): _labels(body) for body in bodies if body}
    return {name: labels for name, labels in found.items() if _is_wanted(name, labels, wanted=wanted)}


async def _slices(namespace: str, service: str, reads: Reads) -> list[dict[str, Any]]:
    selector = f"{decode.SERVICE_NAME_LABEL}={service}"
    return await reads.list(ENDPOINT_SLICE, namespace=namespace, label_selector=selector)


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
