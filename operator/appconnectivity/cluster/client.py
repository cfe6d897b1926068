"""A narrow client over the official one: five verbs, plain dicts, a time limit and bounded retries on every call."""

from __future__ import annotations

import asyncio
import copy
import logging
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from kubernetes.aio import client as official

from appconnectivity.cluster import errors
from appconnectivity.cluster.answers import Retryable, failure, parsed
from appconnectivity.cluster.authorities import renewing
from appconnectivity.cluster.configuration import one_line
from appconnectivity.cluster.kinds import Kind
from appconnectivity.cluster.store import Store, version_of
from appconnectivity.cluster.versions import Versions
from appconnectivity.core.policy import FIELD_MANAGER

logger = logging.getLogger(__name__)

# One call may take this long in all; a black-holed server must not hold a namespace for minutes.
TIMEOUT = aiohttp.ClientTimeout(total=15, sock_connect=5)
PAGE_SIZE = 500
_ATTEMPTS = 4
_WRITES = ("patch", "create", "delete")
_APPLY = "application/apply-patch+yaml"
_JSON_PATCH = "application/json-patch+json"

Body = Mapping[str, Any]
RequestObserver = Callable[[str, str, int], None]


@dataclass(frozen=True)
class Connection:
    """How to reach the API server, for whoever opens connections of its own."""

    server: str
    ca_path: str | None
    token: str | None
    certificate_path: str | None
    private_key_path: str | None
    insecure: bool
    proxy: str | None


class _Gated(aiohttp.BytesPayload):
    """A body that asks for the right to be written when its first byte is to go, which raises where there is none.
    Headers wait for it."""

    def __init__(self, value: bytes, ask: Callable[[], None]) -> None:
        super().__init__(value)
        self._ask = ask

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        self._ask()
        await super().write_with_length(writer, content_length)


@dataclass(frozen=True)
class Listing:
    """All objects of a kind, and as of which version (0: nobody knows)."""

    store: Store
    version: int


class Client:
    """The API server. ``observer`` is told of each answer: verb, plural, HTTP status (0: none came).

    ``wrote`` is told of each object that was written, as it is then, or deleted, as of an event: plural, type, object.

    ``agent`` is what it calls itself, which the API server's audit log has. ``may_write`` is asked before each write,
    also when it is tried again, and once more when its first byte is to go (to have a connection may take as long as a
    standstill lasts): False makes it errors.Unavailable.
    """

    def __init__(
        self,
        configuration: Any,
        *,
        observer: RequestObserver = lambda *_: None,
        may_write: Callable[[], bool] = lambda: True,
        agent: str = "appconnectivity",
        in_flight: int = 32,
    ) -> None:
        self._configuration = copy.copy(configuration)
        try:
            self._api = official.ApiClient(self._configuration)
        except OSError as error:
            raise errors.Unavailable(f"the certificates of the kubeconfig can't be used: {error}") from error
        trusting = renewing(self._api.rest_client.ssl_context, configuration.ssl_ca_cert)
        self._configuration.client_session_kwargs = {  # read with the first request
            **configuration.client_session_kwargs,
            "middlewares": (self._gated, trusting),
        }
        self._observer = observer
        self._may_write = may_write
        self._agent = agent
        self.versions = Versions()
        self.wrote: Callable[[str, str, Body], None] = lambda *_: None
        self._slots = asyncio.Semaphore(in_flight)

    async def close(self) -> None:
        await self._api.close()

    async def connection(self) -> Connection:
        """The credentials as they are now; a service account's token is read again when it has been rotated."""
        try:
            header = (await self._headers()).get("authorization", "")
        except Retryable as error:
            raise errors.Unavailable(str(error)) from error
        return Connection(
            server=self._configuration.host,
            ca_path=self._configuration.ssl_ca_cert,
            token=header.split(" ", 1)[1] if header else None,
            certificate_path=self._configuration.cert_file,
            private_key_path=self._configuration.key_file,
            insecure=not self._configuration.verify_ssl,
            proxy=self._configuration.proxy,
        )

    async def _pages(self, kind: Kind, namespace: str, query: Mapping[str, str]) -> AsyncIterator[dict[str, Any]]:
        token = ""
        while True:
            more = {"continue": token} if token else {}
            page = await self._request("list", kind, kind.path(namespace=namespace), query={**query, **more})
            if not isinstance(page.get("items"), list):
                raise errors.Unavailable(f"list {kind.plural}: the answer is no list")
            yield page
            token = page.get("metadata", {}).get("continue")
            if not token:
                break
        if "resourceVersion" not in query:
            self.versions.settle(kind.plural)

    async def _items(self, kind: Kind, namespace: str, query: Mapping[str, str]) -> list[dict[str, Any]]:
        return [body async for page in self._pages(kind, namespace, query) for body in page["items"]]

    async def list(
        self, kind: Kind, *, namespace: str = "", label_selector: str = "", name: str = "", recent: bool = False
    ) -> list[dict[str, Any]]:
        """All of them, or an error: never a part.

        As they are now (resourceVersion unset); or, where ``recent`` is enough, not older than anything that was heard
        of this kind before, which the API server need not ask its store for.
        """
        query = {"labelSelector": label_selector} if label_selector else {}
        query |= {"fieldSelector": f"metadata.name={name}"} if name else {}
        if recent and (version := self.versions.newest(kind.plural)):
            bound = {"resourceVersion": version, "resourceVersionMatch": "NotOlderThan"}
            try:
                return await self._items(kind, namespace, query | bound)
            except errors.Unavailable:
                self.versions.doubt(kind.plural)
        return await self._items(kind, namespace, query | {"limit": str(PAGE_SIZE)})

    async def everything(self, kind: Kind, *, namespace: str = "", name: str = "") -> Listing:
        """As ``list`` as of now."""
        query = {"limit": str(PAGE_SIZE)} | ({"fieldSelector": f"metadata.name={name}"} if name else {})
        store, version = Store(), 0
        async for page in self._pages(kind, namespace, query):
            version = version_of(page)
            for body in page["items"]:
                store.put(body)
        return Listing(store, version)

    async def get(self, kind: Kind, *, name: str, namespace: str = "", recent: bool = False) -> dict[str, Any] | None:
        """The object, or None where the API server says that there is none; ``recent`` as in ``list``."""
        version = self.versions.newest(kind.plural) if recent else ""
        query = {"resourceVersion": version} if version else {}
        try:
            return await self._request("get", kind, kind.path(namespace=namespace, name=name), query=query)
        except (errors.NotFound, errors.NamespaceGone):  # the latter for a Namespace itself
            return None
        except errors.Unavailable:
            self.versions.doubt(kind.plural)
            raise

    async def apply(self, kind: Kind, body: Body, *, force: bool, subresource: str = "") -> dict[str, Any]:
        """Server-side apply with our field manager. Without ``force`` other managers' fields are a Conflict."""
        query = {"fieldManager": FIELD_MANAGER} | ({"force": "true"} if force else {})
        return await self._request(
            "patch", kind, _path_of(kind, body, subresource), query=query, body=body, content_type=_APPLY
        )

    async def patch(
        self,
        kind: Kind,
        body: Body,
        operations: Sequence[Mapping[str, Any]],
        *,
        if_unchanged: bool = False,
        subresource: str = "",
    ) -> dict[str, Any]:
        """A JSON patch (RFC 6902) of what ``body`` names; ``if_unchanged`` since it was read, else Conflict."""
        query = {"fieldManager": FIELD_MANAGER}
        if if_unchanged:  # a failed ``test`` would be taken for bad input; another version than the live one is not
            version = body["metadata"]["resourceVersion"]
            operations = [{"op": "replace", "path": "/metadata/resourceVersion", "value": version}, *operations]
        return await self._request(
            "patch", kind, _path_of(kind, body, subresource), query=query, body=operations, content_type=_JSON_PATCH
        )

    async def create(self, kind: Kind, body: Body) -> dict[str, Any]:
        namespace = body["metadata"]["namespace"]
        return await self._request("create", kind, kind.path(namespace=namespace), body=body)

    async def delete(self, kind: Kind, body: Body) -> None:
        """Deletes exactly the object that was read: another uid or resourceVersion is a Conflict. Gone is fine."""
        metadata = body["metadata"]
        preconditions = {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
        try:
            await self._request("delete", kind, _path_of(kind, body), body={"preconditions": preconditions})
        except errors.NotFound:
            return
        else:
            self.wrote(kind.plural, "DELETED", body)
        finally:
            self.versions.doubt(kind.plural)  # the answer has no version

    async def _request(
        self,
        verb: str,
        kind: Kind,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> dict[str, Any]:
        for attempt in range(_ATTEMPTS):
            try:
                async with self._slots:
                    if verb in _WRITES:
                        self._require_right(f"{verb} {path}")
                    answer = await self._once(verb, kind, path, query=query, body=body, content_type=content_type)
            except Retryable as error:
                if attempt == _ATTEMPTS - 1:
                    raise errors.Unavailable(f"{verb} {path}: {error}") from error
                await asyncio.sleep(max(error.retry_after, random.uniform(0, 0.2 * 2**attempt)))
            else:
                self.versions.note(kind.plural, answer)
                if verb in ("patch", "create"):
                    self.wrote(kind.plural, "MODIFIED", answer)
                return answer
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _require_right(self, what: str) -> None:
        if not self._may_write():
            raise errors.Unavailable(f"{what}: left to the replica that holds the Lease")

    async def _gated(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """aiohttp's middleware: each write has a body."""
        if isinstance(request.body, aiohttp.Payload):
            what = f"{request.method} {request.url.path}"
            await request.update_body(_Gated(await request.body.as_bytes(), lambda: self._require_right(what)))
        return await handler(request)

    async def _once(
        self, verb: str, kind: Kind, path: str, *, query: Mapping[str, str] | None, body: Any, content_type: str
    ) -> dict[str, Any]:
        method = {"list": "GET", "get": "GET", "patch": "PATCH", "create": "POST", "delete": "DELETE"}[verb]
        url = f"{self._configuration.host}{path}" + (f"?{urlencode(query)}" if query else "")
        headers = await self._headers()
        headers |= {"Content-Type": content_type, "Accept": "application/json", "User-Agent": self._agent}
        status = 0
        try:
            answer = await self._api.rest_client.request(
                method, url, headers=headers, body=body, _request_timeout=TIMEOUT
            )
            status, text = answer.status, await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Retryable(f"{type(error).__name__} {error}".strip()) from error
        finally:
            self._observer(verb, kind.plural, status)
        if status >= 400:
            raise failure(status, text, what=f"{verb} {path}", retry_after=answer.headers.get("Retry-After"))
        return parsed(text)

    async def _headers(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        try:
            await self._api.update_params_for_auth(headers, [], ["BearerToken"], "", "", None)
        except Exception as error:  # whatever the official client trips over in a token file that is being rotated
            raise Retryable(f"credentials can't be read: {one_line(error)}") from error
        return {name.lower(): value for name, value in headers.items()}


def _path_of(kind: Kind, body: Body, subresource: str = "") -> str:
    metadata = body["metadata"]
    return kind.path(namespace=metadata.get("namespace", ""), name=metadata["name"], subresource=subresource)
