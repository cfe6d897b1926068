"""What a pass tells: the status of each object that has changed, and Events of what is new in it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from appconnectivity.cluster import errors
from appconnectivity.cluster.report import Reporter
from appconnectivity.cluster.store import number
from appconnectivity.controller.announce import Untold, announce
from appconnectivity.controller.decision import Decision
from appconnectivity.controller.metrics import Metrics
from appconnectivity.controller.triggers import Triggers
from appconnectivity.core import api, changes, status
from appconnectivity.core.findings import Finding

logger = logging.getLogger(__name__)

Body = Mapping[str, Any]

# The resourceVersion of what stands after a status was written; ANOTHER where that is not the object that was judged,
# with this status, and None where it could not be written.
Version = int | None
ANOTHER = 0


@dataclass
class Teller:
    """``clock`` is UTC."""

    reporter: Reporter
    triggers: Triggers
    metrics: Metrics
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    _untold: Untold = field(default_factory=Untold)

    async def tell(self, decision: Decision, outcome: status.Outcome) -> dict[str, Version]:
        """Writes every status that has changed; returns what stands then, by the object's name."""
        changed = decision.changed(outcome, now=self.clock())
        written = await asyncio.gather(
            *(self._one(body, wanted) for body, wanted in changed),
            return_exceptions=True,  # no write may still be under way when the next pass begins
        )
        found = {}
        for (body, _), end in zip(changed, written, strict=True):
            if isinstance(end, BaseException):
                raise end
            found[body["metadata"]["name"]] = end
        return found

    async def unknown(self, body: Body, finding: Finding) -> None:
        """Says that the object can't be judged, and why."""
        wanted = status.unknown(body, finding, now=self.clock().strftime("%Y-%m-%dT%H:%M:%SZ"))
        if wanted != body.get("status"):
            await self.status(body, wanted)

    async def event(self, body: Body, finding: Finding, *, warning: bool) -> None:
        await announce(body, finding, warning=warning, reporter=self.reporter, metrics=self.metrics)

    async def status(self, body: Body, wanted: Mapping[str, Any]) -> Version:
        """Writes a status. Raises errors.Unavailable."""
        metadata = body["metadata"]
        try:
            applied = await self.reporter.status(body, wanted)
        except errors.NotFound:  # deleted meanwhile
            return ANOTHER
        except errors.Unavailable:
            raise
        except errors.ClusterError as error:
            self.metrics.errors.labels("StatusWrite").inc()
            logger.warning("status of %s/%s: %s", metadata["namespace"], metadata["name"], error)
            return ANOTHER if isinstance(error, errors.NamespaceGone) else None
        if applied["metadata"].get("generation") != metadata.get("generation"):
            return ANOTHER  # its event tells of a changed spec, too
        version = applied["metadata"]["resourceVersion"]
        self.triggers.expect(api.PLURAL, metadata["namespace"], metadata["name"], version)
        return number(version) if applied.get("status") == wanted else ANOTHER

    async def _one(self, body: Body, wanted: Mapping[str, Any]) -> Version:
        version = await self.status(body, wanted)
        news = changes.worth_telling(body.get("status") or {}, wanted)
        for finding, warning in self._untold.of(body, news, is_written=version is not None):
            await self.event(body, finding, warning=warning)
        return version
