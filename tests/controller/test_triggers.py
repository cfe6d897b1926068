"""From an event to the namespaces that have to be looked at."""

from __future__ import annotations

from typing import Any

import pytest

from appconnectivity.controller.triggers import Triggers
from appconnectivity.core import api, naming
from appconnectivity.core.references import References, references
from appconnectivity.core.selectors import Selector
from builders import compile_, flow, foreign, intent, live, obj

DNS = ("kube-system", "kube-dns")


def event(name: str = "x", namespace: str = "", *, version: str = "1", **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace, "resourceVersion": version, "labels": labels}}


@pytest.fixture
def triggers() -> Triggers:
    """``shop`` points to namespace finance and Service data/db, uses DNS; ``wide`` selects by label; ``api`` needs the
    API server."""
    made = Triggers(dns_services=frozenset({DNS}))
    made.remember(
        "shop", References(namespaces=frozenset({"finance", "data"}), services=frozenset({("data", "db")}), dns=True)
    )
    made.remember("wide", References(selectors=frozenset({Selector.of_labels({"team": "x"})})))
    made.remember("api", References(api_server=True))
    return made


OURS = live(compile_(obj(flow("a", "b"), namespace="elsewhere")).policies[0])

EVENTS = [
    pytest.param(api.PLURAL, event("shop", "new"), {"new"}, id="an-object"),
    pytest.param(api.PLURAL, event("x", "finance"), {"finance", "shop"}, id="an-object-where-a-flow-points"),
    pytest.param("networkpolicies", event("x", "shop"), {"shop"}, id="any-policy-beside-objects"),
    pytest.param("networkpolicies", event("x", "stranger"), set(), id="a-foreign-policy-elsewhere"),
    pytest.param("networkpolicies", event("x", "finance"), {"shop"}, id="a-policy-where-a-flow-points"),
    pytest.param(
        "networkpolicies", OURS | {"metadata": OURS["metadata"] | {"namespace": "left"}}, {"left"}, id="left-over"
    ),
    pytest.param(
        "networkpolicies",
        event("x", "left", **{naming.MANAGED_BY_LABEL: naming.MANAGED_BY}),
        {"left"},
        id="a-policy-with-our-label-alone",
    ),
    pytest.param("namespaces", event("shop"), {"shop", "wide"}, id="a-namespace-with-objects"),
    pytest.param("namespaces", event("finance"), {"shop", "wide"}, id="a-namespace-where-a-flow-points"),
    pytest.param("namespaces", event("stranger"), {"wide"}, id="any-namespace-may-match-a-label"),
    pytest.param("services", event("web", "shop"), {"shop"}, id="an-own-service"),
    pytest.param("services", event("db", "data"), {"shop"}, id="a-service-that-a-flow-names"),
    pytest.param(
        "endpointslices",
        event("x", "shop", **{"kubernetes.io/service-name": "web"}),
        set(),
        id="own-endpoints-of-no-flow",
    ),
    pytest.param("services", event("other", "data"), set(), id="another-service-there"),
    pytest.param("services", event("kube-dns", "kube-system"), {"shop"}, id="the-dns"),
    pytest.param(
        "endpointslices", event("db-abc", "data", **{"kubernetes.io/service-name": "db"}), {"shop"}, id="its-endpoints"
    ),
    pytest.param("endpointslices", event("db-abc", "data"), set(), id="endpoints-of-no-service"),
    pytest.param(
        "endpointslices",
        event("kubernetes", "default", **{"kubernetes.io/service-name": "kubernetes"}),
        {"api"},
        id="the-api-servers-endpoints",
    ),
    pytest.param("services", {}, set(), id="an-event-without-metadata"),
    pytest.param("services", {"metadata": {"labels": None}}, set(), id="an-event-with-nulls"),
]


@pytest.mark.parametrize(("plural", "body", "namespaces"), EVENTS)
def test_an_event_concerns(triggers: Triggers, plural: str, body: Any, namespaces: set[str]) -> None:
    assert triggers.concerned(plural, body) == namespaces


def test_endpoints_that_a_grant_may_name_concern_the_namespace_that_is_granted(triggers: Triggers) -> None:
    """Another namespace's flow to a Service here: its ports decide whether that is the other half of a flow of ours."""
    triggers.remember("data", References(namespaces=frozenset({"shop"})))

    slice_ = event("db-abc", "data", **{"kubernetes.io/service-name": "db"})
    assert triggers.concerned("endpointslices", slice_) == {"shop", "data"}


def test_our_own_write_is_no_news_to_its_namespace(triggers: Triggers) -> None:
    triggers.expect("networkpolicies", "shop", "p", "7")

    assert triggers.concerned("networkpolicies", event("p", "shop", version="7")) == set()
    assert triggers.concerned("networkpolicies", event("p", "shop", version="8")) == {"shop"}


def test_somebody_elses_change_between_is_news(triggers: Triggers) -> None:
    triggers.expect("networkpolicies", "shop", "p", "7")

    assert triggers.concerned("networkpolicies", event("p", "shop", version="6")) == {"shop"}


def test_our_own_write_is_news_to_those_whose_flows_point_there(triggers: Triggers) -> None:
    """With its first policy of ours a namespace gets isolated: who could talk to it freely now needs a grant."""
    triggers.expect("networkpolicies", "finance", "p", "7")

    assert triggers.concerned("networkpolicies", event("p", "finance", version="7")) == {"shop"}


def test_our_own_status_is_news_to_nobody(triggers: Triggers) -> None:
    triggers.expect(api.PLURAL, "finance", "x", "7")

    assert triggers.concerned(api.PLURAL, event("x", "finance", version="7")) == set()


def test_a_deletion_is_news_whatever_we_wrote_before(triggers: Triggers) -> None:
    triggers.expect("networkpolicies", "shop", "p", "7")

    assert triggers.concerned("networkpolicies", event("p", "shop", version="9")) == {"shop"}


def test_our_own_write_is_no_news_though_its_event_comes_before_its_answer(triggers: Triggers) -> None:
    triggers.begin("finance")
    told = triggers.concerned("networkpolicies", event("p", "finance", version="7"))
    triggers.expect("networkpolicies", "finance", "p", "7")

    assert told == {"shop"}, "whose flows point there"
    assert not triggers.end("finance")


@pytest.mark.parametrize("versions", [["6"], ["7", "8"], ["8"]])
def test_what_somebody_else_changes_during_a_pass_is_told_at_its_end(triggers: Triggers, versions: list[str]) -> None:
    triggers.begin("shop")
    told = [triggers.concerned("networkpolicies", event("p", "shop", version=version)) for version in versions]
    triggers.expect("networkpolicies", "shop", "p", "7")

    assert told == [set()] * len(versions)
    assert triggers.end("shop")
    assert triggers.concerned("networkpolicies", event("q", "shop")) == {"shop"}, "after the pass it is told at once"


def test_our_own_write_after_somebody_elses_is_the_last_word(triggers: Triggers) -> None:
    triggers.begin("shop")
    for version in ("6", "7"):
        triggers.concerned("networkpolicies", event("p", "shop", version=version))
    triggers.expect("networkpolicies", "shop", "p", "7")

    assert not triggers.end("shop")


def test_what_is_no_object_and_no_policy_is_told_during_a_pass_as_ever(triggers: Triggers) -> None:
    triggers.begin("shop")

    assert triggers.concerned("services", event("db", "data")) == {"shop"}
    assert triggers.concerned("namespaces", event("shop")) == {"shop", "wide"}
    assert not triggers.end("shop")


def test_a_forgotten_namespace_is_not_looked_at_any_more(triggers: Triggers) -> None:
    triggers.forget("shop")

    assert triggers.concerned("services", event("db", "data")) == set()
    triggers.forget("shop")


def test_references_are_all_that_flows_name() -> None:
    found = references(
        [
            intent(
                flow({"namespace": "n"}, "b"),
                flow("a", {"app": "b", "namespaceSelector": {"matchLabels": {"team": "x"}}}),
                {"from": {"app": "a"}, "to": {"service": "db"}},
                {"from": {"app": "a"}, "to": {"service": "db", "namespace": "data"}},
                {"from": {"app": "a"}, "to": {"entity": "KubeAPIServer"}},
                flow("a", {"app": "b", "namespace": "shop"}),
                "nonsense",
            )
        ]
    )

    assert found == References(
        namespaces=frozenset({"n", "data"}),
        selectors=frozenset({Selector.of_labels({"team": "x"})}),
        services=frozenset({("shop", "db"), ("data", "db")}),
        api_server=True,
        dns=True,
    )


def test_an_object_without_dns_does_not_refer_to_it() -> None:
    assert not references([intent(dns="None")]).dns


def test_a_foreign_policy_is_told_from_ours_by_more_than_its_name(triggers: Triggers) -> None:
    assert triggers.concerned("networkpolicies", foreign(naming.DEFAULT_DENY, "stranger")) == set()
