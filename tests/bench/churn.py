"""Changes without a pause. The client that measures makes a fifth of them: these are by threads, each with a connection
of its own, that send what was written before and look at nothing in the answers."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence

from appconnectivity.cluster.kinds import APP_CONNECTIVITY
from cluster.controlplane import ControlPlane
from cluster.rest import Rest

_THREADS = 4
_PATCH = "application/json-patch+json"
_PORTS = 1000


async def change_ports(plane: ControlPlane, places: Sequence[tuple[str, str]], *, a_second: int, seconds: int) -> int:
    """Changes the port of the first flow of each object in turn; returns how many changes it came to."""
    shares = (places[first::_THREADS] for first in range(_THREADS))
    made = (asyncio.to_thread(_change, plane, share, a_second / _THREADS, seconds) for share in shares)
    return sum(await asyncio.gather(*made))


def _change(plane: ControlPlane, places: Sequence[tuple[str, str]], a_second: float, seconds: int) -> int:
    rest, begin, count = Rest(plane), time.monotonic(), 0
    while (elapsed := time.monotonic() - begin) < seconds:
        if count >= elapsed * a_second:
            time.sleep(0.002)
            continue
        namespace, name = places[count % len(places)]
        port = 8080 + count // len(places) % _PORTS
        change = json.dumps([{"op": "replace", "path": "/spec/flows/0/ports/0", "value": port}])
        path = APP_CONNECTIVITY.path(namespace=namespace, name=name)
        assert rest.ask("PATCH", path, change, content_type=_PATCH).is_accepted
        count += 1
    rest.close()
    return count
