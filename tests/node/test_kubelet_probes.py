"""A default-deny does not shut out the kubelet."""

from __future__ import annotations

from typing import Any

from node.shop import PODS, Shop, eventually

_PERIODS = 6
INSIDE = [app for app, namespace in PODS.items() if namespace == "shop"]


def health(shop: Shop) -> dict[str, Any]:
    """By pod: its restarts, and since when it is ready."""
    return {
        pod["metadata"]["name"]: (
            [container["restartCount"] for container in pod["status"]["containerStatuses"]],
            [(it["status"], it["lastTransitionTime"]) for it in pod["status"]["conditions"] if it["type"] == "Ready"],
        )
        for app in INSIDE
        for pod in shop.pods(app)
    }


def probes(shop: Shop, app: str) -> int:
    """How often the kubelet has asked this pod so far: the pod asks itself."""
    return int(shop.ask(app, ["127.0.0.1:8080/probes"])["127.0.0.1:8080/probes"])


def test_probes_go_on_and_no_pod_is_restarted_or_becomes_unready(connected_shop: Shop) -> None:
    eventually(lambda: connected_shop.ask("db", ["api:80"]), expected={"api:80": "refused"})
    before = health(connected_shop)
    counted = {app: probes(connected_shop, app) for app in INSIDE}

    # Readiness and liveness are each asked once a period.
    eventually(
        lambda: {app: probes(connected_shop, app) >= counted[app] + 2 * _PERIODS for app in INSIDE},
        expected=dict.fromkeys(INSIDE, True),
        within=60,
    )

    assert health(connected_shop) == before
    assert {status for _, [(status, _)] in before.values()} == {"True"}
