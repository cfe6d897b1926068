"""``make demo``: from an intent to its policies, their repair and their end. Exit 0 only if each of these was seen."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from cluster.binaries import MissingBinaries
from cluster.controlplane import ControlPlane
from cluster.operator import Operator, install

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "manifests" / "samples" / "shop.yaml"
SHOWN, REMOVED = "shop.frontend-to-api.ingress", "shop.payment.egress"
# default-deny, allow-dns, both halves of two flows inside, and one half each of the two to the outside
EXPECTED_POLICIES = 8
_WAIT_SECONDS = 20


class NotSeen(Exception):
    """Something that the demo promises did not happen."""


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    start = time.monotonic()
    try:
        with ControlPlane() as plane:
            _step(f"a control plane is up: {plane.url}")
            operator = _start_operator(plane)
            _show(plane)
            code, seconds = operator.stop() if not os.environ.get("KEEP") else _keep(plane, operator)
            _require(code == 0, f"the operator stopped with {code}")
            _step(f"the operator stopped in {seconds:.1f} s; all of it took {time.monotonic() - start:.0f} s")
    except (NotSeen, MissingBinaries, RuntimeError) as error:
        print(f"\nNOT SEEN: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    return 0


def _start_operator(plane: ControlPlane) -> Operator:
    plane.kubectl("apply", "-f", ROOT / "tests" / "demo" / "cluster.yaml")
    install(plane)
    _step("CRD, service account and RBAC are installed: kubectl apply -k manifests/base")
    operator = Operator(plane)
    operator.wait_ready()
    _step("the operator runs as system:serviceaccount:appconnectivity-system:appconnectivity")
    print("(with --adoption-seconds 0: no pods are here whose connections a first policy could cut)", flush=True)
    return operator


def _show(plane: ControlPlane) -> None:
    _run(plane, "apply", "-f", SAMPLE.relative_to(ROOT))
    _run(plane, "wait", "--for=condition=Ready", "-n", "shop", "appconn/shop", "--timeout=20s")
    row = _run(plane, "get", "appconn", "-n", "shop")
    _require("True" in row, "READY True")
    policies = _run(plane, "get", "networkpolicies", "-n", "shop")
    _require(len(policies.splitlines()) == EXPECTED_POLICIES + 1, f"{EXPECTED_POLICIES} policies")
    shown = _run(plane, "get", "networkpolicy", SHOWN, "-n", "shop", "-o", "yaml")
    _require("app: frontend" in shown and "port: 8080" in shown, f"frontend and 8080 in {SHOWN}")
    _repair(plane)
    _delete(plane)


def _repair(plane: ControlPlane) -> None:
    _step(f"drift: somebody deletes {REMOVED} by hand")
    before = _uid(plane, REMOVED)
    _run(plane, "delete", "networkpolicy", REMOVED, "-n", "shop")
    _until(lambda: _uid(plane, REMOVED) not in ("", before), "the deleted policy put back")
    _run(plane, "get", "networkpolicy", REMOVED, "-n", "shop")
    _until(lambda: "DriftRepaired" in _events(plane), "an Event that says so")
    print(_events(plane))


def _delete(plane: ControlPlane) -> None:
    _step("the end: the object is deleted, and its policies go with it")
    _run(plane, "delete", "appconn", "shop", "-n", "shop")
    _until(lambda: not _names(plane), "no policy left")
    _run(plane, "get", "networkpolicies", "-n", "shop")


def _keep(plane: ControlPlane, operator: Operator) -> tuple[int, float]:
    _run(plane, "apply", "-f", SAMPLE.relative_to(ROOT))
    print(f"\nIt goes on until Ctrl-C, or kill {os.getpid()}. In another terminal:", flush=True)
    print(f"\n  export KUBECONFIG={plane.kubeconfig}\n", flush=True)
    print(f"  {plane.kubectl_path} get appconn,networkpolicies -A\n", flush=True)
    try:
        signal.pause()
    except KeyboardInterrupt:
        print()
    return operator.stop()


def _run(plane: ControlPlane, *arguments: str | Path) -> str:
    """Shows a command as a person would type it, and what it prints."""
    print(f"\n$ kubectl {' '.join(map(str, arguments))}", flush=True)
    done = plane.kubectl(*arguments)
    print((done.stdout + done.stderr).rstrip(), flush=True)
    return done.stdout


def _events(plane: ControlPlane) -> str:
    columns = "custom-columns=TYPE:.type,REASON:.reason,MESSAGE:.message"
    selector = "--field-selector=reason=DriftRepaired"
    return plane.kubectl("get", "events", "-n", "shop", selector, "-o", columns).stdout.rstrip()


def _uid(plane: ControlPlane, name: str) -> str:
    return plane.kubectl(
        "get", "networkpolicy", name, "-n", "shop", "-o", "jsonpath={.metadata.uid}", "--ignore-not-found"
    ).stdout


def _names(plane: ControlPlane) -> str:
    return plane.kubectl("get", "networkpolicies", "-n", "shop", "-o", "name").stdout


def _until(check: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + _WAIT_SECONDS
    while not check():
        _require(time.monotonic() < end, f"{what} within {_WAIT_SECONDS} s")
        time.sleep(0.05)


def _require(seen: bool, what: str) -> None:
    if not seen:
        raise NotSeen(what)


def _step(text: str) -> None:
    print(f"\n== {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
