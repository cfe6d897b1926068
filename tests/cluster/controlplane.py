"""A real control plane on loopback: etcd, kube-apiserver and the controllers that matter, for tests and the demo."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from cluster import binaries, processes
from cluster.pki import Authority
from cluster.rest import Rest

_START_SECONDS = 60
# How often ports are chosen anew, where another program took one between the choice and the start.
_START_ATTEMPTS = 3
_PORT_TAKEN = "address already in use"
_CONTROLLERS = (
    "garbage-collector-controller",
    "namespace-controller",
    "endpointslice-controller",
    "endpointslice-mirroring-controller",
    "clusterrole-aggregation-controller",
)
_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "users": ["system:kube-controller-manager", "system:apiserver"]},
        {"level": "Metadata"},
    ],
}
# Only data: the address that EndpointSlice default/kubernetes shows. Nothing is ever sent there.
ADVERTISED = "10.0.0.1"


class StartFailed(RuntimeError):
    """A program ended or did not become ready. The text has the last lines of its log."""


class ControlPlane:
    """Up when constructed; ``close`` (or leaving the context) stops it and removes all that it made.

    To be constructed in the main thread: the kernel ends the programs together with the thread that started them.
    """

    def __init__(self, *, advertised: str = ADVERTISED, api_port: int | None = None) -> None:
        """``advertised`` is the API server's address as EndpointSlices show it; its port is free unless given."""
        self._advertised, self._wanted_port = advertised, api_port
        self._binaries = binaries.find()
        self.directory = Path(tempfile.mkdtemp(prefix="appconnectivity-"))
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        try:
            self._prepare()
            self._start_on_free_ports()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._api_port}"

    @property
    def audit_log(self) -> Path:
        return self.directory / "audit.log"

    @property
    def kubectl_path(self) -> Path:
        return self._binaries.kubectl

    @cached_property
    def rest(self) -> Rest:
        """The API server without a client in between: for looks, which tests make by the thousand."""
        return Rest(self)

    @property
    def pids(self) -> dict[str, int]:
        return {name: process.pid for name, process in self._processes.items()}

    @property
    def etcd(self) -> str:
        """The URL of etcd."""
        return f"http://127.0.0.1:{self._etcd_port}"

    def kubectl(
        self,
        *arguments: str | Path,
        input: str | None = None,  # noqa: A002 - as subprocess.run calls it
        check: bool = True,
        kubeconfig: Path | None = None,
        timeout: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        """Runs kubectl, as cluster-admin unless ``kubeconfig`` says otherwise. Raises with its stderr if it fails."""
        command = [
            *processes.dying_with_us(),
            str(self._binaries.kubectl),
            "--kubeconfig",
            str(kubeconfig or self.kubeconfig),
            *map(str, arguments),
        ]
        done = subprocess.run(command, input=input, capture_output=True, text=True, timeout=timeout, check=False)
        if check and done.returncode:
            raise RuntimeError(f"kubectl {' '.join(map(str, arguments))}: {done.stderr.strip()}")
        return done

    def kubeconfig_for_service_account(self, namespace: str, name: str) -> Path:
        """A kubeconfig with a token of that service account: what a pod of it would be."""
        token = self.kubectl("create", "token", name, "-n", namespace, "--duration=2h").stdout.strip()
        path = self.directory / f"{namespace}-{name}.kubeconfig"
        self._write_kubeconfig(path, user={"token": token})
        return path

    def audit_events(self, *, user: str = "") -> list[dict[str, Any]]:
        """What the API server has answered, oldest first, for one user or all."""
        lines = self.audit_log.read_text().splitlines() if self.audit_log.exists() else []
        events = [json.loads(line) for line in lines if user in line and line.endswith("}")]
        return [event for event in events if not user or event["user"].get("username") == user]

    def writes(self, *, user: str, since: int = 0) -> list[dict[str, Any]]:
        """The writing requests of a user, from the ``since``-th on."""
        verbs = ("create", "update", "patch", "delete", "deletecollection")
        return [event for event in self.audit_events(user=user) if event["verb"] in verbs][since:]

    def stop_apiserver(self) -> None:
        """Stops it hard after a second: left alone, it would wait for its watchers to go."""
        processes.stop(self._processes.pop("kube-apiserver"), grace=1)

    def start_apiserver(self) -> None:
        """Starts it on the same port and the same data."""
        self._launch("kube-apiserver", self._apiserver_flags())
        self._await_answer("kube-apiserver", "/readyz")

    def compact(self) -> None:
        """etcd forgets all that was before now, as the API server has it do every five minutes."""
        listed = json.loads(self.kubectl("get", "--raw", "/api/v1/namespaces?limit=1").stdout)
        asked = urllib.request.Request(
            f"{self.etcd}/v3/kv/compaction",
            data=json.dumps({"revision": listed["metadata"]["resourceVersion"], "physical": True}).encode(),
        )
        with urllib.request.urlopen(asked, timeout=30) as answer:
            answer.read()

    def keep_store(self) -> Path:
        """A copy of what etcd holds now."""
        kept, etcd = self.directory / f"etcd-{time.monotonic_ns()}", self.pids["etcd"]
        os.kill(etcd, signal.SIGSTOP)
        os.waitid(os.P_PID, etcd, os.WSTOPPED)
        try:
            shutil.copytree(self._store, kept)
        finally:
            os.kill(etcd, signal.SIGCONT)
        return kept

    def put_back(self, kept: Path) -> None:
        """All of it stops, etcd gets the older state, and all of it starts, on the same ports."""
        self._stop(grace=0.5)
        shutil.rmtree(self._store)
        shutil.copytree(kept, self._store)
        self._start_programs()

    def close(self) -> None:
        if "rest" in self.__dict__:
            self.rest.close()
        self._stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _prepare(self) -> None:
        self._store = self.directory / "etcd"
        authority = self._authority = Authority(self.directory)
        self.ca_file = authority.file
        self.server_certificate = authority.issue("kube-apiserver", addresses=("127.0.0.1", "10.96.0.1"))
        self.admin_cert, self.admin_key = authority.issue("admin", group="system:masters")
        controllers = authority.issue("system:kube-controller-manager", group="system:masters")
        self._signing_key = authority.signing_key()
        (self.directory / "audit.yaml").write_text(yaml.safe_dump(_AUDIT_POLICY))
        self._controllers_user = _certificate(*controllers)
        self.kubeconfig = self.directory / "admin.kubeconfig"

    def _start_on_free_ports(self) -> None:
        for attempt in range(1, _START_ATTEMPTS + 1):
            try:
                self._start()
                return
            except StartFailed as failure:
                if _PORT_TAKEN not in str(failure) or attempt == _START_ATTEMPTS:
                    raise
                self._stop()

    def _start(self) -> None:
        self._etcd_port, self._peer_port, free_port, self._controllers_port = processes.free_ports(4)
        self._api_port = self._wanted_port or free_port
        self._write_kubeconfig(self.kubeconfig, user=_certificate(self.admin_cert, self.admin_key))
        self._write_kubeconfig(self.directory / "controllers.kubeconfig", user=self._controllers_user)
        self._start_programs()

    def _start_programs(self) -> None:
        self._launch("etcd", self._etcd_flags())
        self.start_apiserver()
        self._launch("kube-controller-manager", self._controller_flags())
        controllers = f"https://127.0.0.1:{self._controllers_port}"
        self._await_answer("kube-controller-manager", "/healthz", f"--server={controllers}")

    def _launch(self, name: str, flags: list[str]) -> None:
        program = getattr(self._binaries, name.replace("-", "_"))
        self._processes[name] = processes.start([program, *flags], log=self.directory / f"{name}.log")

    def _stop(self, *, grace: float = 3) -> None:
        for name in ("kube-controller-manager", "kube-apiserver", "etcd"):
            process = self._processes.pop(name, None)
            if process is not None:
                processes.stop(process, grace=grace)

    def _await_answer(self, name: str, path: str, *options: str) -> None:
        end = time.monotonic() + _START_SECONDS
        while self.kubectl("get", "--raw", path, *options, check=False).returncode != 0:
            self._require_all_running()
            if time.monotonic() > end:
                raise StartFailed(f"{name} is not ready after {_START_SECONDS} s:\n{self._tail(name)}")
            time.sleep(0.1)

    def _require_all_running(self) -> None:
        for name, process in self._processes.items():
            if process.poll() is not None:
                raise StartFailed(f"{name} has ended:\n{self._tail(name)}")

    def _tail(self, name: str) -> str:
        return processes.tail(self.directory / f"{name}.log")

    def _etcd_flags(self) -> list[str]:
        client, peer = f"http://127.0.0.1:{self._etcd_port}", f"http://127.0.0.1:{self._peer_port}"
        return [
            f"--data-dir={self._store}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
            "--log-level=error",
        ]

    def _apiserver_flags(self) -> list[str]:
        certificate, key = self.server_certificate
        return [
            f"--etcd-servers=http://127.0.0.1:{self._etcd_port}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self._api_port}",
            f"--advertise-address={self._advertised}",
            f"--cert-dir={self.directory}",
            f"--tls-cert-file={certificate}",
            f"--tls-private-key-file={key}",
            f"--client-ca-file={self.ca_file}",
            "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={self._signing_key}",
            f"--service-account-signing-key-file={self._signing_key}",
            "--disable-admission-plugins=ServiceAccount",
            f"--audit-policy-file={self.directory / 'audit.yaml'}",
            f"--audit-log-path={self.audit_log}",
            "--audit-log-mode=blocking",
        ]

    def _controller_flags(self) -> list[str]:
        certificate, key = self.server_certificate
        return [
            f"--kubeconfig={self.directory / 'controllers.kubeconfig'}",
            f"--controllers={','.join(_CONTROLLERS)}",
            "--leader-elect=false",
            "--use-service-account-credentials=false",
            "--bind-address=127.0.0.1",
            f"--secure-port={self._controllers_port}",
            f"--tls-cert-file={certificate}",
            f"--tls-private-key-file={key}",
        ]

    def _write_kubeconfig(self, path: Path, *, user: dict[str, str]) -> None:
        cluster = {"server": self.url, "certificate-authority": str(self.ca_file)}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": user}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        }
        path.write_text(yaml.safe_dump(config))
        path.chmod(0o600)


def _certificate(certificate: Path, key: Path) -> dict[str, str]:
    return {"client-certificate": str(certificate), "client-key": str(key)}
