"""Whom we trust to be the API server: a file of CAs, which is renewed while we run."""

from __future__ import annotations

import logging
import ssl

import aiohttp

logger = logging.getLogger(__name__)


def read_again(context: ssl.SSLContext, file: str | None) -> None:
    """Trusts those, too, whom the file names by now. Whom it named before is trusted until the process ends."""
    if file is None:
        return
    try:
        context.load_verify_locations(file)
    except OSError as error:  # half written, say (ssl.SSLError is one)
        logger.warning("the CA of the API server could not be read again: %s", error)


def renewing(context: ssl.SSLContext, file: str | None) -> aiohttp.ClientMiddlewareType:
    """A client's middleware: after a server that is not trusted the file is read again, for the next request."""

    async def middleware(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        try:
            return await handler(request)
        except aiohttp.ClientConnectorCertificateError:
            read_again(context, file)
            raise

    return middleware
