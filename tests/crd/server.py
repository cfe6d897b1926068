"""What the real API server says about an object, asked by dry run over one connection: hundreds of answers a second."""

from __future__ import annotations

import http.client
import json
import ssl
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from cluster.controlplane import ControlPlane

_PATH = "/apis/appconnectivity.io/v1alpha1/namespaces/default/appconnectivities?dryRun=All&fieldValidation=Strict"


@dataclass(frozen=True)
class Answer:
    """The API server's answer to a create."""

    status: int
    body: dict[str, Any]

    @property
    def is_accepted(self) -> bool:
        return self.status == http.client.CREATED

    @property
    def message(self) -> str:
        return str(self.body.get("message", ""))


class Server:
    """Creates objects by dry run: nothing is ever kept, nobody sees them."""

    def __init__(self, plane: ControlPlane) -> None:
        context = ssl.create_default_context(cafile=str(plane.ca_file))
        context.load_cert_chain(plane.admin_cert, plane.admin_key)
        self._connection = http.client.HTTPSConnection(urlsplit(plane.url).netloc, context=context, timeout=30)

    def close(self) -> None:
        self._connection.close()

    def judge(self, spec: Any, *, name: str = "shop") -> Answer:
        """Accepts or refuses an object with this spec. Raises where the answer is neither."""
        answer = self.create({"metadata": {"name": name}, "spec": spec})
        assert answer.status in {201, 400, 422}, answer
        return answer

    def create(self, body: dict[str, Any], *, accept: str = "application/json") -> Answer:
        """Creates the object by dry run; unknown fields are faults, as with ``kubectl apply --validate=strict``."""
        whole = {"apiVersion": "appconnectivity.io/v1alpha1", "kind": "AppConnectivity"} | body
        headers = {"Content-Type": "application/json", "Accept": accept}
        self._connection.request("POST", _PATH, body=json.dumps(whole), headers=headers)
        response = self._connection.getresponse()
        return Answer(status=response.status, body=json.loads(response.read()))
