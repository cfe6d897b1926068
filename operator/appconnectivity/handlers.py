"""The kopf edge: translates, decides nothing. Its watches trigger, and nobody believes them (docs/decisions/0001)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import kopf

from appconnectivity.cluster.authorities import renewing
from appconnectivity.cluster.client import PAGE_SIZE, Client, Connection
from appconnectivity.cluster.pace import Pace
from appconnectivity.core import api, template

Notice = Callable[[str, str | None, Mapping[str, Any]], None]

# A token that was refused once is not tried again by kopf unless it is a new one; so each is new after this time.
CREDENTIALS_LAST = timedelta(minutes=10)
# The API server ends a watch after the former; one that has not ended by the latter is dead.
WATCH_SECONDS, LATE_SECONDS = 110, 10

_WATCHED = (
    (api.GROUP, api.VERSION, api.PLURAL),
    (api.GROUP, api.VERSION, template.PLURAL),
    ("networking.k8s.io", "v1", "networkpolicies"),
    ("", "v1", "namespaces"),
    ("", "v1", "services"),
    ("discovery.k8s.io", "v1", "endpointslices"),
)


class _NothingKept(kopf.DiffBaseStorage):
    """No handler asks what an object was like before, for which kopf would copy every object that it hears of."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        return {}

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        return


def registry(*, notice: Notice, listed: Callable[[], None], client: Client) -> kopf.OperatorRegistry:
    """Handlers that pass every event on, and log in with our client's credentials. ``listed`` is called when
    the list with which a watch begins has been given."""
    made = kopf.OperatorRegistry()
    for group, version, plural in _WATCHED:
        kopf.on.event(group=group, version=version, plural=plural, registry=made, id=f"notice-{plural}")(
            _noticing(notice, plural)
        )

    pace = Pace(listed)

    @kopf.on.login(registry=made)
    async def login(**_: Any) -> kopf.AiohttpSession:
        found = await client.connection()
        return kopf.AiohttpSession(
            server=found.server,
            aiohttp_session=_session(found, pace),
            expiration=datetime.now(UTC) + CREDENTIALS_LAST,
        )

    return made


def _session(found: Connection, pace: Pace) -> aiohttp.ClientSession:
    """As kopf makes it of a ConnectionInfo, but with a pace, and with a CA that may be renewed."""
    info = kopf.ConnectionInfo(
        server=found.server,
        ca_path=found.ca_path,
        token=found.token,
        certificate_path=found.certificate_path,
        private_key_path=found.private_key_path,
        insecure=found.insecure,
    )
    context = info.as_ssl_context()
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=context),
        headers=info.as_http_headers(),
        proxy=found.proxy,
        middlewares=(pace, renewing(context, found.ca_path)),
    )


def settings() -> kopf.OperatorSettings:
    """kopf's settings, each against a trap that docs/decisions/0001 tells of."""
    made = kopf.OperatorSettings()
    made.peering.standalone = True
    made.persistence.finalizer = f"{api.GROUP}/never-used"  # else kopf strips other kopf operators' finalizers
    made.persistence.diffbase_storage = _NothingKept()
    made.posting.enabled = False
    made.watching.server_timeout = WATCH_SECONDS
    made.watching.client_timeout = WATCH_SECONDS + LATE_SECONDS
    made.watching.inactivity_timeout = 1e9  # its timer can cancel the watcher itself; client_timeout does its job
    made.watching.connect_timeout = 5
    made.watching.reconnect_backoff = 2.0
    made.watching.initial_streaming = False  # a stream that breaks at the start would lose objects
    made.watching.chunk_size = PAGE_SIZE
    made.networking.connect_timeout = 5
    made.networking.request_timeout = 30
    made.networking.error_backoffs = (1, 2, 4, 8, 15, 30)
    made.queueing.idle_timeout = 0.5  # one task per object for this long: less memory at the start, a quicker stop
    made.queueing.exit_timeout = 1.0
    made.process.ultimate_exiting_timeout = 8
    return made


def _noticing(notice: Notice, plural: str) -> Callable[..., Any]:
    async def handler(event: kopf.RawEvent, **_: Any) -> None:
        notice(plural, event["type"], event["object"])

    return handler
