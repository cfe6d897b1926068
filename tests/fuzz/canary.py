"""A namespace of somebody who has nothing to do with it all: its object is changed again and again, to become Ready."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

from appconnectivity.cluster.kinds import APP_CONNECTIVITY
from appconnectivity.core.status import condition
from cluster.controlplane import ControlPlane
from cluster.rest import APPLY, Answer, Rest
from e2e.conftest import appconn, eventually, flow

NAMESPACE = "canary"
# What one namespace may delay another at the most.
MOST_SECONDS = 5.0
_WITHIN_SECONDS = 60.0
_FIRST = 3
_PATH = APP_CONNECTIVITY.path(namespace=NAMESPACE, name="canary")


class Canary:
    """Changes its object until the context is left. ``alone`` is how long a change takes before all else happens."""

    def __init__(self, plane: ControlPlane) -> None:
        self._rest = Rest(plane)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="canary", daemon=True)
        self.seconds: list[float] = []

    def __enter__(self) -> Self:
        self._thread.start()
        self._await(_FIRST)
        self.alone = max(self.seconds)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._over.set()
        self._thread.join()
        self._rest.close()

    def is_well(self) -> None:
        """Another change is served, and each one was in time."""
        self._await(len(self.seconds) + 2)
        assert max(self.seconds) - self.alone < MOST_SECONDS, (self.alone, self.seconds)

    def _await(self, count: int) -> None:
        eventually(lambda: len(self.seconds) >= count, within=_WITHIN_SECONDS, what="the canary is served")

    def _run(self) -> None:
        while not self._over.is_set():
            start = time.monotonic()
            self._change(1000 + len(self.seconds))
            self.seconds.append(time.monotonic() - start)
            self._over.wait(0.1)

    def _change(self, port: int) -> None:
        body = appconn("canary", flow("frontend", "api", port))
        made = self._rest.ask("PATCH", f"{_PATH}?fieldManager=kubectl&force=true", body, content_type=APPLY)
        assert made.is_accepted, made
        while not self._over.is_set() and not _is_ready(self._rest.ask("GET", _PATH), made):
            time.sleep(0.02)


def _is_ready(found: Answer, made: Answer) -> bool:
    ready = condition(found.body.get("status", {}), "Ready")
    is_current = ready.get("observedGeneration", 0) >= made.body["metadata"]["generation"]
    return bool(is_current and ready["status"] == "True")
