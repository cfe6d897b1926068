"""Tokens that are taken back, and a CA that is replaced, while the operator runs (RELIABILITY F13)."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

from cluster.controlplane import ControlPlane
from cluster.faults import FaultProxy
from cluster.operator import NAMESPACE, SERVICE_ACCOUNT
from cluster.pki import Authority
from e2e.conftest import Team, eventually, flow
from faults.conftest import Patient, connect_at_rest


@dataclass
class Wallet:
    """A file with a token that changes, and tokens that can be taken back: each is bound to a Secret."""

    plane: ControlPlane
    proxy: FaultProxy

    def take(self, kubeconfig: Path) -> Path:
        """Makes a kubeconfig of this one that leads through the proxy, with a first token in a file."""
        self.put_in("first")
        config = yaml.safe_load(self.proxy.kubeconfig(kubeconfig).read_text())
        config["users"][0]["user"] = {"tokenFile": str(self._file)}
        taken = kubeconfig.with_suffix(".wallet")
        taken.write_text(yaml.safe_dump(config))
        return taken

    def put_in(self, secret: str) -> None:
        """A new token, in place of the one before."""
        self.plane.kubectl("create", "secret", "generic", secret, "-n", NAMESPACE)
        bound = ("--bound-object-kind=Secret", f"--bound-object-name={secret}")
        token = self.plane.kubectl("create", "token", SERVICE_ACCOUNT, "-n", NAMESPACE, *bound).stdout.strip()
        for file in (self._file, self._copy(secret)):
            file.write_text(token)

    def take_back(self, secret: str) -> None:
        """Its token is refused when this returns: the API server believes in a token for ten seconds."""
        self.plane.kubectl("delete", "secret", secret, "-n", NAMESPACE)
        eventually(lambda: "Unauthorized" in self._who_is(secret), within=30)

    def _who_is(self, secret: str) -> str:
        server = ("--server", self.plane.url, "--certificate-authority", self.plane.ca_file)
        asking = ("auth", "whoami", *server, "--token", self._copy(secret).read_text())
        return self.plane.kubectl(*asking, kubeconfig=Path("/dev/null"), check=False).stderr

    @property
    def _file(self) -> Path:
        return self.plane.directory / "token"

    def _copy(self, secret: str) -> Path:
        return self._file.with_suffix(f".{secret}")


def test_tokens_are_rotated_and_the_old_ones_taken_back(
    new_patient: Callable[..., Patient], proxy: FaultProxy, team: Team
) -> None:
    wallet = Wallet(team.plane, proxy)
    patient = new_patient("--sweep-interval", "1", sabotage="hurry", by=wallet.take)
    team.connect("shop", flow("frontend", "api", 8080))
    team.wait_ready()

    wallet.put_in("second")
    wallet.take_back("first")
    proxy.cut("watch")
    team.connect("shop", flow("frontend", "api", 8080), flow("worker", "api", 8080))
    team.wait_ready()

    wallet.take_back("second")  # before there is another
    began = time.monotonic()
    proxy.cut("watch")
    eventually(lambda: max(refused(proxy, since=began).values(), default=0) > 3)
    seconds = time.monotonic() - began
    assert {path: count for path, count in refused(proxy, since=began).items() if count > seconds + 2} == {}
    team.connect("shop", flow("frontend", "api", 8080), flow("worker", "api", 8080), flow("cron", "api", 8080))
    wallet.put_in("third")
    team.wait_ready()
    assert patient.deleted() == []
    patient.is_well()


def test_another_ca_takes_the_place_of_the_one_before(
    new_patient: Callable[..., Patient], proxy: FaultProxy, team: Team, tmp_path: Path
) -> None:
    """In the server's certificate first, and later in the file of those who are trusted."""
    trusted = tmp_path / "trusted.crt"
    trusted.write_text(team.plane.ca_file.read_text())
    patient = new_patient(by=lambda path: trusting(trusted, proxy.kubeconfig(path)))
    connect_at_rest(patient, team)
    stood = team.policies()

    renewed = Authority(tmp_path)
    proxy.show(renewed.issue("kube-apiserver", addresses=("127.0.0.1",)))
    team.connect("shop", flow("frontend", "api", 8080), flow("worker", "api", 8080))
    eventually(lambda: "certificate" in patient.operator.log.read_text().lower())
    time.sleep(3)
    assert team.policies() == stood
    assert patient.operator.get("/healthz") == (200, "ok")

    trusted.write_text("")  # first half of it, for a moment
    eventually(lambda: "could not be read again" in patient.operator.log.read_text(), within=30)
    trusted.write_text(renewed.file.read_text())
    eventually(lambda: "shop.worker-to-api.ingress" in team.policies(), within=60)
    team.wait_ready()
    patient.wait_until_no_sweep_is_near()
    team.connect("shop", flow("frontend", "api", 8080))
    # By a watch; kopf waits longer and longer before it begins one.
    eventually(lambda: team.policies().keys() == stood.keys(), within=40)
    assert sorted(patient.deleted()) == ["shop.worker-to-api.egress", "shop.worker-to-api.ingress"]
    patient.is_well()


def trusting(file: Path, kubeconfig: Path) -> Path:
    """A kubeconfig for whom this file says who is trusted."""
    config = yaml.safe_load(kubeconfig.read_text())
    config["clusters"][0]["cluster"]["certificate-authority"] = str(file)
    taken = kubeconfig.with_suffix(".trusting")
    taken.write_text(yaml.safe_dump(config))
    return taken


def refused(proxy: FaultProxy, *, since: float) -> Counter[str]:
    """How often each watch was asked for in vain."""
    return Counter(a.path for a in proxy.log if (a.verb, a.status) == ("watch", 401) and a.at >= since)
