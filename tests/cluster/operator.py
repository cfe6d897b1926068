"""The operator as a process of its own, with the identity and the rights that manifests/base give it."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from cluster import processes
from cluster.controlplane import ControlPlane

ROOT = Path(__file__).resolve().parents[2]
NAMESPACE, SERVICE_ACCOUNT = "appconnectivity-system", "appconnectivity"
USER = f"system:serviceaccount:{NAMESPACE}:{SERVICE_ACCOUNT}"
LEASE = ("--lease", "appconnectivity", "--lease-namespace", NAMESPACE)
_START_SECONDS = 30


def install(plane: ControlPlane) -> None:
    """What a user does: CRD, namespace, service account and RBAC from manifests/base (nothing runs the Deployment)."""
    plane.kubectl("apply", "--server-side", "-k", ROOT / "manifests" / "base")
    for plural in ("appconnectivities", "appconnectivitytemplates"):
        plane.kubectl("wait", "--for=condition=Established", f"crd/{plural}.appconnectivity.io")


def permit_lease(plane: ControlPlane) -> None:
    """The rights that manifests/overlays/ha adds, for operators with ``LEASE``."""
    plane.kubectl("apply", "-f", ROOT / "manifests" / "overlays" / "ha" / "lease.yaml")


class Operator:
    """Running when constructed, ready when ``wait_ready`` returns. Options are those of ``appconnectivity run``.

    Adoption is at once unless the options say otherwise: tests of all else would only wait for it.
    """

    def __init__(
        self,
        plane: ControlPlane,
        *options: str,
        name: str = "operator",
        by: Callable[[Path], Path] = lambda path: path,
        sabotage: str = "",
    ) -> None:
        """``by`` makes of its kubeconfig one that takes another way to the API server; ``sabotage`` is one of
        cluster.sabotage."""
        self.log = plane.directory / f"{name}-{time.monotonic_ns()}.log"
        kubeconfig = by(plane.kubeconfig_for_service_account(NAMESPACE, SERVICE_ACCOUNT))
        self.process: subprocess.Popen[bytes] = processes.start(
            [
                *(sys.executable, "-m", *(("cluster.sabotage", sabotage) if sabotage else ("appconnectivity",)), "run"),
                *("--kubeconfig", str(kubeconfig), "--listen", "127.0.0.1", "--port", "0"),
                *("--adoption-seconds", "0", *options),
            ],
            log=self.log,
            environment={k: v for k, v in os.environ.items() if not k.startswith("KUBE")}
            | ({"PYTHONPATH": str(ROOT / "tests")} if sabotage else {}),
        )

    def wait_ready(self) -> None:
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end:
            if self.process.poll() is not None:
                break
            if self.get("/readyz")[0] == 200:
                return
            time.sleep(0.05)
        raise RuntimeError(f"the operator is not ready:\n{processes.tail(self.log)}")

    def get(self, path: str) -> tuple[int, str]:
        """Status and text of its probes and metrics; status 0 while it does not listen."""
        port = self._port()
        if port is None:
            return 0, ""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of that name with these labels; 0.0 where there is none. Raises where it does not
        tell."""
        status, text = self.get("/metrics")
        if status != http.client.OK:
            raise RuntimeError(f"no metrics ({status}):\n{processes.tail(self.log)}")
        wanted = {f'{key}="{value}"' for key, value in labels.items()}
        lines = [line.rsplit(" ", 1) for line in text.splitlines() if line.startswith(name)]
        return sum(
            float(value)
            for series, value in lines
            if re.match(rf"{name}(\{{|$)", series) and wanted <= set(re.findall(r'\w+="[^"]*"', series))
        )

    def is_at_rest(self, *, passes: int) -> bool:
        """True where it has made so many passes, none has failed, and none waits, nor a deletion."""
        name = "appconnectivity"
        names = ("queue_depth", "deletions_held", "reconcile_errors_total")
        waiting = sum(self.metric(f"{name}_{each}") for each in names)
        return self.metric(f"{name}_reconciles_total", result="ok") >= passes and not waiting

    def stop(self) -> tuple[int, float]:
        """SIGTERM; returns the exit code and the seconds that it took."""
        start = time.monotonic()
        code = processes.stop(self.process, grace=20)
        return code, time.monotonic() - start

    def suffer(self) -> None:
        """Its sabotage happens."""
        self.process.send_signal(signal.SIGUSR1)

    def kill(self) -> None:
        """SIGKILL: no good-bye."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def _port(self) -> int | None:
        text = self.log.read_text() if self.log.exists() else ""
        match = re.search(r"probes and metrics on port (\d+)", text)
        return int(match[1]) if match else None
