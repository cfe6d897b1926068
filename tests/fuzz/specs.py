"""Specs made from a CRD's own schema: mostly as it says, here and there at its borders, beyond them, or unlike it.

By plain dice, whose odds hold: Hypothesis looks for the odd so eagerly that hardly a spec would be right in any place.
Specs of its own, valid ones to which something was done, are drawn beside them.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from crd.strategies import wild_specs

Node = dict[str, Any]

# What a person would write where the schema alone does not tell; so that what is drawn comes to mean something.
_SENSIBLE: dict[str, tuple[Any, ...]] = {
    "app": ("frontend", "api", "db"),
    "appLabel": ("app", "example.com/app"),
    "cidr": ("203.0.113.0/24", "0.0.0.0/0", "2001:db8::/32"),
    "defaultDeny": ("Namespace", "Endpoints", "None"),
    "description": ("why", "{{ namespace.name }}"),
    "dns": ("Cluster", "None"),
    "entity": ("Internet", "Any"),
    "except": ("203.0.113.7/32", "2001:db8::/48"),
    "expirationTime": ("2020-01-01T00:00:00Z", "2099-01-01T00:00:00+01:00"),
    "forEach": ("['frontend', 'api']", "namespace.labels"),
    "key": ("app", "tier"),
    "lastTransitionTime": ("2026-01-01T00:00:00Z",),
    "matchLabels": ("frontend", "api", ""),
    "mode": ("Enforce", "Audit"),
    "name": ("one", "two", "three"),
    "namespace": ("data", "ops"),
    "operator": ("In", "Exists"),
    "parameters": ("frontend", "8080"),
    "policyTypes": ("Ingress", "Egress"),
    "ports": (80, 443, "8000-8100", "53/UDP", "metrics", "*"),
    "reason": ("Odd", "Ready"),
    "service": ("db", "missing"),
    "type": ("Ready", "Programmed"),
    "values": ("frontend", "api"),
    "when": ("true", "'app' in namespace.labels"),
}
_KEYS = ("app", "tier", "example.com/tier")
_ODD_KEYS = ("a b", "", "ä", "prot", "from", "metadata", "x" * 400)
_TEXTS = (
    *("", " ", "a\n", "\x00", "ä", "\U0001f600", "\u202eapi", "x" * 64, "x" * 254, "x" * 70_000, "null", "-1", "*"),
    *("{{", "{{ namespace.name }}", "{{ 7 * 7 }}", "{% for x in y %}", "%s", "../..", "$(id)", "Enforce", "0.0.0.0/0"),
)
# The API server closes the connection on whoever sends three times as much.
_MOST_BYTES = 1_000_000
_PORTS = (0, 1, 65535, 65536, -1, 10**18, "0", "65536", "80-79", "1-65535", "80/tcp", "a" * 16, "8080/SCTP")
_NUMBERS = (None, True, False, 0, -1, 1.5, 2**31, 2**63 - 1, -(2**63), 1e300)


@dataclass(frozen=True)
class Forge:
    """Makes values for places of a schema. Of ``odds`` values one is at a border, and one is anything."""

    dice: random.Random
    odds: int = 24

    def like(self, node: Node, *, name: str = "") -> Any:
        """A value for a place of the schema; ``name`` is that of the field."""
        match self.dice.randrange(self.odds):
            case 0:
                return self.anything()
            case 1:
                return self._at_the_border(node, name)
            case _:
                return self._said(node, name)

    def anything(self) -> Any:
        made: list[Callable[[], Any]] = [
            lambda: self.dice.choice(_NUMBERS),
            lambda: self.dice.choice(_TEXTS),
            lambda: [self.dice.choice(_TEXTS)],
            lambda: {self._odd_key(): self.dice.choice((*_NUMBERS, *_TEXTS)), "app": "frontend"},
            lambda: _nested(self.dice.choice((3, 300)), key=self.dice.choice(("", "from", "x"))),
            lambda: [self.dice.choice(({}, None, "x", []))] * self.dice.choice((1, 65, 200)),
        ]
        return self.dice.choice(made)()

    def _said(self, node: Node, name: str) -> Any:
        if "enum" in node:
            return self.dice.choice(node["enum"])
        if "properties" in node:
            return self._fields(node)
        if "items" in node:
            count = self.dice.randint(max(1, node.get("minItems", 0)), 2)
            return [self.like(node["items"], name=name) for _ in range(count)]
        if "additionalProperties" in node:
            return {self._key(): self.like(node["additionalProperties"], name=name)}
        if node.get("type") == "integer":
            return self.dice.randint(node.get("minimum", 0), node.get("maximum", 100))
        return self.dice.choice(_SENSIBLE.get(name, _TEXTS))

    def _fields(self, node: Node) -> dict[str, Any]:
        known, chosen = node["properties"], set(node.get("required", ()))
        if "app" in known:  # an end is one thing, in one place
            chosen = {self.dice.choice(("app", *known))}
        elif chosen:
            chosen |= {"ports"} & known.keys() | {self.dice.choice(sorted(known))}
        else:
            chosen = {key for key in known if self.dice.randrange(4) == 0} | {"flows", "matchLabels"} & known.keys()
        made = {key: self.like(known[key], name=key) for key in sorted(chosen)}
        return made | ({self._odd_key(): self.anything()} if self.dice.randrange(self.odds) == 0 else {})

    def _at_the_border(self, node: Node, name: str) -> Any:
        if "enum" in node:
            return self.dice.choice(node["enum"]).lower()
        if node.get("x-kubernetes-int-or-string"):
            return self.dice.choice(_PORTS)
        if "maxLength" in node:
            return "a" * (node["maxLength"] + self.dice.choice((0, 1)))
        if "maxItems" in node:
            return [self._said(node["items"], name)] * self.dice.choice((0, node["maxItems"], node["maxItems"] + 1))
        if "maxProperties" in node:
            return {f"key-{number}": "x" for number in range(node["maxProperties"] + self.dice.choice((0, 1)))}
        if node.get("type") == "integer":
            return self.dice.choice((node.get("minimum", 0) - 1, node.get("minimum", 0), node.get("maximum", 100) + 1))
        return {} if "properties" in node else None

    def _key(self) -> str:
        return self._odd_key() if self.dice.randrange(self.odds) == 0 else self.dice.choice(_KEYS)

    def _odd_key(self) -> str:
        return self.dice.choice(_ODD_KEYS)


def _nested(depth: int, *, key: str) -> Any:
    value: Any = {}
    for _ in range(depth):
        value = {key: value} if key else [value]
    return value


def forged(node: Node, *, count: int, seed_: int) -> list[Any]:
    """``count`` values, always the same for one seed."""
    forge = Forge(random.Random(seed_))
    drawn = (forge.like(node) for _ in itertools.count())
    return list(itertools.islice((value for value in drawn if len(json.dumps(value)) < _MOST_BYTES), count))


@cache
def mutated(*, count: int, seed_: int) -> tuple[Any, ...]:
    """``count`` specs with one to three faults, as Hypothesis draws them for this seed."""
    found: dict[str, Any] = {}

    @seed(seed_)
    @settings(
        max_examples=2 * count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(wild_specs())
    def collect(spec: Any) -> None:
        found.setdefault(repr(spec), spec)

    collect()
    return tuple(found.values())[:count]
