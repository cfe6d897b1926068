"""What can go wrong with a request, by what the caller will do about it.

ClusterError
├── Unavailable      nothing is known: try the whole pass again later (network, timeouts, 401, 429, 5xx)
│   └── NotFound     404; for a list or an apply this means that the kind or the namespace is missing
├── Forbidden        the API server does not allow it: report, try again later
├── Conflict         somebody was faster, or owns the field: read again
├── Rejected         the API server refuses the object itself (400, 413, 422)
└── NamespaceGone    the namespace is not there or being deleted: nothing to do, and nothing to report
"""

from __future__ import annotations


class ClusterError(Exception):
    """A request to the API server that did not do what it was sent for."""


class Unavailable(ClusterError):
    """The answer is unknown, so nothing may be concluded from it."""


class NotFound(Unavailable):
    """What the path names is not there."""


class Forbidden(ClusterError):
    """Our own identity lacks a right, or an admission policy denies it."""


class Conflict(ClusterError):
    """The object has changed since it was read, or another manager owns a field."""


class Rejected(ClusterError):
    """The API server takes the object for invalid."""


class NamespaceGone(ClusterError):
    """The namespace does not exist or is being terminated."""
