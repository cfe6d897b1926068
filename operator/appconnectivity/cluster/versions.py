"""How new a read has to be: not older than anything that was heard of before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Versions:
    """The newest resourceVersion of each kind, by plural, that an event or an answer has told of.

    Those of one kind are numbers that can be compared (KEP-5504); where they are none, nothing is known.
    """

    _newest: dict[str, int] = field(default_factory=dict)
    _doubted: set[str] = field(default_factory=set)

    def note(self, plural: str, body: Mapping[str, Any]) -> None:
        """Takes note of an object, or of a LIST."""
        version = (body.get("metadata") or {}).get("resourceVersion", "")
        if version.isdecimal():
            self._newest[plural] = max(self._newest.get(plural, 0), int(version))

    def doubt(self, plural: str) -> None:
        """What was heard does not do before the next LIST as of now. Something was deleted, and nobody told at which
        version; or the API server does not know the version, since its store was put back to an older state."""
        self._newest.pop(plural, None)
        self._doubted.add(plural)

    def settle(self, plural: str) -> None:
        """A LIST as of now has been answered, of which a note was taken."""
        self._doubted.discard(plural)

    def newest(self, plural: str) -> str:
        """Empty where nothing is known, or what is known does not do."""
        return "" if plural in self._doubted else str(self._newest.get(plural, ""))
