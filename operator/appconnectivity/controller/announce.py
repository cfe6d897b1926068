"""Events are for people: one that can't be written is counted, and holds up nothing."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from appconnectivity.cluster import errors
from appconnectivity.cluster.report import Reporter
from appconnectivity.controller.metrics import Metrics
from appconnectivity.core.findings import Finding

logger = logging.getLogger(__name__)


async def announce(
    body: Mapping[str, Any], finding: Finding, *, warning: bool, reporter: Reporter, metrics: Metrics
) -> None:
    """Writes an Event about the object that ``body`` is. Raises nothing that the API server has to do with."""
    try:
        await reporter.event(body, finding, warning=warning)
    except errors.ClusterError as error:
        metrics.event_failures.inc()
        logger.warning("event for %s: %s", body["metadata"]["name"], error)
