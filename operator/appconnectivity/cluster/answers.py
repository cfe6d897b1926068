"""What the API server's answers mean: an object, an error, or a reason to ask again."""

from __future__ import annotations

import json
from typing import Any

import orjson

from appconnectivity.cluster import errors
from appconnectivity.core import api

_LONGEST_RETRY_AFTER = 5.0
# In a Status; where not even the kind's group is known there is none.
_NO_SUCH_KIND = "the server could not find the requested resource"
# Server-side apply says so, with a 500, of a live object that its schema would not take; asking again mends nothing.
_UNTYPED = "failed to create typed live object"


class Retryable(Exception):
    """Worth another try at once; becomes Unavailable when the tries are used up."""

    def __init__(self, message: str, *, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


def parsed(text: bytes) -> dict[str, Any]:
    """The object; empty for what is none. Raises Retryable for a part of one."""
    try:
        found = _read(text)
    except (ValueError, RecursionError) as error:
        raise Retryable(f"the answer is cut off or no JSON: {error}") from error
    return found if isinstance(found, dict) else {}


def _read(text: bytes) -> Any:
    """By the faster reader; it takes nothing nested deeper than 1024 levels, which anybody's managedFields may be."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)


def failure(status: int, text: bytes, *, what: str, retry_after: str | None) -> Exception:
    """The error for an answer; text that is no Status object stays out of messages and logs."""
    message, causes = _status_object(text)
    said = f"{what}: {status} {message}".strip()
    if status == 404 and message in ("", _NO_SUCH_KIND) and f"/{api.GROUP}/" in what:
        said += " (are the CRDs installed? kubectl apply --server-side -k manifests/base)"
    if "ResourceVersionTooLarge" in causes:  # it has waited for that version itself
        return errors.Unavailable(said)
    if status == 429 or (status >= 500 and _UNTYPED not in message):
        seconds = float(retry_after) if retry_after and retry_after.isdigit() else 0.0
        return Retryable(said, retry_after=min(seconds, _LONGEST_RETRY_AFTER))
    if "NamespaceTerminating" in causes or (status == 404 and message.startswith("namespaces ")):
        return errors.NamespaceGone(said)
    if status == 404 and message in ("", _NO_SUCH_KIND):  # of somebody who knows nothing of such objects
        return errors.Unavailable(said)
    if status == 410:  # an expired continue token: the list begins anew with the next pass
        return errors.Unavailable(said)
    kinds: dict[int, type[errors.ClusterError]] = {
        401: errors.Unavailable,
        403: errors.Forbidden,
        404: errors.NotFound,
        409: errors.Conflict,
    }
    return kinds.get(status, errors.Rejected)(said)


def _status_object(text: bytes) -> tuple[str, set[str]]:
    try:
        parsed = json.loads(text)
    except ValueError:
        return "", set()
    if not isinstance(parsed, dict) or parsed.get("kind") != "Status":
        return "", set()
    causes = {cause.get("reason", "") for cause in (parsed.get("details") or {}).get("causes") or ()}
    return str(parsed.get("message", ""))[:1000], causes
