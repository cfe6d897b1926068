"""What the real API server says about an object, asked by dry run over one connection: hundreds of answers a second."""

from __future__ import annotations

from typing import Any

from cluster.controlplane import ControlPlane
from cluster.rest import Answer, Rest

_PATH = "/apis/appconnectivity.io/v1alpha1/namespaces/default/appconnectivities?dryRun=All&fieldValidation=Strict"


class Server:
    """Creates objects by dry run: nothing is ever kept, nobody sees them."""

    def __init__(self, plane: ControlPlane) -> None:
        self._rest = Rest(plane)

    def close(self) -> None:
        self._rest.close()

    def judge(self, spec: Any, *, name: str = "shop") -> Answer:
        """Accepts or refuses an object with this spec. Raises where the answer is neither."""
        answer = self.create({"metadata": {"name": name}, "spec": spec})
        assert answer.status in {201, 400, 422}, answer
        return answer

    def create(self, body: dict[str, Any], *, accept: str = "application/json") -> Answer:
        """Creates the object by dry run; unknown fields are faults, as with ``kubectl apply --validate=strict``."""
        whole = {"apiVersion": "appconnectivity.io/v1alpha1", "kind": "AppConnectivity"} | body
        return self._rest.ask("POST", _PATH, whole, accept=accept)
