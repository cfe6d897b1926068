"""The official client's configuration: the way to a cluster, and credentials that are read again from time to time."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from pathlib import Path
from typing import Any

from kubernetes.aio import client as official
from kubernetes.aio import config as official_config

from appconnectivity.cluster import errors

logger = logging.getLogger(__name__)

TOKEN_SECONDS = 60.0
_DEFAULT_KUBECONFIG = "~/.kube/config"
_WAYS = "give --kubeconfig, set KUBECONFIG, or run in a pod"


async def load_configuration(*, kubeconfig: str | None, context: str | None) -> Any:
    """From ``kubeconfig`` (a path), else the service account of the pod, else the default kubeconfig.

    Raises errors.Unavailable with what was looked for where there is none.
    """
    configuration = official.Configuration()
    by_file = bool(kubeconfig) or not os.environ.get("KUBERNETES_SERVICE_HOST")
    if by_file:
        await asyncio.to_thread(_require_a_file, kubeconfig or os.environ.get("KUBECONFIG") or _DEFAULT_KUBECONFIG)
    try:
        if by_file:
            loader = await official_config.load_kube_config(
                config_file=kubeconfig, context=context, client_configuration=configuration
            )
            configuration.refresh_api_key_hook = _Refresh(loader)
        else:
            official_config.load_incluster_config(client_configuration=configuration)
    except Exception as error:  # the official loader raises whatever it trips over in a file that is no kubeconfig
        by = f" by {kubeconfig}" if kubeconfig else ""
        raise errors.Unavailable(f"no way to reach a cluster{by}: {one_line(error)} ({_WAYS})") from error
    # Proxies of the environment are for the outside; a kubeconfig's own proxy-url still counts.
    configuration.client_session_kwargs = {"trust_env": False}
    return configuration


class _Refresh:
    """Reads a kubeconfig's credentials again from time to time: tokens of files and of plugins are changed while we
    run. (For a pod's service account the official loader does the same by itself.)"""

    def __init__(self, loader: Any) -> None:
        self._loader = loader
        self._read_at = time.monotonic()

    async def __call__(self, configuration: Any) -> None:
        if time.monotonic() - self._read_at < TOKEN_SECONDS:
            return
        self._read_at = time.monotonic()
        try:
            await self._loader.load_and_set(configuration)
        except (official_config.ConfigException, OSError) as error:  # half written, say: the old token may still do
            logger.warning("credentials could not be read again: %s", error)


def _require_a_file(paths: str) -> None:
    if not any(Path(path).expanduser().exists() for path in paths.split(os.pathsep) if path):
        raise errors.Unavailable(f"kubeconfig {paths}: no such file ({_WAYS})")


def one_line(error: Exception) -> str:
    """Its sentence; with its type where it is not one that the official client made for people."""
    said = " ".join(str(error).split())
    return said if isinstance(error, official_config.ConfigException) else f"{type(error).__name__}: {said}"
