"""What closes: the default-deny in its forms, and the DNS-allow that goes with it.

Every policy that selects a pod isolates it in that direction. So a DNS-allow only ever selects pods that are
isolated in egress anyway.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from appconnectivity.core import api, naming, services
from appconnectivity.core.facts import Facts, Service
from appconnectivity.core.intent import Intent
from appconnectivity.core.policy import Addresses, Owner, Pods, Policy, Role, Rule, allow_spec, deny_spec
from appconnectivity.core.ports import Port, Ports
from appconnectivity.core.resolve import local_selector
from appconnectivity.core.selectors import EVERYTHING, Selector, namespace_named

_PORT_53 = Ports.of(Port(protocol=protocol, first=53, last=53) for protocol in ("TCP", "UDP"))
# Where no DNS Service is found: what kubeadm, k3s, kind, EKS, AKS and GKE have in common.
_CONVENTIONAL = Pods(pods=Selector.of_labels({"k8s-app": "kube-dns"}), namespaces=namespace_named("kube-system"))


@dataclass(frozen=True)
class Want:
    """What one object asks of the namespace's shared policies: directions to close, and whether DNS stays open."""

    owner: Owner
    policy_types: frozenset[api.PolicyType] = frozenset()
    dns: bool = False


@dataclass(frozen=True)
class Isolating:
    """An object's own isolating policies, and names to keep for ends that can't be looked up just now."""

    policies: tuple[Policy, ...] = ()
    kept: frozenset[str] = frozenset()


def want(header: api.Header, *, owner: Owner) -> Want:
    if header.default_deny is not api.DefaultDeny.NAMESPACE:
        return Want(owner=owner)
    governs_egress = api.PolicyType.EGRESS in header.policy_types
    return Want(
        owner=owner,
        policy_types=frozenset(header.policy_types),
        dns=governs_egress and header.dns is api.Dns.CLUSTER,
    )


def shared_policies(wants: Sequence[Want], *, facts: Facts) -> tuple[Policy, ...]:
    """The namespace's default-deny and DNS-allow, owned by every object that wants them; none where nobody does."""
    deny = [entry for entry in wants if entry.policy_types]
    dns = [entry for entry in wants if entry.dns]
    found = []
    if deny:
        types = frozenset[api.PolicyType]().union(*(entry.policy_types for entry in deny))
        found.append(_deny(facts.namespace, naming.DEFAULT_DENY, EVERYTHING, types, owners=_owners(deny)))
    if dns:
        found.append(_dns(facts, naming.ALLOW_DNS, EVERYTHING, owners=_owners(dns)))
    return tuple(found)


def object_policies(
    intent: Intent, *, facts: Facts, closed_flows: frozenset[str], standing: Collection[str]
) -> Isolating:
    """What isolates the ends that an object names, where it does not ask for the whole namespace."""
    header = intent.header
    if header is None or header.default_deny is api.DefaultDeny.NAMESPACE:
        return Isolating()
    owner = (Owner(intent.name, intent.uid),)
    gives_dns = header.dns is api.Dns.CLUSTER and api.PolicyType.EGRESS in header.policy_types
    policies: list[Policy] = []
    if header.default_deny is api.DefaultDeny.ENDPOINTS:
        ends = _named_ends(_all_ends(intent), intent=intent, facts=facts)
        policies += [
            _deny(
                intent.namespace,
                naming.end_policy(object_name=intent.name, end_name=name, role="deny"),
                selector,
                header.policy_types,
                owners=owner,
                object_name=intent.name,
            )
            for name, selector in ends
        ]
    else:
        ends = _named_ends(_sources(intent, closed_flows), intent=intent, facts=facts)
    if gives_dns:
        names = [naming.end_policy(object_name=intent.name, end_name=name, role="allow-dns") for name, _ in ends]
        policies += [
            _dns(facts, name, selector, owners=owner, object_name=intent.name)
            for name, (_, selector) in zip(names, ends, strict=True)
        ]
    return Isolating(policies=tuple(policies), kept=_unfound(intent, facts=facts, standing=standing))


def is_dns_assumed(facts: Facts) -> bool:
    """True where no DNS was found, so that the conventional one is allowed."""
    return not _dns_backends(facts) and not facts.node_local_dns


def dns_rules(facts: Facts) -> tuple[Rule, ...]:
    """Egress to the cluster's DNS and to nothing else: its pods on its target ports, and the node's cache."""
    rules = _dns_backends(facts)
    rules += [Rule(peer, _PORT_53) for peer in services.single_addresses(facts.node_local_dns)]
    return tuple(rules) or (Rule(_CONVENTIONAL, _PORT_53),)


def _dns_backends(facts: Facts) -> list[Rule]:
    rules: list[Rule] = []
    for service in facts.dns_services:
        found = services.backends(service, wanted=_dns_ports(service))
        for backend in found if isinstance(found, tuple) else ():
            pods = Pods(pods=backend.selector, namespaces=namespace_named(service.namespace))
            peers: tuple[Pods | Addresses, ...] = (pods,) if backend.selector is not None else backend.addresses
            rules += [Rule(peer, backend.ports) for peer in peers]
    return rules


def _dns_ports(service: Service) -> Ports:
    """Port 53 in the protocols in which this Service has it."""
    has = {(port.protocol, port.number) for port in service.ports}
    return Ports.of(port for port in _PORT_53.listed if (port.protocol, port.first) in has)


def _all_ends(intent: Intent) -> list[api.End]:
    """Also those of expired flows: a pod must not open because its last flow has closed."""
    return [end for entry in intent.entries if entry.flow for end in (entry.flow.from_, entry.flow.to)]


def _sources(intent: Intent, closed_flows: frozenset[str]) -> list[api.End]:
    """Without a deny only flows isolate: where one has no policies, its source must not get a DNS-allow."""
    return [entry.flow.from_ for entry in intent.entries if entry.flow and entry.name not in closed_flows]


def _named_ends(ends: Iterable[api.End], *, intent: Intent, facts: Facts) -> list[tuple[str, Selector]]:
    """The distinct local selectors among ``ends``, each with a name; sorted."""
    found: dict[Selector, str] = {}
    for end in ends:
        selector = local_selector(end, namespace=intent.namespace, app_label=intent.app_label, facts=facts)
        if selector is not None:
            name = naming.end_name(end.model_copy(update={"namespace": None}) if end.app or end.pod_selector else end)
            found[selector] = min(name, found.get(selector, name))
    taken = [*found.values()]
    return sorted(
        (name if taken.count(name) == 1 else f"{name[:54]}-{naming.digest(selector.to_dict())}", selector)
        for selector, name in found.items()
    )


def _unfound(intent: Intent, *, facts: Facts, standing: Collection[str]) -> frozenset[str]:
    """Isolating policies that stand for Services which are not there just now: they stay, or their pods would open."""
    ends = {
        naming.end_name(end)
        for end in _all_ends(intent)
        if end.service and local_selector(end, namespace=intent.namespace, app_label="", facts=facts) is None
    }
    # Another end of the same name may have brought a hash into the name, and may be all that is left of it.
    spellings = [re.escape(text) for end in ends for text in (end, f"{end[:54]}-")]
    known = re.compile(rf"{re.escape(intent.name)}\.({'|'.join(spellings)})([0-9a-f]{{8}})?\.(deny|allow-dns)")
    return frozenset(name for name in standing if ends and known.fullmatch(name))


def _owners(wants: Iterable[Want]) -> tuple[Owner, ...]:
    return tuple(sorted((entry.owner for entry in wants), key=lambda owner: (owner.name, owner.uid)))


def _deny(
    namespace: str,
    name: str,
    subject: Selector,
    policy_types: Iterable[api.PolicyType],
    *,
    owners: tuple[Owner, ...],
    object_name: str = "",
) -> Policy:
    who = "Every pod" if subject == EVERYTHING else f"Pods with {subject}"
    spec = deny_spec(subject=subject, policy_types=policy_types)
    return Policy(
        namespace=namespace,
        name=name,
        role=Role.DENY,
        spec=spec,
        owners=owners,
        description=f"{who}: only what other policies allow ({' and '.join(spec['policyTypes'])}).",
        object_name=object_name,
    )


def _dns(facts: Facts, name: str, subject: Selector, *, owners: tuple[Owner, ...], object_name: str = "") -> Policy:
    who = "Every pod" if subject == EVERYTHING else f"Pods with {subject}"
    return Policy(
        namespace=facts.namespace,
        name=name,
        role=Role.DNS,
        spec=allow_spec(subject=subject, policy_type=api.PolicyType.EGRESS, rules=dns_rules(facts)),
        owners=owners,
        description=f"{who} may ask the cluster's DNS.",
        object_name=object_name,
    )
