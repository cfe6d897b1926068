"""The API server as an administrator uses it, from within this process: kubectl takes a tenth of a second a call.

Where a test is about what users do, it runs kubectl.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kubernetes import config
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import NotFoundError
from kubernetes.dynamic.resource import Resource

Body = Mapping[str, Any]

_MANAGER = "kubectl"


class Administrator:
    """Connects with a kubeconfig; ``cache`` is a file that may hold what is found out about kinds."""

    def __init__(self, kubeconfig: Path, *, cache: Path) -> None:
        self._client = DynamicClient(config.new_client_from_config(str(kubeconfig)), cache_file=str(cache))

    def apply(self, body: Body, *, subresource: str = "") -> None:
        """Server-side apply, by force, as kubectl's field manager."""
        kind = self._kind(body["apiVersion"], body["kind"])
        target = kind.subresources[subresource] if subresource else kind
        metadata = body["metadata"]
        target.server_side_apply(
            body=body,
            name=metadata["name"],
            namespace=metadata.get("namespace"),
            field_manager=_MANAGER,
            force_conflicts=True,
        )

    def list(self, api_version: str, kind: str, *, namespace: str | None = None) -> list[dict[str, Any]]:
        """All of a kind, of one namespace or of all."""
        found = self._kind(api_version, kind).get(namespace=namespace).to_dict()["items"]
        return [{"apiVersion": api_version, "kind": kind, **body} for body in found]

    def get(self, api_version: str, kind: str, *, name: str, namespace: str) -> dict[str, Any]:
        found: dict[str, Any] = self._kind(api_version, kind).get(name=name, namespace=namespace).to_dict()
        return found

    def delete(self, api_version: str, kind: str, *, name: str, namespace: str | None = None) -> None:
        """At once, without a pod's time to say good-bye; gone is fine."""
        try:
            self._kind(api_version, kind).delete(name=name, namespace=namespace, body={"gracePeriodSeconds": 0})
        except NotFoundError:
            return

    def _kind(self, api_version: str, kind: str) -> Resource:
        return self._client.resources.get(api_version=api_version, kind=kind)
