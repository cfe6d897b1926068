"""A template of its own for one test, as the platform's team uses it: it selects namespaces by its own name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from cluster.controlplane import ControlPlane

if TYPE_CHECKING:
    from e2e.conftest import Team

KIND = "appconnectivitytemplate"


@dataclass(frozen=True)
class Platform:
    """Words to talk of one template and of the objects that it keeps."""

    plane: ControlPlane
    name: str

    @property
    def label(self) -> dict[str, str]:
        return {"baseline": self.name}

    def apply(self, *flows: dict[str, Any], check: bool = True, **more: Any) -> str:
        """Applies the template with these flows; returns what kubectl said."""
        header = {key: more.pop(key) for key in ("mode", "defaultDeny", "dns") if key in more}
        held: dict[str, Any] = {"spec": {**header, "flows": [*flows]}}
        spec: dict[str, Any] = {"namespaceSelector": {"matchLabels": self.label}, "template": held}
        body = {
            "apiVersion": "appconnectivity.io/v1alpha1",
            "kind": "AppConnectivityTemplate",
            "metadata": {"name": self.name},
            "spec": spec | more,
        }
        done = self.plane.kubectl("apply", "-f", "-", input=yaml.safe_dump(body), check=check)
        return done.stdout + done.stderr

    def body(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.plane.kubectl("get", KIND, self.name, "-o", "json").stdout)
        return found

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.body().get("status", {})
        return found

    def ready(self) -> dict[str, Any]:
        return next((c for c in self.status().get("conditions", []) if c["type"] == "Ready"), {})

    def reports(self, reason: str, **counts: int) -> dict[str, Any]:
        """The status, at one look, where it gives this reason and these counts for the present spec; else empty."""
        body = self.body()
        status: dict[str, Any] = body.get("status", {})
        reasons = [c["reason"] for c in status.get("conditions", []) if c["type"] == "Ready"]
        wanted = {"observedGeneration": body["metadata"]["generation"], **counts}
        return status if reasons == [reason] and wanted.items() <= status.items() else {}

    def wait_ready(self) -> None:
        self.plane.kubectl("wait", "--for=condition=Ready", f"{KIND}/{self.name}", "--timeout=15s")

    def delete(self, *options: str) -> None:
        self.plane.kubectl("delete", KIND, self.name, *options)

    def put_label(self, team: Team, value: str | None = None) -> None:
        text = f"baseline={self.name if value is None else value}"
        self.plane.kubectl("label", "namespace", team.namespace, text, "--overwrite")

    def take_label(self, team: Team) -> None:
        self.plane.kubectl("label", "namespace", team.namespace, "baseline-")

    def annotate(self, team: Team, text: str) -> None:
        self.plane.kubectl("annotate", "namespace", team.namespace, text, "--overwrite")

    def object(self, team: Team) -> dict[str, Any]:
        return team.get("appconn", self.name)

    def flows(self, team: Team) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.object(team).get("spec", {}).get("flows", [])
        return found
