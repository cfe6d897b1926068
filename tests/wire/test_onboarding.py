"""A live namespace is onboarded by a label, and released by it, without one declared connection failing."""

from __future__ import annotations

import time

import pytest

from cluster.wire.lab import WireLab
from wire.conftest import ADOPTION
from wire.shop import DECLARED, FLOWS, UNDECLARED, none_failed, none_succeeded, open_shop, ready, watched

__all__ = ["ADOPTION"]  # which the operator of this module is started with

TEMPLATE = {
    "apiVersion": "appconnectivity.io/v1alpha1",
    "kind": "AppConnectivityTemplate",
    "metadata": {"name": "shop"},
    "spec": {
        "namespaceSelector": {"matchLabels": {"baseline": "shop"}},
        "parameters": {"monitoring": "monitoring"},
        "template": {
            "spec": {
                "flows": [
                    *(flow for flow in FLOWS if flow.get("name") != "metrics"),
                    {
                        "forEach": "namespace.annotations['scraped-by'] | split",
                        "name": "metrics",
                        "from": {"app": "{{ item }}", "namespace": "{{ parameters.monitoring }}"},
                        "to": {"podSelector": {}},
                        "ports": [9090],
                    },
                ]
            }
        },
    },
}


@pytest.fixture
def shop(lab: WireLab) -> WireLab:
    """A live namespace without policies, and a template that does not select it yet."""
    open_shop(lab)
    lab.plane.kubectl("annotate", "namespace", "shop", "scraped-by=prometheus", "--overwrite")
    lab.apply(TEMPLATE)
    lab.settle()
    return lab


def label(lab: WireLab, text: str) -> None:
    lab.plane.kubectl("label", "namespace", "shop", text)


def test_a_namespace_is_onboarded_and_released_while_its_pods_talk(shop: WireLab) -> None:
    with watched(shop, DECLARED) as declared:
        label(shop, "baseline=shop")
        shop.plane.kubectl("wait", "--for=create", "appconn/shop", "-n", "shop", "--timeout=15s")
        ready(shop)
    none_failed("a namespace is labelled", declared())

    with watched(shop, UNDECLARED) as undeclared:
        time.sleep(1)
    none_succeeded("while it has the label", undeclared())

    with watched(shop, DECLARED) as declared:
        label(shop, "baseline-")
        shop.plane.kubectl("wait", "--for=delete", "appconn/shop", "-n", "shop", "--timeout=20s")
        shop.await_open("shop")
    none_failed("its label is taken off", declared())

    assert shop.plane.kubectl("get", "appconn", "-n", "shop", "-o", "name").stdout == ""
    with watched(shop, UNDECLARED) as opened:
        time.sleep(1)
    count = opened()
    assert count.open == count.tried > 0


def test_an_edit_of_the_templates_object_opens_nothing(shop: WireLab) -> None:
    label(shop, "baseline=shop")
    shop.plane.kubectl("wait", "--for=create", "appconn/shop", "-n", "shop", "--timeout=15s")
    ready(shop)

    with watched(shop, DECLARED) as declared, watched(shop, UNDECLARED) as undeclared:
        for _ in range(5):
            patch = '{"spec": {"mode": "Audit"}}'
            shop.plane.kubectl("patch", "appconn", "shop", "-n", "shop", "--type=merge", "-p", patch)
            time.sleep(0.5)
    none_failed("the object is edited", declared())
    none_succeeded("the object is edited", undeclared())
    label(shop, "baseline-")
