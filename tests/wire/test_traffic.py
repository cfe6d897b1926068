"""The prober itself: every attempt counts, and one that tells nothing is never taken for an answer."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from cluster.wire.traffic import Count, Knock, Stream, patiently
from wire.shop import DECLARED, UNDECLARED, none_failed, none_succeeded

INTERVAL = 0.01


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    running = asyncio.new_event_loop()
    thread = threading.Thread(target=running.run_forever)
    thread.start()
    yield running
    running.call_soon_threadsafe(running.stop)
    thread.join()
    running.close()


def count_of(knock: Callable[[Knock], Coroutine[Any, Any, bool]], loop: asyncio.AbstractEventLoop) -> Count:
    stream = Stream(UNDECLARED, knock, interval=INTERVAL, loop=loop)
    time.sleep(0.1)
    return stream.stop()


async def is_open(_: Knock) -> bool:
    return True


async def is_shut(_: Knock) -> bool:
    return False


async def is_silent(_: Knock) -> bool:
    raise TimeoutError


async def breaks(_: Knock) -> bool:
    raise RuntimeError("no sockets left")


def test_an_open_door_is_open_and_a_refusal_and_silence_are_shut(loop: asyncio.AbstractEventLoop) -> None:
    opened, shut, silent = (count_of(knock, loop) for knock in (is_open, is_shut, is_silent))

    assert opened.open == opened.tried > 0
    assert (shut.open, len(shut.shut)) == (0, shut.tried)
    assert (silent.open, silent.errors) == (0, [])
    none_failed("open", opened)
    none_succeeded("silent", silent)


def test_an_attempt_that_breaks_counts_and_passes_neither_for_open_nor_for_shut(
    loop: asyncio.AbstractEventLoop,
) -> None:
    count = count_of(breaks, loop)

    assert len(count.errors) == len(count.shut) == count.tried > 0
    for passes in (none_failed, none_succeeded):
        with pytest.raises(AssertionError, match="no sockets left"):
            passes("broken", count)


def test_a_prober_that_did_next_to_nothing_is_noticed(loop: asyncio.AbstractEventLoop) -> None:
    enough = count_of(is_shut, loop).enough

    assert enough >= len(UNDECLARED)
    for passes in (none_failed, none_succeeded):
        with pytest.raises(AssertionError):
            passes("idle", Count(tried=enough - 1, enough=enough))


async def in_turns(answer: Coroutine[Any, Any, bytes]) -> bytes:
    """As an attempt has some turns to go: the connection, the other end's answer, its arrival."""
    found = await answer
    for _ in range(5):
        await asyncio.sleep(0)
    return found


async def test_an_answer_that_came_while_the_prober_stood_still_is_an_answer() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        loop = asyncio.get_running_loop()
        asking = loop.create_task(patiently(in_turns(loop.sock_recv(ours, 256))))
        await asyncio.sleep(0)
        theirs.send(b"shop/api")
        time.sleep(1.5)  # noqa: ASYNC251 - longer than its patience

        assert await asking == b"shop/api"


async def test_silence_is_told_in_time() -> None:
    with pytest.raises(TimeoutError):
        await patiently(asyncio.sleep(60))


def test_one_shut_door_among_the_declared_and_one_open_among_the_others_fail() -> None:
    with pytest.raises(AssertionError, match="shop/frontend -> shop/api TCP 8080"):
        none_failed("shut once", Count(tried=2, shut=[(0.0, DECLARED[0])]))
    with pytest.raises(AssertionError):
        none_succeeded("open once", Count(tried=2, shut=[(0.0, UNDECLARED[0])]))
