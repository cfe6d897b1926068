"""What stood between the first and the last moment of a fault, told by watches of one's own that no fault meets: a
declared flow must not have been cut by the operator, nor anything opened that was never declared.

Of flows within a namespace; those to Services or to other namespaces depend on more than is looked at here.
"""

from __future__ import annotations

import http.client
import json
import math
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from appconnectivity.cluster.kinds import APP_CONNECTIVITY, NETWORK_POLICY, Kind
from appconnectivity.core import naming
from appconnectivity.core.policy import is_as_written, is_ours
from builders import compile_, facts
from cluster.controlplane import ControlPlane
from cluster.faults import Asked
from cluster.rest import connect

Body = dict[str, Any]

# An event may come so much later here than at the operator, or the other way round.
LATE_SECONDS = 1.0
_AGAIN_SECONDS = 0.2
# The API server is away, or has ended in the middle of a line.
_BROKEN_OFF = (OSError, http.client.HTTPException, ValueError)


@dataclass(frozen=True)
class Seen:
    """An event of a watch; ``at`` is a time.monotonic()."""

    at: float
    is_end: bool
    body: Body


def standing(told: Iterable[Seen], *, at: float = math.inf) -> list[Body]:
    """What there is by what was told until that moment, each as it was told of last."""
    last = {one.body["metadata"]["name"]: one for one in told if one.at <= at}
    return [one.body for one in last.values() if not one.is_end]


def missed(told: Iterable[Seen], there: Iterable[Body], *, at: float) -> list[Seen]:
    """What a list tells to who has heard no more since."""
    present = {body["metadata"]["name"]: body for body in there}
    gone = [body for body in standing(told) if body["metadata"]["name"] not in present]
    return [
        *(Seen(at, True, body) for body in gone),
        *(Seen(at, "deletionTimestamp" in body["metadata"], body) for body in present.values()),
    ]


@dataclass(frozen=True)
class Story:
    """What became of a namespace's objects and policies, in the order in which it was told."""

    namespace: str
    objects: list[Seen] = field(default_factory=list)
    policies: list[Seen] = field(default_factory=list)

    def wrongs(self, asked: Iterable[Asked]) -> list[str]:
        """What should not have been, given all that the operator has asked for."""
        gone = [each for each in asked if each.verb == "delete" and each.status == http.client.OK]
        return [*self._cut(gone), *self._opened()]

    def _cut(self, gone: Iterable[Asked]) -> Iterator[str]:
        place = NETWORK_POLICY.path(namespace=self.namespace) + "/"
        for asked in gone:
            name = asked.path.removeprefix(place)
            objects = standing(self.objects, at=asked.at + LATE_SECONDS)
            if asked.path.startswith(place) and name in self._declared(objects):
                yield f"the operator has deleted {name}, which was declared"

    def _opened(self) -> Iterator[str]:
        for seen in self.policies:
            name, spec = seen.body["metadata"]["name"], seen.body["spec"]
            versions = [one.body for one in self.objects if one.at <= seen.at + LATE_SECONDS]
            if _is_a_flow_of_ours(seen.body) and not any(self._declared([body]).get(name) == spec for body in versions):
                yield f"{name} said what nobody had declared: {spec}"

    def _declared(self, objects: list[Body]) -> Mapping[str, Any]:
        """What each policy should say."""
        known = facts(namespace=self.namespace)
        return {policy.name: policy.spec for policy in compile_(*objects, facts=known).policies}


class Between:
    """Watches one namespace, from when it is made until ``close``; also while the API server is away meanwhile."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self._plane, self.story = plane, Story(namespace)
        self._is_over = threading.Event()
        self._connections: dict[Kind, http.client.HTTPSConnection] = {}
        told = ((APP_CONNECTIVITY, self.story.objects), (NETWORK_POLICY, self.story.policies))
        self._threads = [threading.Thread(target=self._watch, args=each, daemon=True) for each in told]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        self._is_over.set()
        for connection in self._connections.values():
            if connection.sock is not None:
                with suppress(OSError):  # it has ended by itself
                    connection.sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _watch(self, kind: Kind, told: list[Seen]) -> None:
        while not self._is_over.is_set():
            with suppress(*_BROKEN_OFF):
                self._listen(kind, told)
            self._is_over.wait(_AGAIN_SECONDS)

    def _listen(self, kind: Kind, told: list[Seen]) -> None:
        """Until the watch ends. What there is already comes first, and what has gone since the one before."""
        path = kind.path(namespace=self.story.namespace)
        connection = self._connections[kind] = connect(self._plane, timeout=300)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            found = json.loads(response.read())
            if response.status != http.client.OK:
                raise http.client.HTTPException(found)
            told += missed(told, found["items"], at=time.monotonic())
            since = found["metadata"]["resourceVersion"]
            connection.request("GET", f"{path}?watch=true&timeoutSeconds=300&resourceVersion={since}")
            for line in connection.getresponse():
                event = json.loads(line)
                if event.get("type") in ("ADDED", "MODIFIED", "DELETED"):  # and no refusal
                    is_end = event["type"] == "DELETED" or "deletionTimestamp" in event["object"]["metadata"]
                    told.append(Seen(time.monotonic(), is_end, event["object"]))
        finally:
            connection.close()


def _is_a_flow_of_ours(body: Body) -> bool:
    """As the operator has written it: what somebody has edited is to be put back, and says so by its mark."""
    mark = (body["metadata"].get("annotations") or {}).get(naming.FINGERPRINT_ANNOTATION, "")
    return bool(mark) and is_ours(body) and is_as_written(body, fingerprint=naming.flow_of(mark))
