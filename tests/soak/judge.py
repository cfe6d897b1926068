"""Whether the cluster is as its users want it, read from the API server: by the objects' words, not by the compiler.

What it can't see: flows to Services of other namespaces, whose end depends on what was granted before (they are not
among the changes); what is so only between two looks; what only other pods, hosts or ports than the oracle's tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache

from appconnectivity.cluster.kinds import (
    APP_CONNECTIVITY,
    ENDPOINT_SLICE,
    NAMESPACE,
    NETWORK_POLICY,
    SERVICE,
)
from appconnectivity.core.reachability import World
from appconnectivity.core.status import condition
from cluster.rest import Rest
from oracle import evaluator
from oracle import world as oracle
from oracle.declared import Connection, Declared, Served, Together
from soak.estate import TEMPLATE_NAME, Body, Estate

_PODS = tuple(pod for pod in oracle.WORLD.pods if pod.namespace == "shop")
_DNS = tuple(pod for pod in oracle.WORLD.pods if pod.ref == "kube-system/coredns")
_UNSETTLED = ("Pending", "InternalError", "WriteFailed", "Forbidden", "Contended", "Adopting", "WaitingForAllows")


def divergences(estate: Estate) -> list[str]:
    """All that is not as it should be; nothing, once the operator has come to rest."""
    rest = estate.rest
    objects = [body for body in rest.list(APP_CONNECTIVITY) if body["metadata"]["namespace"] in estate.places]
    found = [*_namespaces(estate), *_objects(estate, objects), *_foreign(estate), *_templates(estate, objects)]
    found += [text for body in objects if (text := _unsettled(body))]
    return found or [*_meaning(estate, objects)]


def foreign(estate: Estate) -> list[str]:
    """What has become of the users' own policies that should not have."""
    return [*_foreign(estate)]


def _namespaces(estate: Estate) -> Iterator[str]:
    there = {body["metadata"]["name"] for body in estate.rest.list(NAMESPACE)}
    yield from (f"namespace {name} is not gone" for name in sorted(there & estate.gone))
    for kind in (NAMESPACE, SERVICE):
        for body in estate.rest.list(kind):
            place = body["metadata"]["name"] if kind is NAMESPACE else body["metadata"]["namespace"]
            yield from _marks(body) if place in estate.places else ()


def _objects(estate: Estate, objects: Iterable[Body]) -> Iterator[str]:
    """The users' objects are theirs alone."""
    live = {(b["metadata"]["namespace"], b["metadata"]["name"]): b for b in objects}
    put = {(place.name, name): spec for place in estate.places.values() for name, spec in place.objects.items()}
    for key in live.keys() | put.keys():
        if key[1] == TEMPLATE_NAME:
            continue
        if key not in live or key not in put:
            yield f"object {'/'.join(key)} is {'there' if key in live else 'not there'}"
        elif not put[key].items() <= live[key]["spec"].items():
            yield f"object {'/'.join(key)} was changed: {live[key]['spec']}, and not {put[key]}"
        else:
            yield from _marks(live[key])


def _marks(body: Body) -> Iterator[str]:
    metadata = body["metadata"]
    left = {key: metadata[key] for key in ("finalizers", "annotations", "ownerReferences") if metadata.get(key)}
    if left:
        yield f"{metadata['name']} was given {left}"


def _foreign(estate: Estate) -> Iterator[str]:
    live = {(b["metadata"]["namespace"], b["metadata"]["name"]): b for b in estate.rest.list(NETWORK_POLICY)}
    for place in estate.places.values():
        for name, body in place.foreign.items():
            now = live.get((place.name, name))
            if now is None or _said(now) != _said(body):
                yield f"policy {place.name}/{name} of the users' was touched: {now}"


def _said(body: Body) -> Body:
    """What an object says, and which one it is."""
    told = ("uid", "labels", "annotations", "ownerReferences", "finalizers")
    return {key: body["metadata"].get(key) for key in told} | {"spec": body["spec"]}


def _templates(estate: Estate, objects: Iterable[Body]) -> Iterator[str]:
    """The template's object is in each labelled namespace, and in no other."""
    found = {b["metadata"]["namespace"]: b["spec"] for b in objects if b["metadata"]["name"] == TEMPLATE_NAME}
    for place in estate.places.values():
        said = found.get(place.name)
        wanted = {"from": {"app": place.team}, "to": {"app": "b"}, "ports": [estate.port]}
        if said is None and place.has_baseline:
            yield f"{place.name} has no object of the template"
        elif said is not None and (not place.has_baseline or said["flows"] != [wanted] or said["mode"] != "Enforce"):
            yield f"{place.name} ({place.labels}) has the template's object {said}"


def _unsettled(body: Body) -> str:
    """Why an object's condition does not tell of an end yet; empty where it does."""
    metadata, ready = body["metadata"], condition(body.get("status") or {}, "Ready")
    if ready.get("observedGeneration") == metadata["generation"] and ready["reason"] not in _UNSETTLED:
        return ""
    return f"object {metadata['namespace']}/{metadata['name']}: {dict(ready)}, at generation {metadata['generation']}"


def _meaning(estate: Estate, objects: Iterable[Body]) -> Iterator[str]:
    """What is open by the operator's policies is what the objects say, and nothing else."""
    rest, now = estate.rest, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    world, asked = _world(tuple((name, tuple(place.labels.items())) for name, place in sorted(estate.places.items())))
    services = _services(rest)
    said = Together(
        tuple(Declared(b["spec"], world, services, namespace=b["metadata"]["namespace"], now=now) for b in objects)
    )
    by_ref = {end.ref: end for end in world.ends}
    declared = {
        (source, target, *probe)
        for source, target in dict.fromkeys(ask[:2] for ask in asked)
        for probe in said.opens(by_ref[source], by_ref[target], oracle.PROBES)
    }
    opened = evaluator.opened(world, _policies(estate), asked)
    yield from _several("open, and nobody has declared it", opened - declared)
    yield from _several("declared, and not open", declared - opened)


def _policies(estate: Estate) -> list[Body]:
    """Those of the namespaces, without the users' own: the operator's have to be right by themselves."""
    theirs = {(place.name, name) for place in estate.places.values() for name in place.foreign}
    live = ((b["metadata"]["namespace"], b["metadata"]["name"], b) for b in estate.rest.list(NETWORK_POLICY))
    return [body for place, name, body in live if place in estate.places and (place, name) not in theirs]


@lru_cache(maxsize=1)
def _world(places: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]) -> tuple[World, list[Connection]]:
    """The oracle's pods in each namespace, with its hosts; and every connection that is asked about."""
    pods = (replace(pod, namespace=name) for name, _ in places for pod in _PODS)
    labels = {name: dict(said) for name, said in places} | {"kube-system": {}}
    world = World(namespaces=labels, pods=(*pods, *_DNS), hosts=oracle.WORLD.hosts)
    pairs = [
        (source, target)
        for source in world.ends
        for target in world.ends
        if source != target and (source in world.pods or target in world.pods)
    ]
    return world, oracle.connections_of(pairs)


def _services(rest: Rest) -> dict[tuple[str, str], Served]:
    slices = {(b["metadata"]["namespace"], b["metadata"]["name"]): b for b in rest.list(ENDPOINT_SLICE)}
    found = {}
    for body in rest.list(SERVICE):
        key = (body["metadata"]["namespace"], body["metadata"]["name"])
        if key[1] == "db":
            ports = {(port["protocol"], port["port"]): port["targetPort"] for port in body["spec"]["ports"]}
            found[key] = Served(ports, labels=body["spec"]["selector"])
        elif key[1] == "ext":
            found[key] = _addressed(slices[key])
    return found


def _addressed(endpoints: Body) -> Served:
    addresses = tuple(address for entry in endpoints["endpoints"] for address in entry["addresses"])
    return Served({("TCP", 80): endpoints["ports"][0]["port"]}, addresses=addresses)


def _several(what: str, found: set[Connection]) -> Iterator[str]:
    if found:
        some = ", ".join(
            f"{source} -> {target} {protocol} {port}" for source, target, protocol, port in sorted(found)[:4]
        )
        yield f"{what}: {some} ({len(found)} in all)"
