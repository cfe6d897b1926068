"""What the users have put into the cluster, as they know it: namespaces, objects, Services, policies of their own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from appconnectivity.cluster.kinds import (
    APP_CONNECTIVITY,
    ENDPOINT_SLICE,
    NAMESPACE,
    NETWORK_POLICY,
    SERVICE,
    TEMPLATE,
    Kind,
)
from cluster.rest import Answer, Rest

Body = dict[str, Any]

TEMPLATE_NAME = "baseline"
LABEL = {"baseline": "yes"}
TEAMS = ("red", "blue")
TARGETS = (8080, 8050, 443)
ADDRESSES = ("203.0.113.8", "203.0.113.7")


@dataclass
class Place:
    """A namespace. ``foreign`` are the users' own policies as the API server has answered, by name; ``squatters`` those
    of them that have a name of the operator's. ``objects`` are the specs of AppConnectivity objects, by name."""

    name: str
    team: str
    has_baseline: bool = False
    objects: dict[str, Body] = field(default_factory=dict)
    foreign: dict[str, Body] = field(default_factory=dict)
    squatters: set[str] = field(default_factory=set)
    services: dict[str, Body] = field(default_factory=dict)

    @property
    def labels(self) -> dict[str, str]:
        return {"team": self.team} | (LABEL if self.has_baseline else {})


@dataclass
class Estate:
    """The users' side of the cluster. Raises RuntimeError where the API server refuses what users may do."""

    rest: Rest
    places: dict[str, Place] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    port: int = 8080

    # Namespaces and templates.

    def make(self, name: str, *, team: str) -> None:
        place = self.places[name] = Place(name, team)
        self._put(NAMESPACE, _namespace(place))
        for service in ("db", "ext"):
            self.serve(name, service, target=TARGETS[0], app="a", address=ADDRESSES[0])

    def unmake(self, name: str) -> None:
        self._took(self.rest.delete(NAMESPACE, name=name))
        self.gone.add(name)
        del self.places[name]

    def label(self, name: str, *, team: str = "", toggle: bool = False) -> None:
        place = self.places[name]
        place.team = team or place.team
        place.has_baseline ^= toggle
        self._put(NAMESPACE, _namespace(place))

    def publish(self, *, port: int) -> None:
        """The template, with this port."""
        self.port = port
        body = {"metadata": {"name": TEMPLATE_NAME}, "spec": self.template}
        self._put(TEMPLATE, {"apiVersion": "appconnectivity.io/v1alpha1", "kind": "AppConnectivityTemplate", **body})

    @property
    def template(self) -> Body:
        flow = {"from": {"app": "{{ namespace.labels['team'] }}"}, "to": {"app": "b"}, "ports": [self.port]}
        return {"namespaceSelector": {"matchLabels": LABEL}, "template": {"spec": {"flows": [flow], "dns": "None"}}}

    # What is in a namespace.

    def put(self, namespace: str, name: str, spec: Body) -> None:
        self.places[namespace].objects[name] = spec
        self._put(APP_CONNECTIVITY, _object(namespace, name, spec))

    def drop(self, namespace: str, name: str) -> None:
        del self.places[namespace].objects[name]
        self._took(self.rest.delete(APP_CONNECTIVITY, namespace=namespace, name=name))

    def serve(self, namespace: str, name: str, *, target: int, app: str, address: str) -> None:
        """``db`` has pods, ``ext`` has an address; both have their ports elsewhere than they say."""
        bodies = _services(namespace, name, target=target, app=app, address=address)
        self.places[namespace].services[name] = {"target": target, "app": app, "address": address}
        for kind, body in bodies:
            self._put(kind, body)

    def close_down(self, namespace: str, name: str) -> None:
        """The Service goes; it is remembered, to be put back."""
        self.rest.delete(SERVICE, namespace=namespace, name=name)

    def add_policy(self, namespace: str, name: str, spec: Body, *, squats: bool = False) -> None:
        """A policy of the users' own. Of a name that is in use, since the operator was faster, it comes to nothing."""
        answer = self.rest.ask("POST", NETWORK_POLICY.path(namespace=namespace), _policy(name, spec))
        if answer.status == 409 and squats:
            return
        self._took(answer)
        self.places[namespace].foreign[name] = answer.body
        if squats:
            self.places[namespace].squatters.add(name)

    def remove_policy(self, namespace: str, name: str) -> None:
        place = self.places[namespace]
        self._took(self.rest.delete(NETWORK_POLICY, namespace=namespace, name=name))
        del place.foreign[name]
        place.squatters.discard(name)

    # What nobody should do, and somebody will.

    def meddle(self, kind: Kind, namespace: str, name: str, change: Body | None) -> None:
        """Changes something of the operator's, or deletes it (None); it may be gone by now."""
        if change is None:
            self._took(self.rest.delete(kind, namespace=namespace, name=name), gone=True)
        else:
            self._took(self.rest.merge(kind, change, namespace=namespace, name=name), gone=True)

    def ours(self, namespace: str) -> list[str]:
        """The names of the policies in a namespace that are not the users'."""
        found = [body["metadata"]["name"] for body in self.rest.list(NETWORK_POLICY, namespace=namespace)]
        return sorted(set(found) - self.places[namespace].foreign.keys())

    def restore(self) -> None:
        """What has no one right end is taken back: names that are taken, and Services that are not there."""
        for place in self.places.values():
            for name in sorted(place.squatters):
                self.remove_policy(place.name, name)
            for name, said in place.services.items():
                self.serve(place.name, name, **said)

    def _put(self, kind: Kind, body: Body) -> None:
        self._took(self.rest.apply(kind, body))

    def _took(self, answer: Answer, *, gone: bool = False) -> None:
        if not answer.is_accepted and not (gone and answer.status == 404):
            raise RuntimeError(f"{answer.status} {answer.message}")


def _namespace(place: Place) -> Body:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": place.name, "labels": place.labels}}


def _object(namespace: str, name: str, spec: Body) -> Body:
    head = {"apiVersion": "appconnectivity.io/v1alpha1", "kind": "AppConnectivity"}
    return head | {"metadata": {"name": name, "namespace": namespace}, "spec": spec}


def _policy(name: str, spec: Body) -> Body:
    """With our label on it, which proves nothing."""
    labels = {"app.kubernetes.io/managed-by": "appconnectivity"}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec}


def _services(namespace: str, name: str, *, target: int, app: str, address: str) -> list[tuple[Kind, Body]]:
    metadata = {"name": name, "namespace": namespace}
    service: Body = {"apiVersion": "v1", "kind": "Service", "metadata": metadata}
    if name == "db":
        ports = [
            {"name": "http", "port": 80, "targetPort": target},
            {"name": "https", "port": 443, "targetPort": 443},
            {"name": "names", "port": 53, "targetPort": 53, "protocol": "UDP"},
        ]
        return [(SERVICE, service | {"spec": {"selector": {"app": app}, "ports": ports}})]
    endpoints = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": metadata | {"labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address]}],
        "ports": [{"name": "http", "port": target, "protocol": "TCP"}],
    }
    return [(SERVICE, service | {"spec": {"ports": [{"name": "http", "port": 80}]}}), (ENDPOINT_SLICE, endpoints)]
