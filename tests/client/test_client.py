"""The client against a server that misbehaves: what is retried, what an error, and what never taken for absent."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
import yaml
from aiohttp import web
from kubernetes.aio.config import incluster_config

from appconnectivity.cluster import client as client_module
from appconnectivity.cluster import configuration as configuration_module
from appconnectivity.cluster import errors
from appconnectivity.cluster.client import Client
from appconnectivity.cluster.configuration import load_configuration
from appconnectivity.cluster.kinds import APP_CONNECTIVITY, EVENT, NAMESPACE, NETWORK_POLICY, SERVICE
from cluster.pki import Authority

Answer = web.StreamResponse | Callable[[web.Request], Awaitable[web.StreamResponse]]

POLICIES = "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies"


def status(code: int, message: str = "said so", *, headers: Any = None, **more: Any) -> web.Response:
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code} | more
    return web.json_response(body, status=code, headers=headers)


def ok(body: Any = None) -> web.Response:
    return web.json_response({"metadata": {"resourceVersion": "1"}} if body is None else body)


def page(*names: str, **metadata: Any) -> web.Response:
    return ok({"metadata": {"resourceVersion": "9", **metadata}, "items": [{"metadata": {"name": n}} for n in names]})


class Server:
    """Answers requests in turn with what it was given (the last answer for ever), and keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.requests: list[tuple[str, str, dict[str, str], Any]] = []
        self.headers: list[Any] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        text = await request.text()
        self.requests.append((request.method, request.path, dict(request.query), json.loads(text) if text else None))
        self.headers.append(request.headers)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, web.StreamResponse):
            return _again(answer)
        return await answer(request)


def _again(answer: web.StreamResponse) -> web.StreamResponse:
    """A response can be sent once only."""
    assert isinstance(answer, web.Response)
    return web.Response(body=answer.body, status=answer.status, headers=answer.headers)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


def kubeconfig(path: Path, url: str, **user: Any) -> str:
    body = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "clusters": [{"name": "test", "cluster": {"server": url}}],
        "users": [{"name": "test", "user": user or {"token": "secret"}}],
    }
    path.write_text(yaml.safe_dump(body))
    return str(path)


@pytest.fixture
def seen() -> list[tuple[str, str, int]]:
    return []


@pytest.fixture
async def client(
    server: Server, tmp_path: Path, seen: list[tuple[str, str, int]], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Client]:
    monkeypatch.setattr(client_module, "TIMEOUT", aiohttp.ClientTimeout(total=0.3))
    monkeypatch.setattr(random, "uniform", lambda *_: 0.001)
    configuration = await load_configuration(kubeconfig=kubeconfig(tmp_path / "config", server.url), context=None)
    made = Client(configuration, observer=lambda *told: seen.append(told))
    yield made
    await made.close()


def body(**metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p", "namespace": "shop", "uid": "u", "resourceVersion": "7"} | metadata}


# Lists.


async def test_a_list_is_read_page_by_page_and_consistently(server: Server, client: Client) -> None:
    server.answers = [page("a", "b", **{"continue": "token"}), page("c")]
    found = await client.list(NETWORK_POLICY, namespace="shop", label_selector="x=y")

    assert [entry["metadata"]["name"] for entry in found] == ["a", "b", "c"]
    query = {"limit": str(client_module.PAGE_SIZE), "labelSelector": "x=y"}
    assert [(path, asked) for _, path, asked, _ in server.requests] == [
        (POLICIES, query),
        (POLICIES, query | {"continue": "token"}),
    ]


NO_LISTS = [
    pytest.param(status(500), id="the-second-page-fails"),
    pytest.param(status(410, "expired"), id="the-continue-token-has-expired"),
    pytest.param(status(403), id="forbidden"),
    pytest.param(status(404, "the server could not find the requested resource"), id="no-such-kind"),
    pytest.param(web.Response(text="404 page not found", status=404), id="no-such-path"),
    pytest.param(web.Response(text='{"metadata": {}, "items": [', content_type="application/json"), id="cut-off"),
    pytest.param(web.Response(text="<html>welcome</html>"), id="no-json"),
    pytest.param(ok({"metadata": {"resourceVersion": "1"}}), id="no-items"),
    pytest.param(ok({"items": None, "metadata": {}}), id="null-items"),
    pytest.param(ok([]), id="a-bare-list"),
    pytest.param(ok({}), id="an-empty-object"),
]


@pytest.mark.parametrize("answer", NO_LISTS)
@pytest.mark.parametrize("pages_before", [0, 1])
async def test_what_is_no_whole_list_is_an_error_and_never_a_part(
    server: Server, client: Client, answer: Answer, pages_before: int
) -> None:
    server.answers = [*([page("a", **{"continue": "token"})] * pages_before), answer]

    with pytest.raises(errors.ClusterError):
        await client.list(NETWORK_POLICY, namespace="shop")


async def test_a_list_of_a_kind_that_is_missing_is_unavailable_and_not_empty(server: Server, client: Client) -> None:
    server.answers = [status(404, "the server could not find the requested resource")]

    with pytest.raises(errors.Unavailable):
        await client.list(APP_CONNECTIVITY)


async def test_everything_of_a_kind_is_without_the_fields_of_managers_and_as_of_a_version(
    server: Server, client: Client
) -> None:
    managed = body(managedFields=[{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}])
    last = {"metadata": {"resourceVersion": "9"}, "items": [managed]}
    server.answers = [page("a", **{"continue": "token"}), ok(last)]
    found = await client.everything(NETWORK_POLICY)

    assert [entry["metadata"]["name"] for entry in found.store.bodies()] == ["a", "p"]
    assert found.store.bodies("shop")[0]["metadata"]["managedFields"] == [{"manager": "kubectl"}]
    assert found.store.versions["u"] == 7
    assert found.version == 9


async def test_what_was_written_is_told_as_it_is_then(server: Server, client: Client) -> None:
    told: list[Any] = []
    client.wrote = lambda plural, what, answer: told.append((plural, what, answer["metadata"]["resourceVersion"]))
    server.answers = [ok(body(resourceVersion="12")), ok(body(resourceVersion="13")), ok(body(resourceVersion="14"))]
    await client.apply(NETWORK_POLICY, body(), force=True)
    await client.create(NETWORK_POLICY, body())
    await client.get(NETWORK_POLICY, name="p", namespace="shop")

    await client.delete(NETWORK_POLICY, body())

    plural = NETWORK_POLICY.plural
    assert told == [(plural, "MODIFIED", "12"), (plural, "MODIFIED", "13"), (plural, "DELETED", "7")]


async def test_a_recent_list_is_not_older_than_anything_that_was_heard_of_its_kind(
    server: Server, client: Client
) -> None:
    server.answers = [page("a"), page("a"), ok(body(resourceVersion="12")), page("a")]
    await client.list(NETWORK_POLICY, namespace="shop", recent=True)
    await client.list(NETWORK_POLICY, namespace="shop", recent=True)
    await client.apply(NETWORK_POLICY, body(), force=True)
    client.versions.note("networkpolicies", body(resourceVersion="11"))
    client.versions.note("services", body(resourceVersion="99"))
    await client.list(NETWORK_POLICY, namespace="shop", recent=True)
    await client.list(NETWORK_POLICY, namespace="shop")

    now = {"limit": str(client_module.PAGE_SIZE)}
    bound = {"resourceVersion": "9", "resourceVersionMatch": "NotOlderThan"}
    asked = [query for method, _, query, _ in server.requests if method == "GET"]
    assert asked == [now, bound, bound | {"resourceVersion": "12"}, now]


async def test_a_version_that_the_server_does_not_know_is_asked_for_no_more(server: Server, client: Client) -> None:
    """As after its store was put back to an older state. It has waited for that version for three seconds already."""
    client.versions.note("networkpolicies", body(resourceVersion="1000"))
    causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
    unknown = status(504, "Too large resource version: 1000, current: 9", details={"causes": causes})
    server.answers = [unknown, page("a"), page("b")]

    assert [entry["metadata"]["name"] for entry in await client.list(NETWORK_POLICY, recent=True)] == ["a"]
    assert [entry["metadata"]["name"] for entry in await client.list(NETWORK_POLICY, recent=True)] == ["b"]
    assert [query.get("resourceVersion") for _, _, query, _ in server.requests] == ["1000", None, "9"]


async def test_a_version_that_was_heard_of_after_that_does_not_do_alone(server: Server, client: Client) -> None:
    """It may be that of an object that has not changed for long."""
    client.versions.note("networkpolicies", body(resourceVersion="1000"))
    client.versions.doubt("networkpolicies")
    client.versions.note("networkpolicies", body(resourceVersion="5"))
    server.answers = [page("a")]
    for _ in range(2):
        await client.list(NETWORK_POLICY, recent=True)

    assert [query.get("resourceVersion") for _, _, query, _ in server.requests] == [None, "9"]


async def test_after_a_deletion_policies_are_read_as_they_are_now(server: Server, client: Client) -> None:
    """Its answer does not say which version has them no more."""
    client.versions.note("networkpolicies", body(resourceVersion="7"))
    server.answers = [ok({"kind": "Status", "status": "Success"}), page("a")]
    await client.delete(NETWORK_POLICY, body())
    await client.list(NETWORK_POLICY, recent=True)

    assert "resourceVersion" not in server.requests[-1][2]


async def test_an_object_is_read_not_older_than_what_was_heard_of_its_kind(server: Server, client: Client) -> None:
    client.versions.note("namespaces", body(resourceVersion="7"))
    server.answers = [ok()]
    await client.get(NAMESPACE, name="shop", recent=True)
    await client.get(NAMESPACE, name="shop")

    assert [query for _, _, query, _ in server.requests] == [{"resourceVersion": "7"}, {}]


@pytest.mark.parametrize("version", ["", "abc", "-1", "1.5"])
async def test_a_version_that_is_no_number_says_nothing(client: Client, version: str) -> None:
    client.versions.note("networkpolicies", body(resourceVersion=version))
    client.versions.note("networkpolicies", {})

    assert client.versions.newest("networkpolicies") == ""


@pytest.mark.parametrize("verb", ["apply", "patch", "create", "delete"])
@pytest.mark.parametrize(
    ("said", "sent"),
    [
        pytest.param([True, True, False], 1, id="not-by-another-try-either"),
        pytest.param([True, False, False], 0, id="nor-once-there-is-a-connection"),
        pytest.param([False], 0, id="not-at-all"),
    ],
)
async def test_who_may_not_write_reads_on(
    server: Server, tmp_path: Path, verb: str, said: list[bool], sent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "uniform", lambda *_: 0.001)
    configuration = await load_configuration(kubeconfig=kubeconfig(tmp_path / "config", server.url), context=None)
    answers = iter(said)
    client = Client(configuration, may_write=lambda: next(answers))
    server.answers = [status(500), ok()]
    calls: dict[str, Callable[[], Awaitable[Any]]] = {
        "apply": lambda: client.apply(NETWORK_POLICY, body(), force=True),
        "patch": lambda: client.patch(NETWORK_POLICY, body(), []),
        "create": lambda: client.create(EVENT, body()),
        "delete": lambda: client.delete(NETWORK_POLICY, body()),
    }
    try:
        with pytest.raises(errors.Unavailable, match="Lease"):
            await calls[verb]()
        assert len(server.requests) == sent
        server.answers = [ok()]
        assert await client.get(NAMESPACE, name="shop") is not None
    finally:
        await client.close()


# Retries.


async def test_too_many_requests_are_tried_again_after_the_time_that_was_asked_for(
    server: Server, client: Client, seen: list[Any]
) -> None:
    server.answers = [status(429, headers={"Retry-After": "1"}), page("a")]
    began = time.monotonic()
    found = await client.list(NETWORK_POLICY, namespace="shop")

    assert len(found) == 1
    assert time.monotonic() - began >= 1.0
    assert seen == [("list", "networkpolicies", 429), ("list", "networkpolicies", 200)]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(status(500), id="500"),
        pytest.param(status(503), id="503"),
        pytest.param(status(504), id="504"),
        pytest.param(status(429), id="429"),
        pytest.param(web.Response(text='{"items": [', content_type="application/json"), id="cut-off-json"),
        pytest.param(status(429, headers={"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}), id="a-date-to-retry-after"),
        pytest.param(status(429, headers={"Retry-After": "-5"}), id="a-negative-time-to-retry-after"),
    ],
)
async def test_a_passing_trouble_passes(server: Server, client: Client, answer: Answer) -> None:
    server.answers = [answer, ok(body())]

    assert await client.get(NETWORK_POLICY, namespace="shop", name="p") == body()


async def test_a_lasting_trouble_is_unavailable_after_a_few_tries(server: Server, client: Client) -> None:
    server.answers = [status(500, "etcd is sad")]
    with pytest.raises(errors.Unavailable, match="etcd is sad"):
        await client.list(NETWORK_POLICY)

    assert len(server.requests) == 4


async def test_a_connection_that_is_cut_is_tried_again(server: Server, client: Client) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    server.answers = [cut, ok(body())]

    assert await client.get(NETWORK_POLICY, namespace="shop", name="p") == body()


async def test_a_body_that_ends_too_soon_is_tried_again(server: Server, client: Client) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b'{"items": [], "metadata": {}}')
        assert request.transport is not None
        request.transport.close()
        return response

    server.answers = [cut, page("a")]

    assert len(await client.list(NETWORK_POLICY)) == 1


async def test_a_server_that_holds_its_answer_back_is_unavailable(
    server: Server, client: Client, seen: list[Any]
) -> None:
    async def hold(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(5)
        return ok()

    server.answers = [hold]
    began = time.monotonic()
    with pytest.raises(errors.Unavailable, match="TimeoutError"):
        await client.get(SERVICE, namespace="shop", name="db")

    assert time.monotonic() - began < 3
    assert set(seen) == {("get", "services", 0)}


async def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        configuration = await load_configuration(kubeconfig=kubeconfig(tmp_path / "config", url), context=None)
        client = Client(configuration)
        with pytest.raises(errors.Unavailable, match="Connect"):
            await client.list(NETWORK_POLICY)
        await client.close()


async def test_only_so_many_requests_are_under_way_at_once(server: Server, tmp_path: Path) -> None:
    here, most = 0, 0

    async def slowly(_: web.Request) -> web.StreamResponse:
        nonlocal here, most
        here += 1
        most = max(most, here)
        await asyncio.sleep(0.01)
        here -= 1
        return page()

    server.answers = [slowly]
    configuration = await load_configuration(kubeconfig=kubeconfig(tmp_path / "config2", server.url), context=None)
    client = Client(configuration, in_flight=3)
    await asyncio.gather(*(client.list(NETWORK_POLICY) for _ in range(12)))
    await client.close()

    assert most == 3


# What answers mean.


async def test_what_the_api_server_says_is_not_there_is_none(server: Server, client: Client) -> None:
    server.answers = [status(404, 'services "db" not found', reason="NotFound")]

    assert await client.get(SERVICE, namespace="shop", name="db") is None


async def test_a_namespace_that_is_not_there_is_none(server: Server, client: Client) -> None:
    server.answers = [status(404, 'namespaces "shop" not found', reason="NotFound")]

    assert await client.get(NAMESPACE, name="shop") is None


async def test_a_404_of_somebody_else_on_the_way_does_not_mean_that_it_is_gone(server: Server, client: Client) -> None:
    """A load balancer without a back end says 404 too; to conclude that DNS or a namespace is gone would do harm."""
    server.answers = [web.Response(text="404 page not found", status=404)]

    with pytest.raises(errors.Unavailable):
        await client.get(SERVICE, namespace="kube-system", name="kube-dns")
    with pytest.raises(errors.Unavailable):
        await client.delete(NETWORK_POLICY, body())


TERMINATING = {"causes": [{"reason": "NamespaceTerminating", "message": "namespace shop is being terminated"}]}

ANSWERS = [
    pytest.param(status(400), errors.Rejected, id="400"),
    pytest.param(status(401), errors.Unavailable, id="401-may-be-a-token-that-rotates"),
    pytest.param(status(403), errors.Forbidden, id="403"),
    pytest.param(status(403, details=TERMINATING), errors.NamespaceGone, id="403-terminating"),
    pytest.param(status(404, 'namespaces "shop" not found'), errors.NamespaceGone, id="404-namespace"),
    pytest.param(status(409), errors.Conflict, id="409"),
    pytest.param(status(413), errors.Rejected, id="413"),
    pytest.param(status(422), errors.Rejected, id="422"),
]


@pytest.mark.parametrize(("answer", "error"), ANSWERS)
async def test_an_answer_is_an_error_by_what_to_do_about_it(
    server: Server, client: Client, answer: Answer, error: type[errors.ClusterError]
) -> None:
    server.answers = [answer]
    with pytest.raises(errors.ClusterError) as found:
        await client.apply(NETWORK_POLICY, body(), force=False)

    assert type(found.value) is error
    assert len(server.requests) == 1


async def test_text_that_is_no_status_stays_out_of_messages(server: Server, client: Client) -> None:
    server.answers = [web.Response(text="<html>token=secret</html>", status=403)]
    with pytest.raises(errors.Forbidden) as found:
        await client.list(NETWORK_POLICY)

    assert "secret" not in str(found.value)


# Requests.


async def test_an_apply_says_who_applies_and_forces_only_when_told(server: Server, client: Client) -> None:
    server.answers = [ok()]
    await client.apply(NETWORK_POLICY, body(), force=False)
    await client.apply(APP_CONNECTIVITY, body(), force=True, subresource="status")

    (patch, path, query, sent), (_, status_path, forced, _) = server.requests
    assert (patch, path, query, sent) == ("PATCH", f"{POLICIES}/p", {"fieldManager": "appconnectivity"}, body())
    assert status_path == "/apis/appconnectivity.io/v1alpha1/namespaces/shop/appconnectivities/p/status"
    assert forced == {"fieldManager": "appconnectivity", "force": "true"}
    assert {sent["Content-Type"] for sent in server.headers} == {"application/apply-patch+yaml"}


async def test_a_json_patch_is_one(server: Server, client: Client) -> None:
    server.answers = [ok()]
    operations = [{"op": "replace", "path": "/spec", "value": {}}]
    await client.patch(NETWORK_POLICY, body(), operations)

    assert server.requests[0][3] == operations
    assert server.headers[0]["Content-Type"] == "application/json-patch+json"


async def test_a_json_patch_may_demand_that_nothing_has_changed_since_it_was_read(
    server: Server, client: Client
) -> None:
    server.answers = [ok()]
    operations = [{"op": "replace", "path": "/spec", "value": {}}]
    await client.patch(NETWORK_POLICY, body(), operations, if_unchanged=True)

    guard = {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"}
    assert server.requests[0][3] == [guard, *operations]


async def test_an_object_is_created_in_its_namespace(server: Server, client: Client) -> None:
    server.answers = [ok()]
    await client.create(EVENT, body())

    assert server.requests[0][:2] == ("POST", "/api/v1/namespaces/shop/events")


async def test_only_what_was_read_is_deleted(server: Server, client: Client) -> None:
    server.answers = [ok()]
    await client.delete(NETWORK_POLICY, body())

    (method, path, _, sent) = server.requests[0]
    assert (method, path) == ("DELETE", f"{POLICIES}/p")
    assert sent["preconditions"] == {"uid": "u", "resourceVersion": "7"}


async def test_what_is_gone_already_need_not_be_deleted(server: Server, client: Client) -> None:
    server.answers = [status(404, 'networkpolicies.networking.k8s.io "p" not found', reason="NotFound")]

    await client.delete(NETWORK_POLICY, body())


async def test_what_has_changed_since_is_not_deleted(server: Server, client: Client) -> None:
    server.answers = [status(409, "the UID in the precondition does not match")]

    with pytest.raises(errors.Conflict):
        await client.delete(NETWORK_POLICY, body())


# Credentials and the way there.


async def test_the_token_is_sent(server: Server, client: Client) -> None:
    server.answers = [page()]
    await client.list(NETWORK_POLICY)

    assert server.headers[0]["Authorization"] == "Bearer secret"
    assert (await client.connection()).token == "secret"
    assert (await client.connection()).server == server.url


def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the official loader alone, which reads the token of a pod again after a minute: each look is two later."""
    start, looks = datetime.now(), count(1)  # noqa: DTZ005 - as the loader has it

    class Hurried(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:  # noqa: ARG003 - the signature of what it replaces
            return start + timedelta(minutes=2 * next(looks))

    monkeypatch.setattr(incluster_config, "datetime", SimpleNamespace(datetime=Hurried, timedelta=timedelta))


async def token_after_a_rotation(configuration: Any, rotate: Callable[[], object]) -> list[str | None]:
    """The tokens before and after the file is written anew and some time has passed."""
    client = Client(configuration)
    try:
        first = (await client.connection()).token
        rotate()
        return [first, (await client.connection()).token]
    finally:
        await client.close()


@pytest.fixture
def token(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text("first")
    return file


async def in_a_pod(token: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The configuration by a service account's token file."""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "1")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(Authority(tmp_path).file))
    return await load_configuration(kubeconfig=None, context=None)


async def test_a_rotated_token_of_a_pod_is_read_again(
    token: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration = await in_a_pod(token, tmp_path, monkeypatch)
    _hurry(monkeypatch)

    assert await token_after_a_rotation(configuration, lambda: token.write_text("second")) == ["first", "second"]


async def test_a_rotated_token_file_of_a_kubeconfig_is_read_again(
    token: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = kubeconfig(tmp_path / "config", "http://127.0.0.1:1", tokenFile=str(token))
    configuration = await load_configuration(kubeconfig=path, context=None)
    monkeypatch.setattr(configuration_module, "TOKEN_SECONDS", 0.0)

    assert await token_after_a_rotation(configuration, lambda: token.write_text("second")) == ["first", "second"]


async def test_a_token_of_a_pod_that_can_not_be_read_is_no_answer(
    token: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Caught in the middle of a rotation, say: nothing is known, and another try may do."""
    client = Client(await in_a_pod(token, tmp_path, monkeypatch))
    token.write_text("")  # noqa: ASYNC240 - a few bytes
    _hurry(monkeypatch)
    try:
        with pytest.raises(errors.Unavailable, match="credentials can't be read: Token file exists but empty"):
            await client.get(NAMESPACE, name="shop")
        with pytest.raises(errors.Unavailable, match="credentials can't be read"):
            await client.connection()
    finally:
        await client.close()


async def test_a_token_file_that_is_gone_for_a_moment_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    token.write_text("first")
    path = kubeconfig(tmp_path / "config", "http://127.0.0.1:1", tokenFile=str(token))
    client = Client(await load_configuration(kubeconfig=path, context=None))
    monkeypatch.setattr(configuration_module, "TOKEN_SECONDS", 0.0)
    token.unlink()

    assert (await client.connection()).token == "first"
    await client.close()


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
async def test_a_proxy_of_the_environment_is_not_used(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    server.answers = [page("a")]
    configuration = await load_configuration(kubeconfig=kubeconfig(tmp_path / "config", server.url), context=None)
    client = Client(configuration)
    try:
        assert len(await client.list(NETWORK_POLICY)) == 1
    finally:
        await client.close()


async def test_without_any_way_to_a_cluster_it_is_said_how_to_give_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(errors.Unavailable, match="no such file"):
        await load_configuration(kubeconfig=str(tmp_path / "missing"), context=None)
    with pytest.raises(errors.Unavailable, match="--kubeconfig"):
        await load_configuration(kubeconfig=kubeconfig(tmp_path / "config", "http://127.0.0.1:1"), context="other")
