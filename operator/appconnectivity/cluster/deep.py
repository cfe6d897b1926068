"""Reading JSON that is nested as deep as the API server bears it."""

from __future__ import annotations

import json
import json.scanner
import sys
from typing import Any

# The API server takes objects that are nested 10,000 deep: their managedFields, from anybody. Two calls a level.
_DEEPEST = 30_000


def read_deep() -> None:
    """From now on ``json.loads`` reads these, for kopf too, which such an object would end again and again.

    Since Python 3.12 the reader that is written in C has a limit of its own: what it gives up the other one reads.
    """
    sys.setrecursionlimit(_DEEPEST)
    decoder: Any = json._default_decoder  # type: ignore[attr-defined]
    fast, patient = decoder.scan_once, json.scanner.py_make_scanner(decoder)  # type: ignore[attr-defined]

    def scan_once(text: str, index: int) -> Any:
        try:
            return fast(text, index)
        except RecursionError:
            return patient(text, index)

    decoder.scan_once = scan_once
