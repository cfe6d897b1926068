"""The kinds that the operator touches, and where the API server keeps them."""

from __future__ import annotations

from dataclasses import dataclass

from appconnectivity.core import api, template


@dataclass(frozen=True)
class Kind:
    """A resource of the API: ``prefix`` is its group and version as a path."""

    prefix: str
    plural: str

    def path(self, *, namespace: str = "", name: str = "", subresource: str = "") -> str:
        parts = [self.prefix, *(("namespaces", namespace) if namespace else ()), self.plural, name, subresource]
        return "/".join(part for part in parts if part)


APP_CONNECTIVITY = Kind(f"/apis/{api.API_VERSION}", api.PLURAL)
TEMPLATE = Kind(f"/apis/{api.API_VERSION}", template.PLURAL)
NETWORK_POLICY = Kind("/apis/networking.k8s.io/v1", "networkpolicies")
NAMESPACE = Kind("/api/v1", "namespaces")
SERVICE = Kind("/api/v1", "services")
EVENT = Kind("/api/v1", "events")
ENDPOINT_SLICE = Kind("/apis/discovery.k8s.io/v1", "endpointslices")
DAEMON_SET = Kind("/apis/apps/v1", "daemonsets")
LEASE = Kind("/apis/coordination.k8s.io/v1", "leases")
