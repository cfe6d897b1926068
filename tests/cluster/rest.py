"""The API server over one connection, as its administrator: any body that can be written down, and its very answer.

Unlike other clients it looks at nothing that it sends.
"""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from appconnectivity.cluster.kinds import Kind

if TYPE_CHECKING:
    from cluster.controlplane import ControlPlane

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
MANAGER = "kubectl"
_AGAIN_SECONDS = 0.1


@dataclass(frozen=True)
class Answer:
    """The API server's answer."""

    status: int
    body: dict[str, Any]

    @property
    def is_accepted(self) -> bool:
        return self.status in (http.client.OK, http.client.CREATED)

    @property
    def message(self) -> str:
        return str(self.body.get("message", ""))


def connect(plane: ControlPlane, *, timeout: float) -> http.client.HTTPSConnection:
    """As its administrator; the connection is made with the first request. ``timeout`` is in seconds."""
    context = ssl.create_default_context(cafile=str(plane.ca_file))
    context.load_cert_chain(plane.admin_cert, plane.admin_key)
    return http.client.HTTPSConnection(urlsplit(plane.url).netloc, context=context, timeout=timeout)


class Rest:
    """Connects with the first request."""

    def __init__(self, plane: ControlPlane) -> None:
        self._connection = connect(plane, timeout=30)
        self._lock = Lock()

    def close(self) -> None:
        self._connection.close()

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> Answer:
        """Whatever the API server says, refusals too; but where it says to ask again later, so is done."""
        text = body if isinstance(body, str) or body is None else json.dumps(body)
        headers = {"Content-Type": content_type, "Accept": accept}
        while True:
            with self._lock:
                answer = self._once(method, path, text, headers)
            if answer.status != http.client.TOO_MANY_REQUESTS:
                return answer
            time.sleep(_AGAIN_SECONDS)

    def _once(self, method: str, path: str, text: str | None, headers: dict[str, str]) -> Answer:
        try:
            self._connection.request(method, path, body=text, headers=headers)
            response = self._connection.getresponse()
            return Answer(status=response.status, body=json.loads(response.read()))
        except (OSError, http.client.HTTPException):
            self._connection.close()  # or the next one would wait for this one's answer
            raise

    @contextmanager
    def watching(self, path: str) -> Iterator[None]:
        """Ends when the API server ends a watch that was begun before; it can be asked for nothing else meanwhile."""
        self._connection.request("GET", f"{path}?watch=true")
        response = self._connection.getresponse()
        yield
        response.read()

    def apply(self, kind: Kind, body: Any) -> Answer:
        """Server-side apply, by force, as kubectl's field manager."""
        metadata = body["metadata"]
        path = kind.path(namespace=metadata.get("namespace", ""), name=metadata["name"])
        return self.ask("PATCH", f"{path}?fieldManager={MANAGER}&force=true", body, content_type=APPLY)

    def merge(self, kind: Kind, body: Any, *, namespace: str = "", name: str) -> Answer:
        path = kind.path(namespace=namespace, name=name)
        return self.ask("PATCH", f"{path}?fieldManager={MANAGER}", body, content_type=MERGE)

    def delete(self, kind: Kind, *, namespace: str = "", name: str) -> Answer:
        return self.ask("DELETE", kind.path(namespace=namespace, name=name))

    def get(self, kind: Kind, *, namespace: str = "", name: str) -> dict[str, Any]:
        """The object; empty where there is none. Raises where the API server does not tell."""
        answer = self._look(kind.path(namespace=namespace, name=name))
        return {} if answer.status == http.client.NOT_FOUND else self._body(answer)

    def list(self, kind: Kind, *, namespace: str = "") -> list[dict[str, Any]]:
        """All of a kind, of one namespace or of all, each with its type. Raises where the API server does not tell."""
        found = self._body(self._look(kind.path(namespace=namespace)))
        which = {"apiVersion": found["apiVersion"], "kind": found["kind"].removesuffix("List")}
        return [which | body for body in found["items"]]

    def _look(self, path: str) -> Answer:
        """Once more where the connection was of an API server that is gone."""
        try:
            return self.ask("GET", path)
        except ConnectionError:
            return self.ask("GET", path)

    @staticmethod
    def _body(answer: Answer) -> dict[str, Any]:
        if not answer.is_accepted:
            raise RuntimeError(f"{answer.status} {answer.message}")
        return answer.body
