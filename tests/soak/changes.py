"""One random change after the other. The same seed asks for the same changes in the same order, whatever the operator
does meanwhile; only which of its policies somebody meddles with depends on what stands there at that moment.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from appconnectivity.cluster.kinds import APP_CONNECTIVITY, NETWORK_POLICY
from oracle.sample import draw
from soak.estate import ADDRESSES, TARGETS, TEAMS, TEMPLATE_NAME, Body, Estate, Place

LEAST_PLACES, MOST_PLACES = 3, 6
MOST_OBJECTS, MOST_POLICIES = 8, 3
CROWD = 25
# The operator spaces the repairs of a policy out from the fifth on, which would only make every pause longer.
MOST_MEDDLED = 4
EXPIRES_SECONDS = (2, 8)
_OTHERS = ("data", "ops")
_SPECS = 300

_EVERYTHING: Body = {"policyTypes": ["Ingress", "Egress"], "ingress": [{}], "egress": [{}]}
# Of a policy of the operator's; None is its deletion.
_MEDDLING: tuple[Body | None, ...] = (
    None,
    None,
    {"spec": _EVERYTHING},
    {"spec": {"podSelector": {"matchLabels": {"app": "meddled"}}}},
    {"spec": {"policyTypes": ["Ingress"]}},
    {"metadata": {"labels": None}},
    {"metadata": {"annotations": None}},
    {"metadata": {"ownerReferences": None}},
    {"metadata": {"labels": {"somebody": "was-here"}}},
)
_MEDDLING_WITH_OBJECTS: tuple[Body | None, ...] = (
    None,
    {"spec": {"mode": "Audit"}},
    {"spec": {"flows": []}},
    {"metadata": {"labels": None}},
)
_FOREIGN: tuple[Body, ...] = (
    {"podSelector": {}, "policyTypes": ["Ingress"]},
    {"podSelector": {"matchLabels": {"app": "a"}}, **_EVERYTHING},
    {"podSelector": {"matchLabels": {"app": "b"}}, "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}]},
)


def pool(*, seed_: int) -> list[Body]:
    """Specs that the judge can judge: whether the Service of another namespace is opened depends on what was before."""
    return [body["spec"] for body in draw(_SPECS, seed_=seed_) if not _names_foreign_service(body["spec"])]


def _names_foreign_service(spec: Body) -> bool:
    return any("service" in flow["to"] and flow["to"].get("namespace") in _OTHERS for flow in spec["flows"])


@dataclass
class Changes:
    """Makes changes to an estate. ``count`` tells how many, ``deleted`` how many objects it has deleted."""

    estate: Estate
    dice: random.Random
    specs: list[Body]
    count: int = 0
    deleted: int = 0
    last_expiry: datetime | None = None
    _number: int = 0
    _meddled: Counter[tuple[str, str]] = field(default_factory=Counter)

    def begin(self) -> None:
        self.estate.publish(port=8080)
        for _ in range(LEAST_PLACES):
            self.make_place()

    def one(self) -> None:
        """Makes one change (a crowd of objects is several)."""
        acts = self._acts()
        act = self.dice.choices([act for act, _ in acts], weights=[weight for _, weight in acts])[0]
        act()
        self.count += 1

    def _acts(self) -> list[tuple[Callable[[], None], int]]:
        return [
            (self.put_object, 30),
            (self.edit_object, 20),
            (self.drop_object, 15),
            (self.meddle_with_policy, 20),
            (self.meddle_with_object, 3),
            (self.expire, 3),
            (self.add_policy, 4),
            (self.drop_policy, 3),
            (self.squat, 2),
            (self.change_service, 6),
            (self.close_service, 2),
            (self.relabel, 4),
            (self.toggle_baseline, 4),
            (self.publish, 1),
            (self.make_place, 2),
            (self.drop_place, 2),
            (self.crowd, 2),
        ]

    def put_object(self) -> None:
        place = self._place()
        if len(place.objects) >= MOST_OBJECTS:
            self.drop_object()
        self.estate.put(place.name, self._new("obj"), self._spec(place))

    def edit_object(self) -> None:
        place = self._place()
        if place.objects:
            self.estate.put(place.name, self._one_of(place.objects), self._spec(place))

    def drop_object(self) -> None:
        place = self._place()
        if place.objects:
            self.estate.drop(place.name, self._one_of(place.objects))
            self.deleted += 1

    def crowd(self) -> None:
        """Many come, and go at once."""
        place = self._place()
        names = [self._new("crowd") for _ in range(CROWD)]
        for name in names:
            self.estate.put(place.name, name, {"flows": [{"from": {"app": "a"}, "to": {"app": "b"}, "ports": [80]}]})
        for name in names:
            self.estate.drop(place.name, name)
        self.count += 2 * CROWD - 1
        self.deleted += CROWD

    def expire(self) -> None:
        """A flow that ends by itself, soon."""
        place = self._place()
        end = datetime.now(UTC) + timedelta(seconds=self.dice.randint(*EXPIRES_SECONDS))
        self.last_expiry = max(end, self.last_expiry or end)
        flow = {"from": {"app": "c"}, "to": {"app": "a"}, "ports": [8080]}
        moment = end.strftime("%Y-%m-%dT%H:%M:%SZ")
        self.estate.put(place.name, self._new("ends"), {"flows": [flow | {"expirationTime": moment}]})

    def meddle_with_policy(self) -> None:
        place, share, change = self._place(), self.dice.random(), self.dice.choice(_MEDDLING)
        found = [name for name in self.estate.ours(place.name) if self._meddled[place.name, name] < MOST_MEDDLED]
        if found:
            name = found[int(share * len(found))]
            self._meddled[place.name, name] += 1
            self.estate.meddle(NETWORK_POLICY, place.name, name, change)

    def meddle_with_object(self) -> None:
        """With that of the template."""
        place, change = self._place(), self.dice.choice(_MEDDLING_WITH_OBJECTS)
        if place.has_baseline:
            self.estate.meddle(APP_CONNECTIVITY, place.name, TEMPLATE_NAME, change)

    def add_policy(self) -> None:
        place, spec = self._place(), self.dice.choice(_FOREIGN)
        if len(place.foreign) < MOST_POLICIES:
            self.estate.add_policy(place.name, self._new("theirs"), spec)

    def drop_policy(self) -> None:
        place = self._place()
        if place.foreign:
            self.estate.remove_policy(place.name, self._one_of(place.foreign))

    def squat(self) -> None:
        """A policy of ours goes, and somebody else's has its name."""
        place, share = self._place(), self.dice.random()
        found = self.estate.ours(place.name)
        if found:
            name = found[int(share * len(found))]
            self.estate.meddle(NETWORK_POLICY, place.name, name, None)
            self.estate.add_policy(place.name, name, _FOREIGN[0], squats=True)

    def change_service(self) -> None:
        place, name = self._place(), self.dice.choice(("db", "ext"))
        target, app, address = self.dice.choice(TARGETS), self.dice.choice("abc"), self.dice.choice(ADDRESSES)
        self.estate.serve(place.name, name, target=target, app=app, address=address)

    def close_service(self) -> None:
        self.estate.close_down(self._place().name, self.dice.choice(("db", "ext")))

    def relabel(self) -> None:
        self.estate.label(self._place().name, team=self.dice.choice(TEAMS))

    def toggle_baseline(self) -> None:
        self.estate.label(self._place().name, toggle=True)

    def publish(self) -> None:
        self.estate.publish(port=self.dice.choice((8080, 9090)))

    def make_place(self) -> None:
        if len(self.estate.places) < MOST_PLACES:
            self.estate.make(self._new("soak"), team=self.dice.choice(TEAMS))

    def drop_place(self) -> None:
        if len(self.estate.places) > LEAST_PLACES:
            self.estate.unmake(self._place().name)

    def _place(self) -> Place:
        return self.estate.places[self._one_of(self.estate.places)]

    def _one_of(self, names: Iterable[str]) -> str:
        return self.dice.choice(sorted(names))

    def _new(self, what: str) -> str:
        self._number += 1
        return f"{what}-{self._number}"

    def _spec(self, place: Place) -> Body:
        """One of the pool, as an object of this namespace; its others are any, and may be gone."""
        text = json.dumps(self.dice.choice(self.specs)).replace('"shop"', f'"{place.name}"')
        for other in _OTHERS:
            text = text.replace(f'"{other}"', f'"{self._one_of([*self.estate.places, "nowhere"])}"')
        found: Body = json.loads(text)
        return found
