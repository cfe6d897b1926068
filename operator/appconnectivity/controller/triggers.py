"""From an event to the namespaces that it concerns. An event never says what to do, only where to look again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from appconnectivity.core import api, template
from appconnectivity.core.policy import is_marked, is_ours
from appconnectivity.core.references import References

Body = Mapping[str, Any]

_SERVICE_NAME_LABEL = "kubernetes.io/service-name"
_WRITTEN = (api.PLURAL, "networkpolicies")
# A watch that is renewed may leave out a version, and its expectation stays; the oldest go first.
MAX_EXPECTED = 10_000
_API_SERVER = ("default", "kubernetes")


@dataclass
class Triggers:
    """Remembers which namespaces have objects and what these refer to; the sweep and each pass bring it up to date."""

    dns_services: frozenset[tuple[str, str]] = frozenset()
    _references: dict[str, References] = field(default_factory=dict)
    _pointing: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _pending: set[str] = field(default_factory=set)
    _own_writes: dict[tuple[str, str, str], str] = field(default_factory=dict)
    _held: dict[str, dict[tuple[str, str, str], str]] = field(default_factory=dict)

    def remember(self, namespace: str, references: References) -> None:
        self.forget(namespace)
        self._references[namespace] = references
        for other in references.namespaces:
            self._pointing[other].add(namespace)
        if references.pending and references.selectors:
            self._pending.add(namespace)

    def forget(self, namespace: str) -> None:
        for other in self._references.pop(namespace, References()).namespaces:
            self._pointing[other].discard(namespace)
            if not self._pointing[other]:
                del self._pointing[other]
        self._pending.discard(namespace)

    def expect(self, plural: str, namespace: str, name: str, version: str) -> None:
        """Our own write made this resourceVersion: its event brings no news."""
        self._own_writes[(plural, namespace, name)] = version
        if len(self._own_writes) > MAX_EXPECTED:
            self._own_writes.pop(next(iter(self._own_writes)))

    def begin(self, namespace: str) -> None:
        """A pass over the namespace begins: an event of it may be that of a write that has not been answered yet."""
        self._held[namespace] = {}

    def end(self, namespace: str) -> bool:
        """The pass is over; True where something in the namespace was changed meanwhile, and not by us."""
        held = self._held.pop(namespace)
        return bool([key for key, version in held.items() if not self._is_own(key, version)])

    def concerned(self, plural: str, body: Body) -> set[str]:
        """The namespaces to look at again because of this event; one that is being passed over is told by ``end``."""
        metadata = body.get("metadata") or {}
        namespace, name = metadata.get("namespace", ""), metadata.get("name", "")
        key, version = (plural, namespace, name), metadata.get("resourceVersion", "")
        if self._is_own(key, version):
            # No news here; yet with our policies a namespace gets isolated, and others may now need its grant.
            return self._pointing_to(namespace) if plural == "networkpolicies" else set()
        if plural in _WRITTEN and namespace in self._held:
            self._held[namespace][key] = version
            return self._pointing_to(namespace)
        match plural:
            case api.PLURAL:
                return {namespace, *self._pointing_to(namespace)}
            case template.PLURAL:
                return set()
            case "networkpolicies":
                return {*self._policy(namespace, body), *self._pointing_to(namespace)}
            case "namespaces":
                return self._namespace(name)
            case "services":  # the own ones are read for hints about ports, too
                return self._service(namespace, name) | ({namespace} & self._references.keys())
            case _:
                return self._service(namespace, (metadata.get("labels") or {}).get(_SERVICE_NAME_LABEL, ""))

    def _is_own(self, key: tuple[str, str, str], version: str) -> bool:
        """True where our own write has made this version; it is told of once."""
        if not version or self._own_writes.get(key) != version:
            return False
        del self._own_writes[key]
        return True

    def _policy(self, namespace: str, body: Body) -> Iterable[str]:
        """Foreign policies concern us only where they could take one of our names."""
        known = namespace in self._references
        return {namespace} if known or is_ours(body) or is_marked(body) else ()

    def _namespace(self, name: str) -> set[str]:
        by_label = {other for other, refs in self._references.items() if refs.selectors}
        own = {name} & self._references.keys()
        return own | by_label | self._pointing_to(name)

    def _service(self, namespace: str, name: str) -> set[str]:
        key = (namespace, name)
        found = {other for other, refs in self._references.items() if key in refs.services}
        if found:  # somebody's flow that ends at this Service may grant or ask for a flow of its namespace
            found |= {namespace} & self._references.keys()
        if key == _API_SERVER:
            found |= {other for other, refs in self._references.items() if refs.api_server}
        if key in self.dns_services:
            found |= {other for other, refs in self._references.items() if refs.dns}
        return found

    def _pointing_to(self, namespace: str) -> set[str]:
        return self._pointing.get(namespace, set()) | self._pending


def templates_concerned(plural: str, body: Body, *, known: Collection[str]) -> set[str]:
    """The templates to look at again because of this event; ``known`` are those that there are, as far as we know."""
    name = (body.get("metadata") or {}).get("name", "")
    match plural:
        case template.PLURAL:
            return {name}
        case "namespaces":
            return set(known)
        case api.PLURAL:  # an object of a template has its name
            return {name} & set(known)
        case _:
            return set()
