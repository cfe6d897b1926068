"""Rollouts under traffic: every few milliseconds a new connection from frontend to api, through the Service."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from cluster.realnode.node import RealNode
from node.conftest import OPERATOR_NAMESPACE
from node.shop import NAMESPACE, Shop, eventually

_SECONDS_BEFORE_AND_AFTER = 1


def policies(shop: Shop) -> dict[str, str]:
    done = shop.node.kubectl("get", "networkpolicies", "-n", NAMESPACE, "-o", "json")
    return {
        body["metadata"]["name"]: body["metadata"]["uid"] + body["metadata"]["resourceVersion"]
        for body in json.loads(done.stdout)["items"]
    }


def roll_out(node: RealNode, deployment: str, *, namespace: str) -> None:
    """Returns when the new pods are ready and the old ones have ended."""
    pods = node.kubectl("get", "pods", "-n", namespace, "-o", "name").stdout.split()
    old = [name for name in pods if name.startswith(f"pod/{deployment}-")]
    assert old
    node.kubectl("rollout", "restart", f"deployment/{deployment}", "-n", namespace)
    node.kubectl("rollout", "status", f"deployment/{deployment}", "-n", namespace, "--timeout=90s")
    node.kubectl("wait", "--for=delete", *old, "-n", namespace, "--timeout=60s")


@pytest.mark.parametrize(
    ("deployment", "namespace"),
    [
        pytest.param("api", NAMESPACE, id="of-api"),
        pytest.param("appconnectivity", OPERATOR_NAMESPACE, id="of-the-operator"),
    ],
)
def test_a_rollout_drops_no_connection(
    connected_shop: Shop, deployment: str, namespace: str, say: Callable[[str], None]
) -> None:
    eventually(lambda: connected_shop.ask("db", ["api:80"]), expected={"api:80": "refused"})
    before = policies(connected_shop)
    load = connected_shop.load("frontend", "api:80")
    time.sleep(_SECONDS_BEFORE_AND_AFTER)

    roll_out(connected_shop.node, deployment, namespace=namespace)
    time.sleep(_SECONDS_BEFORE_AND_AFTER)

    seen = load.end()
    counts = f"{seen.tried} connections tried, {seen.failed} failed, {seen.longest_ms} ms at most"
    say(f"[node] rollout of {deployment}: {counts}")
    assert seen.failures == {}
    assert seen.answers == {"api": seen.tried}
    assert seen.tried > 500
    assert policies(connected_shop) == before
