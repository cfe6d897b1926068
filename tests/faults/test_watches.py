"""Watches that are interrupted, silent, closed at once, or that say what is wrong (RELIABILITY F2, F3, F4, F6, F7)."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from appconnectivity.cluster.client import PAGE_SIZE
from cluster import faults
from cluster.faults import Act, FaultProxy, Rule
from e2e.conftest import Team, appconn, eventually, flow
from e2e.test_deletion import GC_SECONDS
from faults.conftest import LAST_SWEEP, Patient, connect_at_rest

# One of each kind that the operator watches, and kopf's own of CRDs.
WATCHES = 7
OFTEN = ("--sweep-interval", "2")
EGRESS, INGRESS = "shop.frontend-to-api.egress", "shop.frontend-to-api.ingress"
DIRECTIONS = ("egress", "ingress")
ISOLATION = {"appconnectivity.default-deny", "appconnectivity.allow-dns"}
POLICIES = r"/networkpolicies"
MANY = 30
HALF_A_LINE = b'{"type":"MODIFIED","object":{"kind":"NetworkPolicy","metad'


def interrupt(patient: Patient, act: Act) -> Rule:
    """From now on this becomes of watches, also of those that are open."""
    rule = patient.proxy.rule(act, "watch")
    patient.proxy.cut("watch")
    eventually(lambda: rule.hits >= WATCHES)
    return rule


def release(patient: Patient, rule: Rule) -> None:
    """Watches hear that what they ask for is too old, and may begin anew."""
    patient.proxy.drop(rule)
    gone = patient.proxy.rule(faults.answered(faults.error_event(410)), "watch", times=WATCHES)
    patient.proxy.cut("watch")
    eventually(lambda: gone.hits == WATCHES)


def test_what_happened_while_watches_were_interrupted_is_found_by_listing_anew(patient: Patient, team: Team) -> None:
    team.apply(appconn("shop", flow("frontend", "api", 8080)), appconn("other", flow("worker", "api", 8080)))
    team.apply(appconn("third", flow("cron", "api", 8080)))
    for name in ("shop", "other", "third"):
        team.wait_ready(name)
    patient.wait_until_no_sweep_is_near()

    gap = interrupt(patient, faults.held)
    team.delete("networkpolicy", EGRESS)
    team.delete("appconn", "other")
    team.delete("appconn", "third")
    team.apply(appconn("third", flow("cron", "db", 5432)), appconn("passing", flow("cron", "web", 80)))
    team.delete("appconn", "passing")
    assert EGRESS not in team.policies()
    release(patient, gap)

    team.wait_ready("third")
    flows = {f"{name}.{direction}" for name in ("shop.frontend-to-api", "third.cron-to-db") for direction in DIRECTIONS}
    eventually(lambda: team.policies().keys() - {"bystander"} == flows | ISOLATION)
    patient.is_well()


def test_what_goes_between_the_first_sweep_and_the_watches_is_found_when_these_have_begun(
    patient: Patient, team: Team
) -> None:
    team.connect("shop", flow("frontend", "api", 8080))
    team.wait_ready()
    patient.operator.stop()
    of_kopf = patient.proxy.rule(faults.delayed(2), "list", path=r"/v1/networkpolicies$", times=1)
    of_the_sweep = patient.proxy.rule(faults.passed, "list", path=r"/v1/networkpolicies$", times=1)
    patient.restart()
    eventually(lambda: of_kopf.hits)
    team.delete("networkpolicy", EGRESS)

    assert of_the_sweep.hits
    eventually(lambda: EGRESS in team.policies())
    patient.is_well()


def test_an_object_whose_end_no_watch_has_told_of_is_not_brought_back_to_life(patient: Patient, team: Team) -> None:
    """Garbage collection takes its policies one by one, and each looks like drift to whoever believes in the object."""
    team.connect("shop", *(flow("frontend", f"api-{number}", 8080) for number in range(4)))
    team.wait_ready()
    patient.wait_until_no_sweep_is_near()
    objects = r"/appconnectivities$"
    silence = patient.proxy.rule(faults.held, "watch", path=objects)
    patient.proxy.cut("watch", path=objects)
    eventually(lambda: silence.hits)
    since = time.monotonic()
    team.delete("appconn", "shop")
    eventually(lambda: not team.policies().keys() - {"bystander"}, within=GC_SECONDS)
    time.sleep(2)

    assert [asked for asked in patient.proxy.writes(since=since) if asked.verb == "patch"] == []
    assert team.policies().keys() == {"bystander"}
    patient.proxy.drop(silence)
    patient.is_well()


def test_what_goes_is_noticed_though_watches_leave_it_out(new_patient: Callable[..., Patient], team: Team) -> None:
    patient = new_patient(*OFTEN)
    team.apply(appconn("shop", flow("frontend", "api", 8080)), appconn("other", flow("worker", "api", 8080)))
    for name in ("shop", "other"):
        team.wait_ready(name)
    silence = interrupt(patient, faults.without("DELETED"))
    team.delete("networkpolicy", EGRESS)
    eventually(lambda: EGRESS in team.policies())
    team.delete("appconn", "other")
    eventually(lambda: team.policies().keys() == {EGRESS, INGRESS, "bystander"} | ISOLATION, within=GC_SECONDS)

    patient.proxy.drop(silence)
    patient.is_well()


def test_watches_that_end_at_once_are_asked_for_once_a_second(new_patient: Callable[..., Patient], team: Team) -> None:
    patient = new_patient(*OFTEN)
    team.connect("shop", flow("frontend", "api", 8080))
    team.wait_ready()
    began = time.monotonic()
    rule = interrupt(patient, faults.answered(b""))
    team.delete("networkpolicy", EGRESS)
    refusal = patient.proxy.rule(faults.refused(401), "watch", times=1)  # kopf logs in anew, while watches wait
    eventually(lambda: EGRESS in team.policies() and refusal.hits and rule.hits >= 3 * WATCHES)

    seconds = time.monotonic() - began
    asked = Counter(asked.path for asked in patient.proxy.log if asked.verb == "watch" and asked.at >= began)
    assert {path: count for path, count in asked.items() if count > 2 * seconds + 3} == {}
    patient.is_well()


def test_sweeps_heal_while_watches_are_silent_and_health_turns_red(
    new_patient: Callable[..., Patient], team: Team
) -> None:
    patient = new_patient("--sweep-interval", "1", sabotage="hurry")
    team.connect("shop", flow("frontend", "api", 8080))
    team.wait_ready()
    silence = interrupt(patient, faults.held)
    team.delete("networkpolicy", EGRESS)
    eventually(lambda: EGRESS in team.policies())
    eventually(lambda: patient.operator.get("/healthz") == (500, "deaf to networkpolicies"))

    assert silence.hits == WATCHES, "the streams have not been silent all the time"
    patient.proxy.drop(silence)
    patient.restart()
    assert patient.operator.get("/healthz") == (200, "ok")
    patient.is_well()


def test_silent_watches_are_given_up_and_what_they_have_missed_is_found(
    new_patient: Callable[..., Patient], team: Team
) -> None:
    patient = new_patient(sabotage="impatient")
    connect_at_rest(patient, team)
    silence = interrupt(patient, faults.held)
    team.delete("networkpolicy", EGRESS)
    eventually(lambda: silence.hits >= 2 * WATCHES, what="all are asked for anew")
    assert EGRESS not in team.policies()

    patient.proxy.drop(silence)
    eventually(lambda: EGRESS in team.policies())
    patient.is_well()


def test_who_stood_still_for_longer_than_watches_last_is_no_zombie(
    new_patient: Callable[..., Patient], team: Team
) -> None:
    patient = new_patient(sabotage="impatient")
    connect_at_rest(patient, team)
    swept = patient.operator.metric(LAST_SWEEP)
    patient.operator.process.send_signal(signal.SIGSTOP)
    team.delete("networkpolicy", EGRESS)
    time.sleep(8)
    assert EGRESS not in team.policies()

    patient.operator.process.send_signal(signal.SIGCONT)
    eventually(lambda: EGRESS in team.policies())
    assert patient.operator.metric(LAST_SWEEP) == swept, "no watch has told of it"
    patient.is_well()


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(faults.error_event(500), id="an-error"),
        pytest.param(faults.error_event(504), id="a-timeout"),
        pytest.param(HALF_A_LINE, id="half-a-line"),
    ],
)
def test_a_watch_that_makes_no_sense_ends_the_process_and_the_next_one_is_well(
    patient: Patient, team: Team, said: bytes
) -> None:
    team.connect("shop", flow("frontend", "api", 8080))
    team.wait_ready()
    before = team.policies().keys()
    patient.proxy.rule(faults.answered(said), "watch", path=POLICIES, times=1)
    more = [flow("frontend", f"api-{number}", 8080) for number in range(MANY)]
    team.connect("shop", flow("frontend", "api", 8080), *more)
    eventually(lambda: team.policies().keys() > before)
    patient.proxy.cut("watch", path=POLICIES)

    assert patient.operator.process.wait(timeout=15) == 1
    lines = [json.loads(line) for line in patient.operator.log.read_text().splitlines()]
    assert [line for line in lines if line["level"] == "ERROR" and "the watches have ended" in line["message"]]
    patient.restart()
    team.wait_ready()
    assert len(team.policies().keys() - before) == 2 * MANY
    assert patient.deleted() == []
    patient.is_well()


def test_a_list_whose_next_page_has_expired_is_begun_anew(
    new_patient: Callable[..., Patient], team: Team, proxy: FaultProxy
) -> None:
    """Of a kind that no sweep lists, so that it is kopf who asks."""
    many = {"apiVersion": "v1", "kind": "List", "items": [_slice(f"many-{n}") for n in range(PAGE_SIZE + 1)]}
    team.plane.kubectl("create", "-n", team.namespace, "-f", "-", input=json.dumps(many))
    slices = r"/endpointslices$"
    expired = proxy.rule(faults.refused(410), "list", path=slices, query="continue=", times=1)
    patient = new_patient()

    eventually(lambda: expired.hits)
    eventually(lambda: [asked for asked in proxy.log if "continue" in asked.query and asked.status == 200])
    team.connect("shop", flow("frontend", "api", 8080))
    team.wait_ready()
    patient.is_well()


def test_a_line_that_breaks_off_with_its_connection_is_asked_for_again(patient: Patient, team: Team) -> None:
    connect_at_rest(patient, team)
    rule = patient.proxy.rule(faults.broken_off(HALF_A_LINE), "watch", path=POLICIES, times=1)
    patient.proxy.cut("watch", path=POLICIES)
    eventually(lambda: rule.hits)
    team.delete("networkpolicy", EGRESS)
    eventually(lambda: EGRESS in team.policies())

    assert patient.deleted() == []
    patient.is_well()


def _slice(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name},
        "addressType": "IPv4",
        "endpoints": [],
        "ports": [],
    }
