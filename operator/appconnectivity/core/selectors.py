"""Label selectors as values: what they match, what implies what, and which can't meet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from appconnectivity.core import api


@dataclass(frozen=True, order=True)
class Requirement:
    """One demand on one label: operator In, NotIn, Exists or DoesNotExist (meta/v1)."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "In":
                return value in self.values
            case "NotIn":
                return value not in self.values
            case "Exists":
                return value is not None
            case _:
                return value is None

    def implies(self, other: Requirement) -> bool:
        """True where whatever meets this demand surely meets ``other``."""
        mine, theirs = set(self.values), set(other.values)
        match self.operator, other.operator:
            case "In", "In":
                return mine <= theirs
            case "In", "NotIn":
                return not mine & theirs
            case "In" | "Exists", "Exists":
                return True
            case "NotIn", "NotIn":
                return theirs <= mine
            case "DoesNotExist", "DoesNotExist" | "NotIn":
                return True
            case _:
                return False

    def excludes(self, other: Requirement) -> bool:
        """True where nothing can meet both demands."""
        mine, theirs = set(self.values), set(other.values)
        match self.operator, other.operator:
            case "In", "In":
                return not mine & theirs
            case "In", "NotIn":
                return mine <= theirs
            case "NotIn", "In":
                return theirs <= mine
            case "DoesNotExist", "In" | "Exists":
                return True
            case "In" | "Exists", "DoesNotExist":
                return True
            case _:
                return False


@dataclass(frozen=True, order=True)
class Selector:
    """A label selector; without requirements it matches everything."""

    requirements: tuple[Requirement, ...] = ()

    @classmethod
    def of_labels(cls, labels: Mapping[str, str]) -> Selector:
        return cls(tuple(sorted(Requirement(key, "In", (value,)) for key, value in labels.items())))

    @classmethod
    def of_api(cls, selector: api.LabelSelector) -> Selector:
        labels = [Requirement(key, "In", (value,)) for key, value in selector.match_labels.items()]
        others = [Requirement(r.key, r.operator, tuple(sorted(set(r.values)))) for r in selector.match_expressions]
        return cls(tuple(sorted({*labels, *others})))

    @classmethod
    def of_dict(cls, body: Mapping[str, Any]) -> Selector:
        """A selector of a live object, which the API server has already validated."""
        labels = [Requirement(key, "In", (value,)) for key, value in (body.get("matchLabels") or {}).items()]
        others = [
            Requirement(r["key"], r["operator"], tuple(sorted(r.get("values") or ())))
            for r in body.get("matchExpressions") or ()
        ]
        return cls(tuple(sorted({*labels, *others})))

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(requirement.matches(labels) for requirement in self.requirements)

    def implies(self, other: Selector) -> bool:
        """True where every set of labels matched by this one is surely matched by ``other``.

        May say False for equal sets that are spelled in very different ways, never True for unequal ones.
        """
        return all(any(mine.implies(theirs) for mine in self._at(theirs.key)) for theirs in other.requirements)

    def disjoint(self, other: Selector) -> bool:
        """True where no set of labels can be matched by both. May say False where it can't tell."""
        return any(mine.excludes(theirs) for theirs in other.requirements for mine in self._at(theirs.key))

    def to_dict(self) -> dict[str, Any]:
        """The selector as NetworkPolicy writes it, plain equalities as matchLabels."""
        body: dict[str, Any] = {}
        labels = {r.key: r.values[0] for r in self.requirements if _is_plain(r)}
        if len(labels) == len(self.requirements):
            return {"matchLabels": labels} if labels else body
        # Two different values for one key can't share a map: they stay expressions (and match nothing).
        others = [r for r in self.requirements if not _is_plain(r) or labels[r.key] != r.values[0]]
        if labels:
            body["matchLabels"] = labels
        if others:
            body["matchExpressions"] = [_expression(r) for r in others]
        return body

    def __str__(self) -> str:
        return ", ".join(map(_in_words, self.requirements)) or "any label"

    def _at(self, key: str) -> list[Requirement]:
        return [requirement for requirement in self.requirements if requirement.key == key]


EVERYTHING = Selector()


def namespace_named(name: str) -> Selector:
    """The one selector of a namespace that its owner can't forge (set by the API server since 1.22)."""
    return Selector.of_labels({api.NAMESPACE_NAME_LABEL: name})


def _is_plain(requirement: Requirement) -> bool:
    return requirement.operator == "In" and len(requirement.values) == 1


def _expression(requirement: Requirement) -> dict[str, Any]:
    body: dict[str, Any] = {"key": requirement.key, "operator": requirement.operator}
    return body | {"values": list(requirement.values)} if requirement.values else body


def _in_words(requirement: Requirement) -> str:
    if _is_plain(requirement):
        return f"{requirement.key}={requirement.values[0]}"
    values = f" ({', '.join(requirement.values)})" if requirement.values else ""
    return f"{requirement.key} {requirement.operator}{values}"
