"""Network namespaces without names: the kernel takes them away when nobody holds them any more.

So there is nothing to clean up, whatever this process dies of.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

_CLONE_NEWNET = 0x40000000
_OWN = "/proc/thread-self/ns/net"
_libc = ctypes.CDLL(None, use_errno=True)


class Netns:
    """A new network namespace, empty and with its loopback down, until ``close`` or the end of this process.

    Raises PermissionError without the right to make one (CAP_SYS_ADMIN).
    """

    def __init__(self) -> None:
        with ThreadPoolExecutor(max_workers=1) as elsewhere:
            self._descriptor = elsewhere.submit(_unshare).result()

    @property
    def path(self) -> str:
        """A path by which other processes can name it."""
        return f"/proc/{os.getpid()}/fd/{self._descriptor}"

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Puts the calling thread inside, and with it the sockets that it opens and the processes that it starts."""
        outside = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter(self._descriptor)
            yield
        finally:
            _enter(outside)
            os.close(outside)

    def close(self) -> None:
        os.close(self._descriptor)


def _unshare() -> int:
    _must(_libc.unshare(_CLONE_NEWNET))
    return os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)


def _enter(descriptor: int) -> None:
    _must(_libc.setns(descriptor, _CLONE_NEWNET))


def _must(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
