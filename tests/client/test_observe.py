"""What the observer keeps between passes: the cluster's DNS, which every namespace asks for."""

from __future__ import annotations

from typing import Any, cast

import pytest

from appconnectivity.cluster import errors
from appconnectivity.cluster.client import Client
from appconnectivity.cluster.kinds import SERVICE, Kind
from appconnectivity.cluster.observe import DNS_SECONDS, Observer
from appconnectivity.cluster.reads import Recent
from appconnectivity.core.facts import Options

KUBE_DNS = ("kube-system", "kube-dns")


class FakeClient:
    """A cluster with a DNS Service, whose selector is ``label``."""

    def __init__(self) -> None:
        self.label, self.asked = "one", 0
        self.refusal: Exception | None = None

    async def get(self, kind: Kind, *, name: str, namespace: str = "", **_: Any) -> dict[str, Any] | None:
        if kind is not SERVICE:
            return None
        self.asked += 1
        if self.refusal is not None:
            raise self.refusal
        ports = [{"port": 53, "protocol": "UDP"}]
        spec = {"selector": {"k8s-app": self.label}, "ports": ports}
        return {"metadata": {"namespace": namespace, "name": name}, "spec": spec}


class Fixture:
    def __init__(self) -> None:
        self.client, self.now = FakeClient(), 0.0
        live = Recent(cast("Client", self.client))
        self.observer = Observer(
            now=live, recent=live, options=Options(), dns_services=[KUBE_DNS], clock=lambda: self.now
        )

    async def label(self) -> str:
        ((service,), _) = await self.observer.dns()
        assert service.selector is not None
        return str(service.selector.to_dict()["matchLabels"]["k8s-app"])


@pytest.fixture
def dns() -> Fixture:
    return Fixture()


def of(namespace: str) -> dict[str, Any]:
    return {"metadata": {"namespace": namespace, "name": "kube-dns"}}


async def test_many_passes_read_the_dns_once(dns: Fixture) -> None:
    assert [await dns.label() for _ in range(3)] == ["one"] * 3
    assert dns.client.asked == 1


async def test_an_event_of_it_makes_the_next_pass_read_it_anew(dns: Fixture) -> None:
    await dns.label()
    dns.client.label = "two"
    dns.observer.forget_dns(of("elsewhere"))
    assert await dns.label() == "one"

    dns.observer.forget_dns(of("kube-system"))
    assert await dns.label() == "two"


async def test_without_an_event_it_is_read_anew_after_some_seconds(dns: Fixture) -> None:
    await dns.label()
    dns.client.label, dns.now = "two", DNS_SECONDS

    assert await dns.label() == "two"


async def test_what_was_read_while_it_changed_is_not_kept(dns: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """The event may come between the answer's making and its arrival."""
    get = dns.client.get

    async def changed_meanwhile(*arguments: Any, **named: Any) -> dict[str, Any] | None:
        answer = await get(*arguments, **named)
        dns.observer.forget_dns(of("kube-system"))
        return answer

    with monkeypatch.context() as patched:
        patched.setattr(dns.client, "get", changed_meanwhile)
        await dns.label()
    dns.client.label = "two"

    assert await dns.label() == "two"


async def test_a_failed_read_is_an_error_each_time(dns: Fixture) -> None:
    dns.client.refusal = errors.Unavailable("no answer")
    for _ in range(2):
        with pytest.raises(errors.Unavailable):
            await dns.observer.dns()
