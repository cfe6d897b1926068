"""What the operator writes, as the API server's audit log has it: read on from where the last look ended."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from cluster.operator import USER

_WRITES = ("create", "update", "patch", "delete", "deletecollection")


@dataclass
class Audit:
    """``log`` is renamed and begun anew when it gets long; what was in the end of the old one is then passed over."""

    log: Path
    _at: int = 0

    def writes(self) -> list[str]:
        """The operator's writes since this was asked last."""
        with self.log.open("rb") as lines:
            self._at = lines.seek(self._at if self._at <= self.log.stat().st_size else 0)
            whole, _, _ = lines.read().rpartition(b"\n")
        self._at += len(whole)
        events = [json.loads(line) for line in whole.splitlines() if USER.encode() in line]
        return [
            f"{event['verb']} {event['requestURI']}"
            for event in events
            if event["verb"] in _WRITES and event["user"]["username"] == USER
        ]
