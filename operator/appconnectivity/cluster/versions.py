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

    def note(self, plural: str, body: Mapping[str, Any]) -> None:
        """Takes note of an object, or of a LIST."""
        version = (body.get("metadata") or {}).get("resourceVersion", "")
        if version.isdecimal():
            self._newest[plural] = max(self._newest.get(plural, 0), int(version))

    def newest(self, plural: str) -> str:
        """Empty where nothing has been heard of this kind."""
        return str(self._newest.get(plural, ""))

    def forget(self, plural: str) -> None:
        """The API server does not know this version: its store may have been put back to an older state."""
        self._newest.pop(plural, None)
