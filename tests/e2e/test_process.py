"""The operator as a process: how it starts, what it says of itself, how it bears a missing API server, how it ends."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from appconnectivity.controller.metrics import Metrics
from cluster import processes
from cluster.controlplane import ControlPlane
from cluster.operator import USER, Operator, install
from e2e.conftest import Team, appconn, eventually, flow

MANY = 200
STOP_SECONDS = 10.0


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """One of its own: its API server is stopped and started, and each test has an operator of its own."""
    with ControlPlane() as own:
        install(own)
        yield own


@pytest.fixture
def operator(plane: ControlPlane) -> Iterator[Operator]:
    running = Operator(plane)
    running.wait_ready()
    yield running
    running.stop()


@pytest.fixture
def team(plane: ControlPlane, request: pytest.FixtureRequest) -> Iterator[Team]:
    name = re.sub("[^a-z]+", "-", request.node.name)[5:60].strip("-")
    plane.kubectl("create", "namespace", name)
    yield Team(plane=plane, namespace=name)
    plane.kubectl("delete", "namespace", name, "--wait=false")


def log_lines(operator: Operator) -> list[dict[str, Any]]:
    return [json.loads(line) for line in operator.log.read_text().splitlines()]


def test_it_runs_as_a_user_without_a_name(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """So it is in its image: the Deployment's user is a number, and /etc/passwd does not know it."""
    (tmp_path / "sitecustomize.py").write_text("import pwd\npwd.getpwuid = {}.__getitem__\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)

    running = Operator(plane)
    running.wait_ready()

    assert running.stop()[0] == 0


def test_every_log_line_is_an_object_that_says_when_how_grave_and_what(operator: Operator, team: Team) -> None:
    team.connect("shop", flow("web", "api", 8080))
    team.wait_ready()
    team.delete("networkpolicy", "shop.web-to-api.egress")
    eventually(lambda: team.events("DriftRepaired"))
    operator.stop()

    lines = log_lines(operator)
    assert all(line["message"] and datetime.fromisoformat(line["time"]) for line in lines)
    assert {"INFO", "WARNING"} <= {line["level"] for line in lines} <= {"INFO", "WARNING", "ERROR"}
    messages = [line["message"] for line in lines]
    assert f"create NetworkPolicy {team.namespace}/shop.web-to-api.egress" in messages
    assert messages[-1] == "stopping"


def test_it_stops_gracefully_in_the_middle_of_work(plane: ControlPlane, team: Team) -> None:
    running = Operator(plane)
    running.wait_ready()
    objects = [appconn(f"shop-{number}", flow("web", f"api-{number}", 8080)) for number in range(MANY)]
    applying = threading.Thread(target=team.apply, args=objects)
    applying.start()
    eventually(lambda: running.metric("appconnectivity_writes_total", kind="networkpolicies") > MANY / 10)

    code, seconds = running.stop()
    applying.join()

    assert (code, seconds < STOP_SECONDS) == (0, True), f"{code} after {seconds:.1f} s"
    assert "Traceback" not in running.log.read_text()
    assert len(team.policies()) < 2 * MANY, "it was too late to be in the middle"


def test_what_a_stopped_one_left_is_finished_by_the_next(plane: ControlPlane, team: Team) -> None:
    team.apply(*(appconn(f"shop-{number}", flow("web", f"api-{number}", 8080)) for number in range(20)))
    first = Operator(plane)
    eventually(lambda: len(team.policies()) > 2)
    assert first.stop()[0] == 0

    second = Operator(plane)
    second.wait_ready()
    eventually(lambda: len(team.policies()) == 2 + 2 * 20)
    assert second.stop()[0] == 0


@pytest.mark.parametrize(
    ("probe", "answers"),
    [pytest.param("/healthz", (200, 500), id="as-it-listens"), pytest.param("/readyz", (200,), id="as-it-is-ready")],
)
def test_it_stops_soon_in_its_first_moments(
    plane: ControlPlane, team: Team, probe: str, answers: tuple[int, ...]
) -> None:
    team.connect("shop", flow("web", "api", 8080))
    running = Operator(plane)
    eventually(lambda: running.get(probe)[0] in answers)

    code, seconds = running.stop()

    assert (code, seconds < STOP_SECONDS / 2) == (0, True), f"{code} after {seconds:.1f} s"
    assert "Traceback" not in running.log.read_text()


def test_an_idle_one_stops_at_once(operator: Operator) -> None:
    time.sleep(3)  # its watches have all begun: before, kopf has to be cut
    code, seconds = operator.stop()

    assert (code, seconds < STOP_SECONDS / 4) == (0, True), f"{code} after {seconds:.1f} s"


def test_the_probes_answer(operator: Operator) -> None:
    assert operator.get("/healthz") == (200, "ok")
    assert operator.get("/readyz") == (200, "ok")
    assert operator.get("/nothing")[0] == 404


def test_every_metric_is_exported(operator: Operator, team: Team) -> None:
    names = {
        f"{metric.name}_total" if metric.type == "counter" else metric.name for metric in Metrics().registry.collect()
    }
    text = operator.get("/metrics")[1]

    assert len(names) >= 14
    assert {name for name in names if f"# TYPE {name} " not in text} == set()


def test_the_metrics_move_with_what_happens(operator: Operator, team: Team) -> None:
    def value(name: str, **labels: str) -> float:
        return operator.metric(f"appconnectivity_{name}", **labels)

    here = {"namespace": team.namespace}
    foreign = _foreign_policy("shop.web-to-db.egress")
    team.apply(foreign)
    team.connect("shop", flow("web", "api", 8080), flow("web", "db", 5432), flow("web", {"service": "none"}))
    team.apply(appconn("other"))

    eventually(lambda: value("flows", state="Unresolved", **here) == 1)
    assert (value("flows", state="Active", **here), value("flows", state="Conflict", **here)) == (1, 1)
    assert value("name_conflicts", **here) == 1
    # Default-deny, DNS, both halves of one flow, and the half of the other that is ours.
    assert value("managed_policies", **here) == 5
    assert value("writes_total", verb="patch", kind="networkpolicies") >= 5
    eventually(lambda: value("writes_total", verb="create", kind="events") >= 1)
    eventually(lambda: value("reconciles_total", result="ok") >= 1)
    eventually(lambda: value("reconcile_duration_seconds_count") >= 1)
    assert value("api_requests_total", verb="list", code="200") >= 4
    assert 0 <= time.time() - value("last_sweep_timestamp_seconds") < 60

    team.delete("networkpolicy", "shop.web-to-api.egress")
    eventually(lambda: value("drift_repairs_total") == 1)
    # A flow that is taken back is the operator's to remove; of a deleted object garbage collection may be the faster.
    team.connect("shop", flow("web", "db", 5432), flow("web", {"service": "none"}))
    eventually(lambda: value("writes_total", verb="delete", kind="networkpolicies") >= 1)
    team.delete("appconn", "shop")
    team.delete("appconn", "other")
    eventually(lambda: value("managed_policies", **here) == 0)


def test_the_queue_is_seen_to_fill_and_to_empty(plane: ControlPlane) -> None:
    names = [f"queued-{number}" for number in range(20)]
    places = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in names]
    objects = [
        appconn("shop", flow("web", "api", 8080)) | {"metadata": {"name": "shop", "namespace": n}} for n in names
    ]
    plane.kubectl("apply", "-f", "-", input=yaml.safe_dump_all([*places, *objects]))
    running = Operator(plane, "--workers", "1")
    eventually(lambda: running.get("/metrics")[0] == 200)

    eventually(lambda: running.metric("appconnectivity_queue_depth") > 1)
    eventually(lambda: running.metric("appconnectivity_queue_oldest_seconds") > 0)
    eventually(lambda: running.metric("appconnectivity_queue_depth") == 0)

    eventually(lambda: running.metric("appconnectivity_queue_oldest_seconds") == 0)
    eventually(lambda: running.metric("appconnectivity_managed_policies") == 4 * len(names), what="the last pass")
    assert running.stop()[0] == 0
    plane.kubectl("delete", "namespace", *names, "--wait=false")


def _foreign_policy(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": {"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Egress"]},
    }


def test_it_goes_on_when_the_api_server_was_away_and_deletes_nothing(
    plane: ControlPlane, operator: Operator, team: Team
) -> None:
    team.connect("shop", flow("web", "api", 8080))
    team.wait_ready()
    before = {name: body["metadata"]["uid"] for name, body in team.policies().items()}
    asked = len(plane.audit_events(user=USER))

    plane.stop_apiserver()
    health = _health_for(operator, seconds=4)
    plane.start_apiserver()

    assert health == {(200, "ok")}
    team.connect("shop", flow("web", "api", 8080), flow("api", "db", 5432))
    eventually(lambda: len(team.policies()) == len(before) + 2, within=60)
    assert before.items() <= {name: body["metadata"]["uid"] for name, body in team.policies().items()}.items()
    assert "delete" not in {event["verb"] for event in plane.audit_events(user=USER)[asked:]}
    assert operator.get("/healthz") == (200, "ok")
    assert operator.stop()[0] == 0
    assert all(line["message"] for line in log_lines(operator))


def _health_for(operator: Operator, *, seconds: float) -> set[tuple[int, str]]:
    found, end = set(), time.monotonic() + seconds
    while time.monotonic() < end:
        found.add(operator.get("/healthz"))
        time.sleep(0.2)
    return found


def test_work_that_the_api_server_did_not_take_is_counted_and_made_up_for(
    plane: ControlPlane, operator: Operator, team: Team
) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=10)).strftime("%Y-%m-%dT%H:%M:%SZ")
    team.connect("shop", flow("web", "api", 8080, expirationTime=soon))
    team.wait_ready()

    plane.stop_apiserver()
    failed = ("appconnectivity_reconcile_errors_total", "appconnectivity_reconciles_total")
    eventually(lambda: operator.metric(failed[0], reason="Unavailable") >= 1, within=30)
    assert operator.metric(failed[1], result="error") >= 1
    assert operator.metric("appconnectivity_api_requests_total", code="0") >= 1
    plane.start_apiserver()

    eventually(lambda: team.row("shop", "web-to-api").get("state") == "Expired", within=60)
    assert operator.get("/healthz") == (200, "ok")


def test_settings_come_from_flags_then_the_environment(
    plane: ControlPlane, team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APPCONNECTIVITY_APP_LABEL", "app.kubernetes.io/name")
    monkeypatch.setenv("APPCONNECTIVITY_LOG_FORMAT", "json")
    running = Operator(plane, "--log-format", "text")
    running.wait_ready()

    team.connect("shop", flow("web", "api", 8080))
    team.wait_ready()

    selector = team.policies()["shop.web-to-api.egress"]["spec"]["podSelector"]
    assert running.stop()[0] == 0
    assert selector == {"matchLabels": {"app.kubernetes.io/name": "web"}}
    assert re.match(r"\d{4}-\d\d-\d\d \S+ INFO +appconnectivity", running.log.read_text())


def test_a_port_that_is_taken_is_named(plane: ControlPlane, operator: Operator) -> None:
    taken = re.search(r"metrics on port (\d+)", operator.log.read_text())
    assert taken

    second = Operator(plane, "--port", taken[1])

    assert second.process.wait(timeout=30) == 1
    lines = processes.tail(second.log).splitlines()
    assert taken[1] in lines[-1]
    assert "Traceback" not in processes.tail(second.log, lines=200)
