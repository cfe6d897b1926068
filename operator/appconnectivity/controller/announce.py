"""Events are for people: one that can't be written is counted, and holds up nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from appconnectivity.cluster import errors
from appconnectivity.cluster.report import Reporter
from appconnectivity.controller.metrics import Metrics
from appconnectivity.core.findings import Finding

logger = logging.getLogger(__name__)

News = list[tuple[Finding, bool]]

# Of so many objects, at most, it is known what was told of them; the oldest go first.
_MOST = 1000


@dataclass
class Untold:
    """What is news of an object. Its status tells what was told already; where that can't be written, this does."""

    _told: dict[str, News] = field(default_factory=dict)

    def of(self, body: Mapping[str, Any], news: Iterable[tuple[Finding, bool]], *, is_written: bool) -> News:
        """Those of ``news`` (findings, each with whether it is a warning) that were not told by the last call."""
        found, uid = list(news), body["metadata"]["uid"]
        told = self._told.pop(uid, [])
        if not is_written:
            self._told[uid] = found
        if len(self._told) > _MOST:
            self._told.pop(next(iter(self._told)))
        return [each for each in found if each not in told]


async def announce(
    body: Mapping[str, Any], finding: Finding, *, warning: bool, reporter: Reporter, metrics: Metrics
) -> None:
    """Writes an Event about the object that ``body`` is. Raises nothing that the API server has to do with."""
    try:
        await reporter.event(body, finding, warning=warning)
    except errors.ClusterError as error:
        metrics.event_failures.inc()
        logger.warning("event for %s: %s", body["metadata"]["name"], error)
