"""The operator in its pod: the image that the Dockerfile makes, and manifests/base as they are shipped."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cluster.realnode import layout
from cluster.realnode.node import RealNode
from node.conftest import OPERATOR_NAMESPACE
from node.shop import OUTSIDE, Shop, eventually

USER = "system:serviceaccount:appconnectivity-system:appconnectivity"
CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=3)"
WRITE = "import sys; open(sys.argv[1], 'w').write('x')"


def pod(node: RealNode) -> dict[str, Any]:
    done = node.kubectl("get", "pods", "-n", OPERATOR_NAMESPACE, "-o", "json")
    [found] = json.loads(done.stdout)["items"]
    return found


def python(node: RealNode, code: str, *arguments: str) -> str:
    """Runs code in the operator's own container; returns the last line that it complained with, or nothing."""
    command = ("exec", "-n", OPERATOR_NAMESPACE, "deployment/appconnectivity", "--", "python", "-c", code, *arguments)
    done = node.kubectl(*command, check=False)
    lines = [line for line in done.stderr.splitlines() if "Error" in line]
    return lines[-1] if lines else ""


def test_it_is_ready_under_the_restricted_level_without_a_restart(operator: RealNode) -> None:
    namespace = operator.kubectl("get", "namespace", OPERATOR_NAMESPACE, "-o", "json")
    [container] = pod(operator)["status"]["containerStatuses"]

    assert json.loads(namespace.stdout)["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert (container["ready"], container["restartCount"]) == (True, 0)


def test_the_namespace_refuses_a_pod_that_is_not_restricted(operator: RealNode) -> None:
    done = operator.kubectl("run", "lax", "--image=local/agent:1", "-n", OPERATOR_NAMESPACE, check=False)

    assert 'violates PodSecurity "restricted:latest"' in done.stderr


def test_it_runs_as_nobody_and_can_write_only_to_tmp(operator: RealNode) -> None:
    identity = operator.kubectl(
        *("exec", "-n", OPERATOR_NAMESPACE, "deployment/appconnectivity", "--"),
        *("python", "-c", "import os; print(os.getuid(), os.getgid())"),
    )

    assert identity.stdout == "65532 65532\n"
    assert python(operator, WRITE, "/tmp/probe") == ""
    for path in ("/probe", "/opt/appconnectivity/probe"):
        assert python(operator, WRITE, path) == f"OSError: [Errno 30] Read-only file system: '{path}'"


def test_its_rights_are_enough_for_its_work_and_nothing_was_ever_refused(connected_shop: Shop) -> None:
    events = [json.loads(line) for line in (connected_shop.node.directory / "audit.log").read_text().splitlines()]
    own = [event for event in events if event["user"]["username"] == USER]

    assert {event["verb"] for event in own} >= {"list", "watch", "patch"}
    assert [event["requestURI"] for event in own if event["responseStatus"]["code"] == 403] == []


def test_its_own_walls_let_it_reach_the_api_server_and_the_dns_and_no_other_port(open_shop: Shop) -> None:
    node = open_shop.node
    host, port = OUTSIDE.split(":")
    [frontend] = open_shop.pods("frontend")

    assert open_shop.ask("stranger", [OUTSIDE]) == {OUTSIDE: layout.OUTSIDE}
    assert python(node, CONNECT, layout.DNS_ADDRESS, "53") == ""
    assert python(node, CONNECT, "10.96.0.1", "443") == ""
    for closed in ((host, port), (frontend["status"]["podIP"], "8080")):
        assert python(node, CONNECT, *closed) == "ConnectionRefusedError: [Errno 111] Connection refused"


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        pytest.param("/metrics", "# HELP appconnectivity_", id="metrics"),
        # Where something is amiss (500, 503) the text says what.
        pytest.param("/healthz", "ok", id="healthz"),
        pytest.param("/readyz", "ok", id="readyz"),
    ],
)
def test_its_metrics_and_probes_are_reached_through_its_service(open_shop: Shop, path: str, answer: str) -> None:
    address = f"appconnectivity-metrics.{OPERATOR_NAMESPACE}:8080{path}"

    def is_answered() -> bool:
        said = open_shop.ask("stranger", [address])[address]
        return answer in said if path == "/metrics" else said == answer

    eventually(is_answered, expected=True)
