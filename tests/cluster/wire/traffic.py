"""Traffic: every end answers on every probed port with its own name, and any end can knock at any other.

A connection counts as open only if the right end answers: a refusal looks like a port where nobody listens, and an
answer of somebody else would be worse than none.
"""

from __future__ import annotations

import asyncio
import ipaddress
import random
import socket
import threading
import time
from collections.abc import Callable, Collection, Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

from cluster.wire import sctp
from cluster.wire.ends import End

# A shut door answers at once (the enforcer rejects); silence is for packets that got lost, or a machine that is busy.
_PATIENCE_SECONDS, _STEPS = 1.0, 10
_KNOCKS = 3
_IN_FLIGHT = 300
# A stream may be that many times slower than it was asked to be before it is taken for one that does not work.
_SLOWNESS = 20
_MAX_PACKET = 2048
# IP_RECVERR and IPV6_RECVERR of <linux/in.h>, <linux/in6.h>: a refusal is told to who has sent the packet.
_TELL_REFUSALS: dict[int, tuple[int, int]] = {
    socket.AF_INET: (socket.IPPROTO_IP, 11),
    socket.AF_INET6: (socket.IPPROTO_IPV6, 25),
}
_T = TypeVar("_T")


@dataclass(frozen=True)
class Knock:
    """One attempt: from an end to an address of another, on a port of a protocol."""

    source: str
    target: str
    ip: str
    protocol: str
    port: int


@dataclass
class Count:
    """Attempts, and when (seconds of the epoch) at which door they came out otherwise than as open.

    ``errors`` are attempts that told nothing of their door: the prober itself has failed. ``enough`` is how many
    attempts there must be at the least in the time that it had.
    """

    tried: int = 0
    shut: list[tuple[float, Knock]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    enough: int = 1

    @property
    def open(self) -> int:
        return self.tried - len(self.shut)


class Stream:
    """New connections, again and again. ``stop`` ends it and tells what came of them."""

    def __init__(
        self,
        doors: Collection[Knock],
        knock: Callable[[Knock], Coroutine[Any, Any, bool]],
        *,
        interval: float,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._doors, self._knock, self._interval, self._loop = doors, knock, interval, loop
        self._count, self._is_over = Count(), False
        self._began = time.monotonic()
        self._running = asyncio.run_coroutine_threadsafe(self._run(), loop)

    def stop(self) -> Count:
        rounds = (time.monotonic() - self._began) / (_SLOWNESS * self._interval)
        self._count.enough = len(self._doors) * max(1, int(rounds))
        self._is_over = True
        self._running.result()
        return self._count

    async def _run(self) -> None:
        attempts: set[asyncio.Task[bool]] = set()
        while not self._is_over:
            for door in self._doors:
                attempt = self._try(door)
                attempts.add(attempt)
                attempt.add_done_callback(attempts.discard)
            await asyncio.sleep(self._interval)
        await asyncio.gather(*attempts, return_exceptions=True)

    def _try(self, door: Knock) -> asyncio.Task[bool]:
        self._count.tried += 1
        attempt = self._loop.create_task(self._knock(door))
        attempt.add_done_callback(partial(self._note, door, time.time()))
        return attempt

    def _note(self, door: Knock, began: float, attempt: asyncio.Task[bool]) -> None:
        error = attempt.exception()
        if error is not None or not attempt.result():
            self._count.shut.append((began, door))
        if error is not None and not isinstance(error, TimeoutError):
            self._count.errors.append(f"{door}: {error!r}")


class Traffic:
    """A thread with an event loop of its own, so that whoever asks may block meanwhile."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="traffic", daemon=True)
        self._thread.start()
        self._ends: dict[str, _Servant] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def serve(self, ends: Iterable[End], *, ports: Collection[int]) -> None:
        """From now on these ends answer on these ports, in every protocol and on each of their addresses."""
        self._run(self._serve(list(ends), ports=ports))

    def forget(self, refs: Iterable[str]) -> None:
        """These ends answer no more, and their sockets are closed."""
        self._run(self._forget(list(refs)))

    def knock(self, knocks: Collection[Knock]) -> set[Knock]:
        """Tries all at once; returns those that the right end has answered."""
        return self._run(self._knock_all(knocks))

    def close(self) -> None:
        self.forget([*self._ends])
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def stream(self, doors: Collection[Knock], *, interval: float) -> Stream:
        """Knocks at each of these doors every ``interval`` seconds, once, until it is stopped."""
        return Stream(doors, self._once, interval=interval, loop=self._loop)

    def _run(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _serve(self, ends: list[End], *, ports: Collection[int]) -> None:
        for end in ends:
            self._ends[end.ref] = _Servant(end, ports=ports, loop=self._loop)

    async def _forget(self, refs: list[str]) -> None:
        for ref in refs:
            self._ends.pop(ref).close()

    async def _knock_all(self, knocks: Collection[Knock]) -> set[Knock]:
        slots = asyncio.Semaphore(_IN_FLIGHT)

        async def one(knock: Knock) -> bool:
            async with slots:
                return await self._knock(knock)

        answers = await asyncio.gather(*(one(knock) for knock in knocks))
        return {knock for knock, answered in zip(knocks, answers, strict=True) if answered}

    async def _knock(self, knock: Knock) -> bool:
        """Silence is asked again; whatever else comes is the answer."""
        for _ in range(_KNOCKS):
            with suppress(TimeoutError):
                return await self._once(knock)
        return False

    async def _once(self, knock: Knock) -> bool:
        """Raises TimeoutError where nothing comes back."""
        source = self._ends[knock.source]
        ways = {"TCP": source.by_tcp, "UDP": source.by_udp, "SCTP": source.by_sctp}
        return await patiently(ways[knock.protocol](knock)) == knock.target


async def patiently(answer: Coroutine[Any, Any, _T]) -> _T:
    """The answer, or TimeoutError where there is none in time.

    Time in which this process itself stood still does not count: what has come meanwhile lies there to be read. So
    patience ends in steps, and a standstill uses up one of them.
    """
    coming = asyncio.ensure_future(answer)
    try:
        for _ in range(_STEPS):
            await asyncio.wait({coming}, timeout=_PATIENCE_SECONDS / _STEPS)
            if coming.done():
                return await coming
        raise TimeoutError
    finally:
        coming.cancel()


class _Servant:
    """The sockets of one end: those that answer, and those that ask. Made and used in the loop's thread."""

    def __init__(self, end: End, *, ports: Collection[int], loop: asyncio.AbstractEventLoop) -> None:
        self._end, self._loop = end, loop
        self._sockets: list[socket.socket] = []
        self._raw: dict[int, socket.socket] = {}
        self._waiting: dict[tuple[str, int, int], asyncio.Future[str]] = {}
        for ip in end.ips:
            for port in ports:
                self._listen(_open(end, ip, socket.SOCK_STREAM), (ip, port), self._accept)
                self._listen(_open(end, ip, socket.SOCK_DGRAM), (ip, port), self._reply)
            raw = _open(end, ip, socket.SOCK_RAW, sctp.PROTOCOL)
            raw.setsockopt(*_TELL_REFUSALS[raw.family], 1)
            self._raw[ipaddress.ip_address(ip).version] = raw
            self._listen(raw, (ip, 0), self._receive)

    def close(self) -> None:
        for opened in self._sockets:
            self._loop.remove_reader(opened)
            opened.close()

    async def by_tcp(self, knock: Knock) -> str:
        """A refusal during connect() itself would be told only after the next SYN, had it not been asked for."""
        with _open(self._end, knock.ip, socket.SOCK_STREAM) as asking, suppress(OSError):
            asking.setsockopt(*_TELL_REFUSALS[asking.family], 1)
            await self._loop.sock_connect(asking, (knock.ip, knock.port))
            asking.getpeername()  # raises where there was an answer, but no connection
            return (await self._loop.sock_recv(asking, 256)).decode()
        return ""

    async def by_udp(self, knock: Knock) -> str:
        with _open(self._end, knock.ip, socket.SOCK_DGRAM) as asking, suppress(OSError):
            asking.connect((knock.ip, knock.port))
            await self._loop.sock_sendall(asking, b"?")
            return (await self._loop.sock_recv(asking, 256)).decode()
        return ""

    async def by_sctp(self, knock: Knock) -> str:
        own_port = random.randint(20000, 60000)
        raw = self._raw[ipaddress.ip_address(knock.ip).version]
        key = (knock.ip, knock.port, own_port)
        self._waiting[key] = self._loop.create_future()
        try:
            with suppress(OSError):
                raw.sendto(sctp.Packet(own_port, knock.port).pack(), (knock.ip, 0))
            return await self._waiting[key]
        finally:
            del self._waiting[key]

    def _listen(self, opened: socket.socket, address: tuple[str, int], answer: Callable[[socket.socket], None]) -> None:
        self._sockets.append(opened)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
        if opened.type == socket.SOCK_STREAM:
            opened.listen(1024)
        self._loop.add_reader(opened, answer, opened)

    def _accept(self, listening: socket.socket) -> None:
        with suppress(OSError):
            accepted, _ = listening.accept()
            with accepted:
                accepted.send(self._end.ref.encode())

    def _reply(self, listening: socket.socket) -> None:
        with suppress(OSError):
            _, address = listening.recvfrom(16)
            listening.sendto(self._end.ref.encode(), address)

    def _receive(self, raw: socket.socket) -> None:
        """SCTP: an INIT is answered; an answer, or a refusal on the way, is handed to who waits for it."""
        with suppress(OSError):
            refused, _, _, (ip, *_) = raw.recvmsg(_MAX_PACKET, 512, socket.MSG_ERRQUEUE)
            source_port, target_port = sctp.ports(refused)
            self._answer((ip, target_port, source_port), "")
        with suppress(OSError):
            data, (ip, *_) = raw.recvfrom(_MAX_PACKET)
            # IPv4 raw sockets hand over the IP header too.
            start = (data[0] & 0x0F) * 4 if raw.family == socket.AF_INET else 0
            packet = sctp.unpack(data[start:])
            if packet and packet.answer:
                self._answer((ip, packet.source_port, packet.target_port), packet.answer)
            elif packet:
                raw.sendto(sctp.Packet(packet.target_port, packet.source_port, self._end.ref).pack(), (ip, 0))

    def _answer(self, key: tuple[str, int, int], name: str) -> None:
        waiting = self._waiting.get(key)
        if waiting and not waiting.done():
            waiting.set_result(name)


def _open(end: End, ip: str, kind: int, protocol: int = 0) -> socket.socket:
    """A socket in the end's namespace, where it stays."""
    family = socket.AF_INET if ipaddress.ip_address(ip).version == 4 else socket.AF_INET6
    with end.netns.entered():
        opened = socket.socket(family, kind, protocol)
    opened.setblocking(False)
    return opened
