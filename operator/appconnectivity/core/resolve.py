"""Ends of flows, resolved: which pods of the own namespace one selects, and what it is as the other side's peer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from appconnectivity.core import api, services
from appconnectivity.core.facts import Facts, Options
from appconnectivity.core.findings import Finding, Reason
from appconnectivity.core.policy import Addresses, Everyone, Peer, Pods
from appconnectivity.core.ports import ALL_PORTS, Ports, parse_ports
from appconnectivity.core.selectors import EVERYTHING, Selector, namespace_named

# What of IPv4 is not the internet: this host (RFC 1122), private (RFC 1918), shared (RFC 6598), loopback, link-local
# with most clouds' metadata servers (RFC 3927), protocol assignments with the one of another (RFC 6890), benchmarking
# and class E (RFC 2544, 1112; both are in use for pods and meshes).
PRIVATE_V4 = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "240.0.0.0/4",
)
# What of IPv6 is: global unicast (RFC 4291, IANA's registry). So not unique-local, link-local, or IPv4 behind NAT64.
GLOBAL_V6 = "2000::/3"


@dataclass(frozen=True)
class Side:
    """One end of a flow. ``subject`` selects pods of the object's own namespace; None where the end is elsewhere.

    ``reaches`` says, for the receiving end, which peers on which of their ports; for the opening end the ports are
    those of the other end and ``ALL_PORTS`` stands in their place.
    """

    reaches: tuple[tuple[Peer, Ports], ...]
    subject: Selector | None = None
    pods: Pods | None = None


@dataclass(frozen=True)
class Resolved:
    """A flow between two sides, with notes for the person who wrote it."""

    source: Side
    destination: Side
    notes: tuple[str, ...] = ()


def resolve(flow: api.Flow, *, namespace: str, app_label: str, facts: Facts, options: Options) -> Resolved | Finding:
    """Looks up what the flow names. A Finding where something is missing or can't mean anything."""
    wanted = parse_ports(flow.ports) if flow.ports else None
    end = _Ends(namespace=namespace, app_label=app_label, facts=facts, options=options)
    source = end.side(flow.from_, ports=ALL_PORTS)
    destination = end.side(flow.to, ports=wanted)
    if isinstance(source, Finding):
        return source
    # Before anything else: what is wrong whatever is found elsewhere must not depend on what is found there.
    if source.subject is None and (_is_elsewhere(flow.to, namespace=namespace) or _is_bare(destination)):
        return Finding(
            Reason.NO_LOCAL_END,
            f"neither end is in namespace {namespace}; an object can only open doors of its own namespace",
        )
    if isinstance(destination, Finding):
        return destination
    if wanted is not None and wanted.has_names and not flow.to.is_pods and flow.to.entity is not api.Entity.CLUSTER:
        return Finding(
            Reason.NAMED_PORT_WITHOUT_PODS, f"{wanted}: a port name is a container's; say numbers for addresses"
        )
    return Resolved(source=source, destination=destination)


def local_selector(end: api.End, *, namespace: str, app_label: str, facts: Facts) -> Selector | None:
    """The own pods that an end names; None where they are elsewhere or a Service that is not found."""
    if _is_elsewhere(end, namespace=namespace):
        return None
    if end.service is not None:
        found = facts.services.get((namespace, end.service))
        return found.selector if found else None
    return pod_selector(end, app_label=app_label)


def _is_elsewhere(end: api.End, *, namespace: str) -> bool:
    return not end.is_pods or not end.is_in(namespace)


def _is_bare(side: Side | Finding) -> bool:
    """True for a Service of addresses, which has no pods to write a policy for."""
    return isinstance(side, Side) and side.subject is None


def pod_selector(end: api.End, *, app_label: str) -> Selector:
    """The labels that an end of pods asks for; every pod where it names only a namespace."""
    if end.app is not None:
        return Selector.of_labels({app_label: end.app})
    return Selector.of_api(end.pod_selector) if end.pod_selector is not None else EVERYTHING


def namespace_selector(end: api.End, *, namespace: str) -> Selector:
    """Where an end of pods is, as a selector of namespaces."""
    if end.namespace_selector is not None:
        return Selector.of_api(end.namespace_selector)
    return namespace_named(end.namespace or namespace)


@dataclass(frozen=True)
class _Ends:
    namespace: str
    app_label: str
    facts: Facts
    options: Options

    def side(self, end: api.End, *, ports: Ports | None) -> Side | Finding:
        if end.service is not None:
            return self._service(end.service, namespace=end.namespace or self.namespace, wanted=ports)
        if end.entity is api.Entity.KUBE_API_SERVER:
            return self._api_server(wanted=ports)
        ports = ports or Ports()  # the API demands ports for all other ends
        if end.entity is not None:
            return Side(reaches=tuple((peer, ports) for peer in self._entity(end.entity)))
        if end.ip_blocks is not None:
            blocks = {part for block in end.ip_blocks for part in _addresses(block.cidr, excluded=block.except_)}
            return Side(reaches=tuple((block, ports) for block in blocks))
        return self._pods(end, ports=ports)

    def _pods(self, end: api.End, *, ports: Ports) -> Side:
        selector = pod_selector(end, app_label=self.app_label)
        if end.is_in(self.namespace):
            return self._local(selector, ports=ports)
        bare = end.app is None and end.pod_selector is None
        pods = Pods(pods=None if bare else selector, namespaces=namespace_selector(end, namespace=self.namespace))
        return Side(reaches=((pods, ports),), pods=pods)

    def _local(self, selector: Selector, *, ports: Ports) -> Side:
        pods = Pods(pods=selector)
        return Side(reaches=((pods, ports),), subject=selector, pods=pods)

    def _service(self, name: str, *, namespace: str, wanted: Ports | None) -> Side | Finding:
        service = self.facts.services.get((namespace, name))
        if service is None:
            where = "" if namespace == self.namespace else f" of namespace {namespace}"
            return Finding(Reason.SERVICE_NOT_FOUND, f"Service {name}{where} is not there (yet)")
        found = services.backends(service, wanted=wanted)
        if isinstance(found, Finding):
            return found
        if found[0].selector is None:
            return Side(reaches=tuple((peer, b.ports) for b in found for peer in b.addresses))
        if namespace == self.namespace:
            return self._local(found[0].selector, ports=found[0].ports)
        pods = Pods(pods=found[0].selector, namespaces=namespace_named(namespace))
        return Side(reaches=((pods, found[0].ports),), pods=pods)

    def _api_server(self, *, wanted: Ports | None) -> Side | Finding:
        found = services.address_backends(self.facts.api_server, wanted=wanted)
        if not found:
            return Finding(Reason.API_SERVER_NOT_FOUND, "Service default/kubernetes has no endpoints with addresses")
        return Side(reaches=tuple((peer, b.ports) for b in found for peer in b.addresses))

    def _entity(self, entity: api.Entity) -> tuple[Peer, ...]:
        if entity is api.Entity.ANY:
            return (Everyone(),)
        if entity is api.Entity.CLUSTER:
            return (Pods(pods=None, namespaces=EVERYTHING),)
        own = self.options.private_cidrs
        return (
            *_addresses("0.0.0.0/0", excluded=(*PRIVATE_V4, *own)),
            *_addresses(GLOBAL_V6, excluded=own),
        )


def _addresses(cidr: str, *, excluded: Iterable[str]) -> tuple[Addresses, ...]:
    """A block without what of ``excluded`` lies in it. All of IPv6 becomes two halves, which mean the same everywhere:
    kube-router takes ::/0 for 2000::/3 and fd00::/8, and the latter even where it is excluded."""
    whole = api.parse_cidr(cidr)
    parts = [*whole.subnets()] if (whole.version, whole.prefixlen) == (6, 0) else [whole]
    holes = {api.parse_cidr(text) for text in excluded}
    return tuple(
        Addresses(str(part), tuple(sorted(str(hole) for hole in holes if _is_within(hole, part))))
        for part in parts
        if part not in holes
    )


def _is_within(inner: api.Network, outer: api.Network) -> bool:
    return inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type]
