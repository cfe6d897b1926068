"""``appconnectivity run``: the operator as a process."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import time
import uuid
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import kopf
from pythonjsonlogger.json import JsonFormatter

from appconnectivity import __version__, handlers
from appconnectivity.cluster.client import Client
from appconnectivity.cluster.configuration import load_configuration
from appconnectivity.cluster.deep import read_deep
from appconnectivity.cluster.errors import ClusterError, Unavailable
from appconnectivity.cluster.lease import Lease
from appconnectivity.controller import garbage
from appconnectivity.controller.controller import Controller
from appconnectivity.controller.metrics import Metrics
from appconnectivity.settings import Settings, unknown_variables

logger = logging.getLogger(__name__)

# Together with the passes (STOP_SECONDS) less than ten seconds.
_WATCHES_SECONDS = 2.0


def run(settings: Settings) -> int:
    """Runs until SIGTERM or SIGINT; returns the exit code: 0 when told to stop, 1 when it could not go on."""
    _set_up_logging(settings)
    for name in unknown_variables(os.environ):
        logger.warning("%s in the environment is no setting, and sets nothing (--help lists them)", name)
    garbage.collect_seldom()
    read_deep()
    try:
        return asyncio.run(_operate(settings))
    except ClusterError as error:
        logger.error("%s", error)  # noqa: TRY400 - the sentence says it all
        return 1


async def _operate(settings: Settings) -> int:
    metrics = Metrics()
    configuration = await load_configuration(kubeconfig=settings.kubeconfig or None, context=settings.context or None)
    identity = f"{socket.gethostname()}_{uuid.uuid4()}"  # a container that is restarted is another replica
    agent = f"appconnectivity/{__version__} ({identity})"
    connect = partial(Client, configuration, observer=metrics.observe_request, agent=agent)
    lease = _lease(settings, connect, identity) if settings.lease else None
    client = connect(may_write=lambda: lease.is_held) if lease else connect()
    controller = Controller(client, settings=settings, metrics=metrics)
    try:
        return await _run_until_told(controller, client, lease)
    finally:
        await controller.stop()
        await client.close()
        if lease:
            await lease.release()
            await lease.client.close()


def _lease(settings: Settings, connect: Callable[[], Client], identity: str) -> Lease:
    """With connections of its own: a renewal must not stand in line behind the writes of passes."""
    namespace = settings.namespace_of_lease()
    if not namespace:
        raise Unavailable("--lease: outside a pod, say in which namespace it is (--lease-namespace)")
    return Lease(connect(), namespace=namespace, name=settings.lease, identity=identity, clock=_clock)


def _clock() -> float:
    """Seconds that nobody sets, and in which a machine that sleeps is counted, where the system has them."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


async def _run_until_told(controller: Controller, client: Client, lease: Lease | None) -> int:
    """Starts the controller, where there is a Lease once that is held, and the watches that feed it; the controller is
    stopped first, so that no pass is cut."""
    told, watches_end = asyncio.Event(), asyncio.Event()
    _take_signals(told)
    try:
        await controller.listen()
    except OSError as error:
        logger.error("the port for probes and metrics (--listen, --port): %s", error)  # noqa: TRY400 - one line is enough
        return 1
    waiting = asyncio.create_task(told.wait())
    if lease:
        controller.stand_by(lambda: lease.is_answered)
        if not await _acquired(lease, waiting):
            return 0
    ends = {waiting} | ({asyncio.create_task(lease.lost())} if lease else set())
    await controller.start()
    watches = asyncio.create_task(_watch(controller, client, until=watches_end, told=told))
    await asyncio.wait([watches, *ends], return_when=asyncio.FIRST_COMPLETED)
    is_lost = not (told.is_set() or watches.done())
    logger.info("another replica may hold the Lease by now: stopping" if is_lost else "stopping")
    for task in ends:
        task.cancel()
    await controller.stop()
    watches_end.set()
    code = await _ended(watches)
    return 1 if is_lost else code


async def _acquired(lease: Lease, told: asyncio.Task[Any]) -> bool:
    """False where the replica was told to stop before it held the Lease."""
    logger.info("standing by until the Lease is free")
    acquiring = asyncio.create_task(lease.acquire())
    await asyncio.wait([acquiring, told], return_when=asyncio.FIRST_COMPLETED)
    acquiring.cancel()
    logger.info("stopping" if told.done() else f"holding the Lease as {lease.identity}")
    return not told.done()


async def _ended(watches: asyncio.Task[int]) -> int:
    """The exit code of the watches; 0 where they had to be cut. Stopped in its first moments, kopf waits for a task of
    its own that nobody ends."""
    await asyncio.wait([watches], timeout=_WATCHES_SECONDS)
    if watches.cancel():
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # no word of what kopf leaves unfinished
    (end,) = await asyncio.gather(watches, return_exceptions=True)
    return end if isinstance(end, int) else 0


async def _watch(controller: Controller, client: Client, *, until: asyncio.Event, told: asyncio.Event) -> int:
    """Runs kopf, from the first sweep on, until it is told to end; returns the exit code."""
    events = [asyncio.create_task(event.wait()) for event in (controller.swept, until)]
    await asyncio.wait(events, return_when=asyncio.FIRST_COMPLETED)
    if until.is_set():
        return 0 if told.is_set() else 1
    existing = asyncio.all_tasks()
    # kopf wants a name for itself, and without this asks for its user's: a user in a container may have none.
    os.environ.setdefault("POD_ID", socket.gethostname())
    try:
        tasks = await kopf.spawn_tasks(
            registry=handlers.registry(notice=controller.notice, listed=controller.listed, client=client),
            settings=handlers.settings(),
            clusterwide=True,
            standalone=True,
            stop_flag=until,
        )
        _take_signals(told)  # kopf has just taken them, and would end at once, cutting whatever runs
        await _raise_what_ends_one_of(tasks)
        await kopf.run_tasks(tasks, ignored=existing)
    except Exception as error:  # noqa: BLE001 - whatever ends kopf, a restart by the kubelet is the way on
        logger.error("the watches have ended: %s: %s", type(error).__name__, error)  # noqa: TRY400 - one line is enough
        return 1
    return 0 if told.is_set() else 1


async def _raise_what_ends_one_of(tasks: Collection[asyncio.Task[Any]]) -> None:
    """kopf itself would wait for all that runs, passes too, then cut it, and kill the process if that takes long."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        if not task.cancelled() and (error := task.exception()):
            raise error


def _take_signals(told: asyncio.Event) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)


def _set_up_logging(settings: Settings) -> None:
    output = logging.StreamHandler(sys.stderr)
    if settings.log_format == "json":
        fields = {"levelname": "level", "asctime": "time", "name": "logger"}
        output.setFormatter(JsonFormatter("{asctime}{levelname}{name}{message}", style="{", rename_fields=fields))
    else:
        output.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    logging.basicConfig(level=settings.log_level.upper(), handlers=[output], force=True)
    logging.getLogger("kopf").setLevel(logging.WARNING)
