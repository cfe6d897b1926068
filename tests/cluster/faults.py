"""A proxy between the operator and the API server that does what networks and servers do on bad days.

It knows nothing of objects: a rule names requests by verb and path, and says what becomes of them.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import ssl
import threading
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import yaml
from aiohttp import web

_HOP_BY_HOP = {"connection", "content-length", "host", "keep-alive", "transfer-encoding"}
_VERBS = {"POST": "create", "PATCH": "patch", "PUT": "update", "DELETE": "delete"}
_COLLECTION = re.compile(r"^(/api/v1|/apis/[^/]+/[^/]+)(/namespaces/[^/]+)?/[^/]+$")
WRITES = frozenset(_VERBS.values())


@dataclass(frozen=True)
class Asked:
    """One request: ``verb`` as the API server calls it, ``status`` of the answer that the operator got (0: none)."""

    at: float
    verb: str
    path: str
    query: Mapping[str, str]
    status: int = 0


@dataclass(frozen=True)
class Exchange:
    """A request that a rule has in its hands. ``forward`` asks the API server, with the query that is given."""

    request: web.Request
    forward: Callable[[Mapping[str, str]], Awaitable[aiohttp.ClientResponse]]

    async def answer(self) -> aiohttp.ClientResponse:
        return await self.forward(self.request.query)


Act = Callable[[Exchange], Awaitable[web.StreamResponse]]


@dataclass
class Rule:
    """What becomes of the requests that match: of the first ``times`` (None: of all, until the rule is dropped)."""

    act: Act
    verbs: frozenset[str]
    path: re.Pattern[str]
    query: re.Pattern[str]
    times: int | None = None
    hits: int = 0

    def takes(self, request: web.Request) -> bool:
        is_meant = self.path.search(request.path) and self.query.search(request.query_string)
        return _verb(request) in self.verbs and bool(is_meant) and (self.times is None or self.hits < self.times)


class FaultProxy:
    """Listening when constructed. ``kubeconfig`` is another's, by way of the proxy."""

    def __init__(self, upstream: str, *, certificate: tuple[Path, Path]) -> None:
        self._upstream = upstream
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(*map(str, certificate))
        self._rules: list[Rule] = []
        self._open: list[web.Request] = []
        self.log: list[Asked] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault proxy", daemon=True)
        self._thread.start()
        self.url = self._run(self._start())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def kubeconfig(self, original: Path) -> Path:
        """A copy of a kubeconfig that leads here."""
        config = yaml.safe_load(original.read_text())
        for entry in config["clusters"]:
            entry["cluster"]["server"] = self.url
        copy = original.with_suffix(".proxied")
        copy.write_text(yaml.safe_dump(config))
        copy.chmod(0o600)
        return copy

    def rule(self, act: Act, *verbs: str, path: str = "", query: str = "", times: int | None = None) -> Rule:
        """From now on; the newest rule that takes a request has it."""
        made = Rule(act, frozenset(verbs), re.compile(path), re.compile(query), times)
        self._rules.insert(0, made)
        return made

    def drop(self, *rules: Rule) -> None:
        """These rules take no more requests; what they have in their hands stays there, until it is cut."""
        for rule in rules:
            self._rules.remove(rule)

    def cut(self, verb: str, *, path: str = "") -> None:
        """Ends the connections of such requests as are under way."""

        async def cut() -> None:
            for request in self._open:
                if _verb(request) == verb and re.search(path, request.path):
                    _closed(request)

        self._run(cut())

    def show(self, certificate: tuple[Path, Path]) -> None:
        """Another certificate from now on. All connections that there are end."""

        async def show() -> None:
            self._context.load_cert_chain(*map(str, certificate))
            for connection in self._runner.server.connections if self._runner.server else ():
                connection.force_close()

        self._run(show())

    def writes(self, *, since: float = 0.0) -> list[Asked]:
        """What was asked for, whatever came of it; ``since`` is a time.monotonic()."""
        return [asked for asked in self.log if asked.verb in WRITES and asked.at >= since]

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _start(self) -> str:
        connector = aiohttp.TCPConnector(ssl=False, limit=0)  # loopback, and a test's own server
        self._session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None))
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._context).start()
        return f"https://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _stop(self) -> None:
        await self._runner.cleanup()
        await self._session.close()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        verb, began = _verb(request), time.monotonic()
        exchange = Exchange(request, self._forwarder(request))
        rule = next((rule for rule in self._rules if rule.takes(request)), None)
        status = 0
        self._open.append(request)
        try:
            if rule is not None:
                rule.hits += 1
            found = await (rule.act if rule is not None else passed)(exchange)
            status = found.status
            return found
        except aiohttp.ClientError:  # the API server is away
            return _closed(request)
        finally:
            self._open.remove(request)
            self.log.append(Asked(began, verb, request.path, dict(request.query), status))

    def _forwarder(self, request: web.Request) -> Callable[[Mapping[str, str]], Awaitable[aiohttp.ClientResponse]]:
        async def forward(query: Mapping[str, str]) -> aiohttp.ClientResponse:
            headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
            return await self._session.request(
                request.method,
                self._upstream + request.path,
                params=dict(query),
                data=await request.read() or None,
                headers=headers | {"Accept-Encoding": "identity"},
                skip_auto_headers=("Content-Type", "User-Agent"),
            )

        return forward


async def passed(exchange: Exchange) -> web.StreamResponse:
    """As if there were no proxy."""
    return await _relayed(exchange, lambda content: content.iter_any())


async def _relayed(
    exchange: Exchange, chunks: Callable[[aiohttp.StreamReader], AsyncIterable[bytes]]
) -> web.StreamResponse:
    """The answer, with such chunks as its text."""
    answer = await exchange.answer()
    try:
        headers = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP_BY_HOP}
        made = web.StreamResponse(status=answer.status, headers=headers)
        await made.prepare(exchange.request)
        with suppress(ConnectionError, aiohttp.ClientError):
            async for chunk in chunks(answer.content):
                await made.write(chunk)
    finally:
        answer.close()
    return made


def refused(status: int, message: str = "a fault", *, headers: Mapping[str, str] | None = None) -> Act:
    """Answered by an error; the API server hears nothing."""

    async def act(_: Exchange) -> web.StreamResponse:
        body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": status}
        return web.json_response(body, status=status, headers=headers)

    return act


def delayed(seconds: float, then: Act = passed) -> Act:
    async def act(exchange: Exchange) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return await then(exchange)

    return act


def late(seconds: float) -> Act:
    """The API server gets it so much later, whether or not anybody still waits for an answer, which never comes."""
    begun: list[asyncio.Task[None]] = []  # or nothing would hold on to them

    async def act(exchange: Exchange) -> web.StreamResponse:
        await exchange.request.read()

        async def forward() -> None:
            await asyncio.sleep(seconds)
            (await exchange.answer()).close()

        begun.append(asyncio.create_task(forward()))
        await asyncio.shield(begun[-1])
        return _closed(exchange.request)

    return act


def every(number: int, act: Act) -> Act:
    """The first request of every so many has this done to it; the others pass."""
    count = itertools.count()

    async def one(exchange: Exchange) -> web.StreamResponse:
        return await (passed if next(count) % number else act)(exchange)

    return one


async def closed(exchange: Exchange) -> web.StreamResponse:
    """The connection ends without an answer; the API server hears nothing."""
    return _closed(exchange.request)


async def lost(exchange: Exchange) -> web.StreamResponse:
    """The API server does what it was asked to do, and its answer gets lost."""
    answer = await exchange.answer()
    await answer.read()
    return _closed(exchange.request)


async def empty(exchange: Exchange) -> web.StreamResponse:
    """A LIST of nothing, with the version of the true one."""
    body = await (await exchange.answer()).json()
    return web.json_response(body | {"items": []})


async def partial(exchange: Exchange) -> web.StreamResponse:
    """A LIST without its last object, and with nothing that tells of it."""
    body = await (await exchange.answer()).json()
    return web.json_response(body | {"items": body["items"][:-1]})


def without(event_type: str) -> Act:
    """A watch that leaves out the events of a type."""

    async def others(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
        async for line in content:
            if json.loads(line)["type"] != event_type:
                yield line

    async def act(exchange: Exchange) -> web.StreamResponse:
        return await _relayed(exchange, others)

    return act


def cut_after(size: int) -> Act:
    """The answer breaks off after so many bytes."""

    async def act(exchange: Exchange) -> web.StreamResponse:
        text = await (await exchange.answer()).read()
        return await broken_off(text[:size])(exchange)

    return act


def broken_off(text: bytes) -> Act:
    """An answer that begins so, and breaks off."""

    async def act(exchange: Exchange) -> web.StreamResponse:
        made = web.StreamResponse(headers={"Content-Type": "application/json"})
        await made.prepare(exchange.request)
        await made.write(text)
        return _closed(exchange.request)

    return act


def answered(text: bytes) -> Act:
    """Answered by this; the API server hears nothing. A watch says it and ends."""

    async def act(_: Exchange) -> web.StreamResponse:
        return web.Response(body=text, content_type="application/json")

    return act


def error_event(code: int) -> bytes:
    """What a watch says when it can't go on."""
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "a fault", "code": code}
    return json.dumps({"type": "ERROR", "object": status}).encode() + b"\n"


async def held(exchange: Exchange) -> web.StreamResponse:
    """A stream that stays open and says nothing."""
    made = web.StreamResponse(headers={"Content-Type": "application/json"})
    await made.prepare(exchange.request)
    await asyncio.Event().wait()
    return made


def _closed(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=499)


def _verb(request: web.Request) -> str:
    if request.method != "GET":
        return _VERBS.get(request.method, request.method.lower())
    if request.query.get("watch") in ("true", "1"):
        return "watch"
    return "list" if _COLLECTION.match(request.path) else "get"
