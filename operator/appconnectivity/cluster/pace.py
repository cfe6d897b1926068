"""What kopf's own HTTP session needs to be a good guest: its watches spaced out, and its lists begun anew."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus

import aiohttp

# When a watch has ended kopf asks for the next one at once, and if that ends at once, too, a thousand times a second.
PAUSE_SECONDS = 1.0


class Pace:
    """A client's middleware: of requests for the same one begins in a second, save for the next page of a list.
    ``listed`` is called when the first page of a list, with which a watch begins, has been given."""

    def __init__(self, listed: Callable[[], None]) -> None:
        self._listed = listed
        self._free: dict[tuple[str, bool], float] = {}

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        if "continue" in request.url.query:
            return await _next_page(await handler(request))
        what = (request.url.path, "watch" in request.url.query)
        now = asyncio.get_running_loop().time()
        begins = max(now, self._free.get(what, now))
        self._free[what] = begins + PAUSE_SECONDS
        await asyncio.sleep(begins - now)
        if request.session.closed:  # there are new credentials: kopf takes them when it hears this
            raise RuntimeError("Session is closed")
        answer = await handler(request)
        if "limit" in request.url.query and answer.ok:
            self._listed()
        return answer


async def _next_page(answer: aiohttp.ClientResponse) -> aiohttp.ClientResponse:
    """Its token may have expired, or mean nothing to a server that was restored. kopf takes that for the end of all,
    but begins anew where an answer breaks off."""
    if answer.status in (HTTPStatus.GONE, HTTPStatus.BAD_REQUEST):
        answer.close()
        raise aiohttp.ClientPayloadError("the list has to begin anew")
    return answer
