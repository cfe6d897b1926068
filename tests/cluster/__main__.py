"""``python -m cluster build|up``: builds the programs, or runs a control plane until Ctrl-C."""

from __future__ import annotations

import signal
import sys

from cluster import binaries
from cluster.controlplane import ControlPlane


def main(words: list[str]) -> int:
    if words not in (["build"], ["up"]):
        print("usage: python -m cluster build|up", file=sys.stderr)
        return 2
    try:
        if words == ["build"]:
            print(binaries.find().kube_apiserver.parent)
            return 0
        return _run()
    except binaries.MissingBinaries as error:
        print(error, file=sys.stderr)
        return 1


def _run() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with ControlPlane() as plane:
            print(f"export KUBECONFIG={plane.kubeconfig}", flush=True)
            signal.pause()
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
