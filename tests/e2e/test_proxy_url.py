"""A kubeconfig with a proxy-url: whatever the operator asks for goes that way, its watches too."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.controlplane import ControlPlane
from cluster.operator import Operator
from e2e.conftest import Team, flow

# In the API server's certificate; nobody listens there.
ELSEWHERE = "https://10.96.0.1"


class Tunnel(socketserver.BaseRequestHandler):
    """An HTTP proxy's answer to CONNECT: bytes to and fro. Wherever a client wants to go, it gets to the API server."""

    def handle(self) -> None:
        asked = b""
        while not asked.endswith(b"\r\n\r\n"):
            asked += self.request.recv(1)
        with socket.create_connection(self.server.upstream) as upstream:  # type: ignore[attr-defined]
            self.request.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            back = threading.Thread(target=_pass_on, args=(upstream, self.request))
            back.start()
            _pass_on(self.request, upstream)
            back.join()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
    except OSError:
        return
    finally:
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def proxy_url(installed: ControlPlane) -> Iterator[str]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Tunnel) as server:
        server.upstream = ("127.0.0.1", int(installed.url.rpartition(":")[2]))  # type: ignore[attr-defined]
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        serving.join()


def test_watches_too_go_by_the_proxy_of_the_kubeconfig(
    proxy_url: str, installed_operator: Callable[..., Operator], team: Team
) -> None:
    def by_proxy(kubeconfig: Path) -> Path:
        config: dict[str, Any] = yaml.safe_load(kubeconfig.read_text())
        config["clusters"][0]["cluster"] |= {"server": ELSEWHERE, "proxy-url": proxy_url}
        kubeconfig.write_text(yaml.safe_dump(config))
        return kubeconfig

    installed_operator(by=by_proxy)
    team.connect("shop", flow("frontend", "api", 8080))
    team.wait_ready()
