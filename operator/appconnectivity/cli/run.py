"""``appconnectivity run``: the operator as a process."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys

import kopf
from pythonjsonlogger.json import JsonFormatter

from appconnectivity import handlers
from appconnectivity.cluster.client import Client, load_configuration
from appconnectivity.cluster.errors import ClusterError
from appconnectivity.controller.controller import Controller
from appconnectivity.controller.metrics import Metrics
from appconnectivity.settings import Settings

logger = logging.getLogger(__name__)


def run(settings: Settings) -> int:
    """Runs until SIGTERM or SIGINT; returns the exit code: 0 when told to stop, 1 when it could not go on."""
    _set_up_logging(settings)
    try:
        return asyncio.run(_operate(settings))
    except ClusterError as error:
        logger.error("%s", error)  # noqa: TRY400 - the sentence says it all
        return 1


async def _operate(settings: Settings) -> int:
    metrics = Metrics()
    configuration = await load_configuration(kubeconfig=settings.kubeconfig or None, context=settings.context or None)
    client = Client(configuration, observer=metrics.observe_request)
    controller = Controller(client, settings=settings, metrics=metrics)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await controller.start()
    try:
        return await _watch(controller, client, stop=stop)
    finally:
        logger.info("stopping")
        await controller.stop()
        await client.close()


async def _watch(controller: Controller, client: Client, *, stop: asyncio.Event) -> int:
    """Runs kopf, which returns when it is told to stop (it takes over the signals), and raises when it can't go on."""
    registry = handlers.registry(notice=controller.notice, client=client)
    try:
        await kopf.operator(
            registry=registry, settings=handlers.settings(), clusterwide=True, standalone=True, stop_flag=stop
        )
    except Exception as error:  # noqa: BLE001 - whatever ends kopf, a restart by the kubelet is the way on
        logger.error("the watches have ended: %s: %s", type(error).__name__, error)  # noqa: TRY400 - one line is enough
        return 1
    return 0


def _set_up_logging(settings: Settings) -> None:
    output = logging.StreamHandler(sys.stderr)
    if settings.log_format == "json":
        fields = {"levelname": "level", "asctime": "time", "name": "logger"}
        output.setFormatter(JsonFormatter("{asctime}{levelname}{name}{message}", style="{", rename_fields=fields))
    else:
        output.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    logging.basicConfig(level=settings.log_level.upper(), handlers=[output], force=True)
    logging.getLogger("kopf").setLevel(logging.WARNING)
