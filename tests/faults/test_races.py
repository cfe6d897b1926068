"""What others do just between a look of the operator's and its write."""

from __future__ import annotations

import asyncio
import threading

from aiohttp import web

from cluster import faults
from cluster.faults import Exchange
from e2e.conftest import Team, eventually, flow
from faults.conftest import Patient

NAME = "shop.web-to-api.ingress"


def test_a_policy_that_has_just_taken_the_name_of_ours_is_not_overwritten(patient: Patient, team: Team) -> None:
    team.connect("shop", flow("web", "api", 8080, name="web-to-api"))
    team.wait_ready()
    is_done = threading.Event()

    async def held(exchange: Exchange) -> web.StreamResponse:
        await asyncio.to_thread(is_done.wait)
        return await faults.passed(exchange)

    rule = patient.proxy.rule(held, "patch", path=f"/networkpolicies/{NAME}", times=1)
    team.connect("shop", flow("web", "api", 9090, name="web-to-api"))
    eventually(lambda: rule.hits)
    team.delete("networkpolicy", NAME)
    team.apply(_theirs())
    before = team.policies()[NAME]
    is_done.set()

    eventually(lambda: team.condition("shop", "Ready").get("reason") == "NameConflict")
    assert team.policies()[NAME] == before
    patient.is_well()


def _theirs() -> dict[str, object]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": NAME},
        "spec": {"podSelector": {"matchLabels": {"app": "api"}}, "policyTypes": ["Ingress"]},
    }
