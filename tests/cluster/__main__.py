"""``python -m cluster build|up|node``: builds programs, or runs a control plane or a real node until Ctrl-C."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from collections.abc import Callable

from cluster import binaries
from cluster.controlplane import ControlPlane
from cluster.realnode.node import RealNode, Unavailable
from cluster.wire.lab import unable


def main(words: list[str]) -> int:
    if words not in (["build"], ["up"], ["node"]):
        print("usage: python -m cluster build|up|node", file=sys.stderr)
        return 2
    try:
        if words == ["build"]:
            return _build()
        return _run(_node if words == ["node"] else _control_plane)
    except (binaries.MissingBinaries, Unavailable) as error:
        print(error, file=sys.stderr)
        return 1


def _build() -> int:
    """What `make test` needs on this machine; prints the folder of the control plane's."""
    for group in ("control-plane", "oracle", *([] if unable() else ["enforcer"])):
        binaries.programs(group)
    print(binaries.find().kube_apiserver.parent)
    return 0


def _control_plane() -> None:
    with ControlPlane() as plane:
        print(f"export KUBECONFIG={plane.kubeconfig}", flush=True)
        signal.pause()


def _node() -> None:
    start = time.monotonic()
    with RealNode() as node:
        print(f"a node is up after {time.monotonic() - start:.1f} s", file=sys.stderr)
        print(f"alias kubectl='{' '.join(node.kubectl_command())}'", flush=True)
        signal.pause()


def _run(until_told: Callable[[], None]) -> int:
    for number in (signal.SIGTERM, signal.SIGINT):  # the latter is ignored in what a script starts with "&"
        signal.signal(number, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        until_told()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
