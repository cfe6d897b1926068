"""What the cluster says that a compilation needs to know, as values. Read by ``cluster``, or from files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from appconnectivity.core.selectors import Selector

if TYPE_CHECKING:
    from appconnectivity.core.intent import Intent


@dataclass(frozen=True)
class Options:
    """The operator's settings that change what is compiled."""

    app_label: str = "app"
    protected_namespaces: frozenset[str] = frozenset()
    expiry_warning: timedelta = timedelta(days=1)
    private_cidrs: tuple[str, ...] = ()
    adoption: timedelta = timedelta(seconds=10)


@dataclass(frozen=True)
class ServicePort:
    """A port of a Service: ``target`` is the pods' port, a number or a container port's name."""

    name: str
    protocol: str
    number: int
    target: int | str


@dataclass(frozen=True)
class EndpointPort:
    """A port of an EndpointSlice; ``name`` is that of the Service's port."""

    name: str
    protocol: str
    number: int


@dataclass(frozen=True)
class Endpoints:
    """Addresses that share the same ports (one EndpointSlice)."""

    addresses: tuple[str, ...]
    ports: tuple[EndpointPort, ...]


@dataclass(frozen=True)
class Service:
    """A Service and its EndpointSlices. ``selector`` is None where it has none."""

    namespace: str
    name: str
    selector: Selector | None
    ports: tuple[ServicePort, ...]
    is_external_name: bool = False
    endpoints: tuple[Endpoints, ...] = ()


@dataclass(frozen=True)
class Isolation:
    """What one NetworkPolicy of anyone isolates: the pods that it selects, in its policyTypes."""

    selector: Selector
    policy_types: frozenset[str]


@dataclass(frozen=True)
class Peer:
    """Another namespace, as far as a flow that points there has to know it."""

    labels: Mapping[str, str]
    intents: tuple[Intent, ...] = ()
    isolations: tuple[Isolation, ...] = ()


@dataclass(frozen=True)
class Facts:
    """All that was looked up for one namespace. What is not in here was looked for and is not there."""

    namespace: str
    labels: Mapping[str, str] = field(default_factory=dict)
    services: Mapping[tuple[str, str], Service] = field(default_factory=dict)
    dns_services: tuple[Service, ...] = ()
    node_local_dns: tuple[str, ...] = ()
    api_server: tuple[Endpoints, ...] = ()
    peers: Mapping[str, Peer] = field(default_factory=dict)

    @cached_property
    def local_services(self) -> tuple[Service, ...]:
        """By name."""
        return tuple(
            service for (namespace, _), service in sorted(self.services.items()) if namespace == self.namespace
        )
