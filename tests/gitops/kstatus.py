"""The rules of kstatus (cli-utils, pkg/kstatus/status), by which Flux and others tell whether an object is done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def compute(body: Mapping[str, Any]) -> str:
    """Terminating, InProgress, Failed or Current, for an object of a kind that kstatus has no rules of its own for."""
    metadata, status = body["metadata"], body.get("status") or {}
    if metadata.get("deletionTimestamp"):
        return "Terminating"
    # An object that was never looked at has no observedGeneration, and that alone holds nothing up.
    if status.get("observedGeneration", metadata["generation"]) != metadata["generation"]:
        return "InProgress"
    conditions = status.get("conditions") or []
    return _abnormal(conditions) or _by_ready(conditions)


def _abnormal(conditions: list[Mapping[str, str]]) -> str | None:
    """Conditions that are there only while something is wrong or under way; the first in the list wins."""
    meanings = {("Reconciling", "True"): "InProgress", ("Stalled", "True"): "Failed"}
    found = (meanings.get((it["type"], it["status"])) for it in conditions)
    return next(filter(None, found), None)


def _by_ready(conditions: list[Mapping[str, str]]) -> str:
    """Without a condition Ready, kstatus takes an object for done."""
    ready = next((it["status"] for it in conditions if it["type"] == "Ready"), "True")
    return "Current" if ready == "True" else "InProgress"
