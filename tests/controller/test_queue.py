"""The work queue: no key is lost, none is worked on twice at once, and none starves."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from appconnectivity.controller.queue import FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS, WorkQueue


@pytest.fixture
def queue() -> WorkQueue:
    return WorkQueue()


async def drained(queue: WorkQueue, count: int) -> list[str | None]:
    """``count`` keys, each worked on and done."""
    found = []
    for _ in range(count):
        key = await asyncio.wait_for(queue.get(), timeout=1)
        found.append(key)
        queue.done(key or "")
    return found


async def is_idle(queue: WorkQueue, *, seconds: float = 0.02) -> bool:
    try:
        await asyncio.wait_for(queue.get(), timeout=seconds)
    except TimeoutError:
        return True
    return False


async def test_first_come_is_first_served(queue: WorkQueue) -> None:
    for key in "cab":
        queue.add(key)

    assert await drained(queue, 3) == ["c", "a", "b"]


async def test_a_key_stands_in_line_once(queue: WorkQueue) -> None:
    for key in "aab":
        queue.add(key)

    assert queue.depth == 2
    assert await drained(queue, 2) == ["a", "b"]
    assert await is_idle(queue)


async def test_a_key_is_never_worked_on_twice_at_once(queue: WorkQueue) -> None:
    queue.add("a")
    assert await queue.get() == "a"
    queue.add("a")
    queue.add("a", patient=True)

    assert queue.depth == 0
    assert await is_idle(queue)


async def test_a_key_that_is_added_while_it_is_worked_on_runs_once_more(queue: WorkQueue) -> None:
    queue.add("a")
    await queue.get()
    queue.add("a")
    queue.add("a")
    queue.done("a")

    assert await drained(queue, 1) == ["a"]
    assert await is_idle(queue)


async def test_a_key_that_is_done_and_unchanged_does_not_run_again(queue: WorkQueue) -> None:
    queue.add("a")
    await drained(queue, 1)

    assert await is_idle(queue)


async def test_a_waiting_worker_is_woken(queue: WorkQueue) -> None:
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add("a")

    assert await asyncio.wait_for(waiting, timeout=1) == "a"


async def test_every_waiting_worker_gets_a_key(queue: WorkQueue) -> None:
    waiting = [asyncio.create_task(queue.get()) for _ in range(3)]
    await asyncio.sleep(0)
    for key in "abc":
        queue.add(key)

    assert sorted(map(str, await asyncio.wait_for(asyncio.gather(*waiting), timeout=1))) == ["a", "b", "c"]


async def test_a_sweep_lets_others_go_first(queue: WorkQueue) -> None:
    queue.add("swept", patient=True)
    queue.add("urgent")

    assert await drained(queue, 2) == ["urgent", "swept"]


async def test_a_swept_key_gets_urgent_with_an_event(queue: WorkQueue) -> None:
    for key in ("one", "two"):
        queue.add(key, patient=True)
    queue.add("two")
    queue.add("two", patient=True)

    assert await drained(queue, 2) == ["two", "one"]


async def test_a_hot_namespace_starves_no_swept_one(queue: WorkQueue) -> None:
    queue.add("hot")
    queue.add("swept", patient=True)
    worked: list[str | None] = []
    for _ in range(20):
        worked.append(await queue.get())
        queue.add("hot")  # changed again while it was worked on
        queue.done(worked[-1] or "")

    assert "swept" in worked


async def test_a_hot_namespace_starves_no_other(queue: WorkQueue) -> None:
    for key in ("hot", "cool"):
        queue.add(key)
    assert await queue.get() == "hot"
    queue.add("hot")
    queue.done("hot")

    assert await drained(queue, 2) == ["cool", "hot"]


async def test_of_several_later_moments_the_earliest_counts(queue: WorkQueue) -> None:
    queue.add_after("a", 60)
    queue.add_after("a", 0.01)
    queue.add_after("a", 30)

    assert await drained(queue, 1) == ["a"]
    assert await is_idle(queue)


async def test_a_later_moment_is_not_before_its_time(queue: WorkQueue) -> None:
    queue.add_after("a", 0.05)

    assert await is_idle(queue, seconds=0.02)
    assert await drained(queue, 1) == ["a"]


async def test_a_moment_in_the_past_is_now(queue: WorkQueue) -> None:
    queue.add_after("a", -5)

    assert await drained(queue, 1) == ["a"]


async def test_a_moment_thousands_of_years_away_is_no_trouble(queue: WorkQueue) -> None:
    queue.add_after("a", 7000 * 365 * 86400.0)

    assert await is_idle(queue)
    queue.close()


async def test_an_event_does_not_wait_for_the_back_off(queue: WorkQueue) -> None:
    queue.retry("a")
    queue.add("a")

    assert await asyncio.wait_for(queue.get(), timeout=0.1) == "a"


async def test_pauses_double_up_to_a_limit_and_begin_anew_after_a_success(
    queue: WorkQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "uniform", lambda low, high: (low + high) / 2)
    pauses = [queue.retry("a") for _ in range(40)]
    queue.succeed("a")

    assert pauses[:4] == [FIRST_RETRY_SECONDS * factor for factor in (1, 2, 4, 8)]
    assert pauses[-1] == LAST_RETRY_SECONDS
    assert queue.retry("a") == FIRST_RETRY_SECONDS
    assert queue.retry("b") == FIRST_RETRY_SECONDS
    queue.close()


async def test_a_closed_queue_hands_out_nothing_and_wakes_all(queue: WorkQueue) -> None:
    waiting = [asyncio.create_task(queue.get()) for _ in range(3)]
    await asyncio.sleep(0)
    queue.add_after("later", 0.01)
    queue.close()
    queue.add("a")

    assert await asyncio.wait_for(asyncio.gather(*waiting), timeout=1) == [None, None, None]
    assert await queue.get() is None


async def test_the_age_is_that_of_the_longest_waiting(queue: WorkQueue) -> None:
    assert queue.oldest_seconds == 0.0
    queue.add("old", patient=True)
    await asyncio.sleep(0.03)
    queue.add("young")
    queue.add("old")

    assert queue.oldest_seconds >= 0.03


async def test_it_is_emptied_when_no_key_waits_or_is_worked_on(queue: WorkQueue) -> None:
    await queue.emptied()
    queue.add("one")
    waiting = asyncio.create_task(queue.emptied())
    assert await queue.get() == "one"
    queue.add("one")
    queue.done("one")
    await asyncio.sleep(0.01)
    assert not waiting.done()

    assert await queue.get() == "one"
    queue.done("one")
    await asyncio.wait_for(waiting, 1)


@pytest.mark.parametrize("seed", range(5))
async def test_under_churn_each_change_is_followed_by_a_pass(queue: WorkQueue, seed: int) -> None:
    """Each worker sees the latest change of its key, or another pass comes; never two at once for one key."""
    dice = random.Random(seed)
    changes, seen, busy = Counter[str](), Counter[str](), Counter[str]()

    async def work() -> None:
        while (key := await queue.get()) is not None:
            busy[key] += 1
            assert busy[key] == 1
            read = changes[key]
            await asyncio.sleep(dice.choice((0, 0.001)))
            seen[key] = read
            busy[key] -= 1
            queue.done(key)

    workers = [asyncio.create_task(work()) for _ in range(3)]
    for _ in range(300):
        key = dice.choice("abcdefgh")
        changes[key] += 1
        queue.add(key, patient=dice.random() < 0.5)
        if dice.random() < 0.3:
            await asyncio.sleep(0)
    for _ in range(200):
        if seen == changes:
            break
        await asyncio.sleep(0.005)
    queue.close()
    await asyncio.gather(*workers)

    assert seen == changes
