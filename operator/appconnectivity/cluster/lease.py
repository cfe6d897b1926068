"""The Lease: of several replicas only the one that holds it writes (coordination.k8s.io/v1, as client-go elects).

Times are measured by this replica's own clock, from what it sees: clocks of different machines are never compared.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from appconnectivity.cluster import errors
from appconnectivity.cluster.client import Client
from appconnectivity.cluster.kinds import LEASE

logger = logging.getLogger(__name__)

# As kube-controller-manager has them: a Lease that has not changed for so many seconds may be taken; its holder gives
# up after fewer; and all try again after a few.
LEASE_SECONDS, RENEW_SECONDS, RETRY_SECONDS = 15.0, 10.0, 2.0
_CALL_SECONDS = 4.0

Body = Mapping[str, Any]


@dataclass
class Lease:
    """One replica's part in the election. ``clock`` tells seconds and never goes back."""

    client: Client
    namespace: str
    name: str
    identity: str
    clock: Callable[[], float]
    _held_until: float = float("-inf")
    _answered: float = float("-inf")
    _version: str | None = None
    _unchanged_since: float = float("inf")

    @property
    def is_held(self) -> bool:
        """False as soon as its holder should have given up: well before another replica may take it."""
        return self.clock() < self._held_until

    @property
    def is_answered(self) -> bool:
        """True where an attempt has lately been answered: held, or another's."""
        return self.clock() - self._answered < LEASE_SECONDS

    async def acquire(self) -> None:
        """Until this replica holds the Lease."""
        while not await self._attempt():  # noqa: ASYNC110 - it is another replica that is waited for
            await asyncio.sleep(RETRY_SECONDS)

    async def lost(self) -> None:
        """Renews the Lease until it is not held any more."""
        while self.is_held:
            await asyncio.sleep(RETRY_SECONDS)
            await self._attempt()

    async def release(self) -> None:
        """Leaves the Lease, if it is ours, to whoever asks next; also where we have not heard that it is."""
        self._held_until = float("-inf")
        await self._in_time(self._leave)

    async def _attempt(self) -> bool:
        """Takes or renews the Lease; False where that is another's right, or could not be done."""
        sent = self.clock()  # others count from when they see the renewal, which is later
        is_ours = await self._in_time(self._take)
        if is_ours:
            self._held_until = sent + RENEW_SECONDS
        return is_ours

    async def _take(self) -> bool:
        body = await self.client.get(LEASE, namespace=self.namespace, name=self.name)
        is_free = self._is_free(body)
        if not is_free:
            self._held_until = float("-inf")
        elif body is None:
            await self._create()
        else:
            await self._write(body, holder=self.identity)
        self._answered = self.clock()
        return is_free

    def _is_free(self, body: Body | None) -> bool:
        """At first there is none. One that is gone later may be held still, by whom has not noticed it."""
        is_first = self._version is None
        version = str(body["metadata"]["resourceVersion"]) if body else ""
        if version != self._version:
            self._version, self._unchanged_since = version, self.clock()
        is_ours = _holder(body) in ("", self.identity) if body else is_first or self.is_held
        return is_ours or self.clock() - self._unchanged_since >= LEASE_SECONDS

    async def _leave(self) -> bool:
        body = await self.client.get(LEASE, namespace=self.namespace, name=self.name)
        if body is not None and _holder(body) == self.identity:
            await self._write(body, holder="")
        return True

    async def _create(self) -> None:
        metadata = {"namespace": self.namespace, "name": self.name}
        spec = self._spec({}, holder=self.identity)
        await self.client.create(
            LEASE, {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
        )

    async def _write(self, body: Body, *, holder: str) -> None:
        """Raises errors.Conflict where somebody has written it since it was read."""
        spec = self._spec(body.get("spec") or {}, holder=holder)
        await self.client.patch(LEASE, body, [{"op": "add", "path": "/spec", "value": spec}], if_unchanged=True)

    def _spec(self, before: Body, *, holder: str) -> dict[str, Any]:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        stays = before.get("holderIdentity") == holder
        return {
            "holderIdentity": holder,
            "leaseDurationSeconds": int(LEASE_SECONDS) if holder else 1,
            "acquireTime": before.get("acquireTime", now) if stays else now,
            "renewTime": now,
            "leaseTransitions": before.get("leaseTransitions", 0) + bool(before and holder and not stays),
        }

    async def _in_time(self, act: Callable[[], Any]) -> bool:
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                return bool(await act())
        except (errors.ClusterError, TimeoutError) as error:
            logger.warning("Lease %s/%s: %s", self.namespace, self.name, error or "no answer")
            return False


def _holder(body: Body) -> str:
    return str((body.get("spec") or {}).get("holderIdentity") or "")
