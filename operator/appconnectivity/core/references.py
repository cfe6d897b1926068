"""What the intents of a namespace refer to elsewhere: what has to be looked up, and whose change concerns them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from appconnectivity.core import api
from appconnectivity.core.intent import Intent
from appconnectivity.core.selectors import Selector


@dataclass(frozen=True)
class References:
    """``namespaces`` by name and by label (``selectors``), Services by (namespace, name), and what is cluster-wide.

    ``pending`` while it is not known yet which namespaces the selectors match.
    """

    namespaces: frozenset[str] = frozenset()
    selectors: frozenset[Selector] = frozenset()
    services: frozenset[tuple[str, str]] = frozenset()
    api_server: bool = False
    dns: bool = False
    pending: bool = False


def references(intents: Sequence[Intent]) -> References:
    """Everything that the flows of these intents, all of one namespace, name and that has to be looked up."""
    pairs = [(intent, end) for intent in intents for end in _ends(intent)]
    return References(
        namespaces=frozenset(e.namespace for i, e in pairs if e.namespace not in (None, i.namespace) and e.namespace),
        selectors=frozenset(
            Selector.of_api(e.namespace_selector) for _, e in pairs if e.namespace_selector is not None
        ),
        services=frozenset((e.namespace or i.namespace, e.service) for i, e in pairs if e.service is not None),
        api_server=any(end.entity is api.Entity.KUBE_API_SERVER for _, end in pairs),
        dns=any(intent.header is not None and intent.header.dns is api.Dns.CLUSTER for intent in intents),
    )


def together(several: Iterable[References]) -> References:
    """All that these refer to."""
    found = [*several]
    return References(
        namespaces=frozenset().union(*(each.namespaces for each in found)),
        selectors=frozenset().union(*(each.selectors for each in found)),
        services=frozenset().union(*(each.services for each in found)),
        api_server=any(each.api_server for each in found),
        dns=any(each.dns for each in found),
        pending=any(each.pending for each in found),
    )


def services_of_grants(
    intents: Iterable[Intent], *, namespace: str, labels: Mapping[str, str]
) -> frozenset[tuple[str, str]]:
    """The Services in other namespaces' flows that may reach ``namespace`` and so be a grant for one of its flows."""
    ends = [
        (intent.namespace, end)
        for intent in intents
        for entry in intent.entries
        if entry.flow and any(_may_hold(e, namespace=namespace, labels=labels) for e in _both(entry.flow))
        for end in _both(entry.flow)
    ]
    return frozenset((end.namespace or place, end.service) for place, end in ends if end.service is not None)


def _may_hold(end: api.End, *, namespace: str, labels: Mapping[str, str]) -> bool:
    if end.entity in (api.Entity.ANY, api.Entity.CLUSTER):
        return True
    if end.namespace_selector is not None:
        return Selector.of_api(end.namespace_selector).matches(labels)
    return end.namespace == namespace


def _ends(intent: Intent) -> list[api.End]:
    return [end for entry in intent.entries if entry.flow for end in _both(entry.flow)]


def _both(flow: api.Flow) -> tuple[api.End, api.End]:
    return flow.from_, flow.to
