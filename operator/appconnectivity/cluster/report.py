"""Telling people: the status of objects, and Events."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from appconnectivity.cluster import errors
from appconnectivity.cluster.client import Client
from appconnectivity.cluster.kinds import APP_CONNECTIVITY, EVENT, TEMPLATE
from appconnectivity.core import api, template
from appconnectivity.core.findings import Finding

_COMPONENT = "appconnectivity"
_MAX_NOTE = 1024

Body = Mapping[str, Any]


class Reporter:
    """Writes statuses and Events."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._instance = os.environ.get("HOSTNAME", _COMPONENT)

    async def status(self, body: Body, status: Mapping[str, Any]) -> dict[str, Any]:
        """Applies the whole status of the object that ``body`` is; returns the object after it.

        The uid makes it a conflict where another object of that name stands there by now.
        """
        identity = {key: body["metadata"][key] for key in ("name", "namespace", "uid") if key in body["metadata"]}
        kind = APP_CONNECTIVITY if "namespace" in identity else TEMPLATE
        whole = {"apiVersion": api.API_VERSION, "kind": _kind(body), "metadata": identity, "status": status}
        try:
            applied = await self._client.apply(kind, whole, force=True, subresource="status")
        except errors.Rejected:
            # Apply bears no object that is not of its schema's types, as one of an older CRD may be.
            applied = await self._client.patch(kind, whole, _replacing(whole), subresource="status")
        if applied.get("status") != status:  # nor does it take out what such a patch, or another manager, has put in
            applied = await self._client.patch(kind, whole, _replacing(whole), subresource="status")
        return applied

    async def event(self, body: Body, finding: Finding, *, warning: bool) -> None:
        """An Event about the object, as ``kubectl describe`` shows it; of what is in no namespace in ``default``."""
        metadata = body["metadata"]
        namespace = metadata.get("namespace", "")
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        await self._client.create(
            EVENT,
            {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"generateName": f"{metadata['name']}.", "namespace": namespace or "default"},
                "involvedObject": {
                    "apiVersion": api.API_VERSION,
                    "kind": _kind(body),
                    "name": metadata["name"],
                    "namespace": namespace,
                    "uid": metadata["uid"],
                },
                "type": "Warning" if warning else "Normal",
                "reason": finding.reason.value,
                "message": finding.message[:_MAX_NOTE],
                "source": {"component": _COMPONENT},
                "reportingComponent": _COMPONENT,
                "reportingInstance": self._instance,
                "firstTimestamp": now,
                "lastTimestamp": now,
                "count": 1,
            },
        )


def _replacing(body: Body) -> list[dict[str, Any]]:
    uid = {"op": "test", "path": "/metadata/uid", "value": body["metadata"]["uid"]}
    return [uid, {"op": "add", "path": "/status", "value": body["status"]}]


def _kind(body: Body) -> str:
    """Entries of a LIST do not say it themselves."""
    return api.KIND if "namespace" in body["metadata"] else template.KIND
