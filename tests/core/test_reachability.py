"""NetworkPolicy's meaning, case by case after upstream's end-to-end tests, and as properties."""

from __future__ import annotations

import random
import re
from itertools import product
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from appconnectivity.core.reachability import Host, Pod, Side, Verdict, World, allowed, connections

# x/a and y/a bear the same labels in two namespaces, and so do the b's. "web" means another port on every pod: it
# is UDP on y/a and missing on y/b. good and bad are beside each other, six is of the other family.
WORLD = World(
    namespaces={"x": {"team": "red"}, "y": {"team": "blue", "stage": "test"}},
    pods=(
        Pod("x", "a", {"pod": "a", "tier": "web"}, ("10.0.0.1", "fd00::1"), {"web": ("TCP", 8080)}),
        Pod("x", "b", {"pod": "b"}, ("10.0.0.2", "fd00::2"), {"web": ("TCP", 9080)}),
        Pod("y", "a", {"pod": "a", "tier": "web"}, ("10.0.1.1", "fd00::101"), {"web": ("UDP", 8080)}),
        Pod("y", "b", {"pod": "b"}, ("10.0.1.2", "fd00::102")),
    ),
    hosts=(Host("bad", "203.0.113.7"), Host("good", "203.0.113.8"), Host("six", "2001:db8::7")),
)
ENDS = {end.ref: end for end in WORLD.ends}
OPEN = connections(WORLD, [])


def policy(spec: str, *, name: str = "p", namespace: str = "x") -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": yaml.safe_load(spec),
    }


def policies(*specs: str) -> list[dict[str, Any]]:
    return [policy(spec, name=f"p{index}") for index, spec in enumerate(specs)]


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().splitlines()]


def touches(line: str, isolated: str) -> bool:
    """``-> x/a`` is the ingress of x/a, ``x/a ->`` its egress."""
    return isolated in line.partition(" : ")[0]


def test_without_policies_everything_but_host_to_host_is_open() -> None:
    refs = [(one, other) for one, other in product(ENDS, repeat=2) if one != other]
    wanted = [f"{a} -> {b} : ALL" for a, b in refs if not (a.startswith("host:") and b.startswith("host:"))]
    assert connections(WORLD, []) == tuple(sorted(wanted))


def into_a(*rules: str) -> str:
    return f"{{podSelector: {{matchLabels: {{pod: a}}}}, ingress: [{', '.join(rules)}]}}"


def out_of_a(*rules: str) -> str:
    return f"{{podSelector: {{matchLabels: {{pod: a}}}}, policyTypes: [Egress], egress: [{', '.join(rules)}]}}"


TO_A = ["-> x/a"]
FROM_A = ["x/a ->"]
IN_X = ["-> x/a", "-> x/b"]
OUT_OF_X = ["x/a ->", "x/b ->"]
ALL_INTO_A = """
    x/b -> x/a : ALL
    y/a -> x/a : ALL
    y/b -> x/a : ALL
    host:bad -> x/a : ALL
    host:good -> x/a : ALL
    host:six -> x/a : ALL"""

# The policies' specs (all in namespace x), the directions that they isolate, and all that is still possible there.
CASES = [
    pytest.param(["{podSelector: {}, policyTypes: [Ingress]}"], IN_X, "", id="default-deny-ingress"),
    pytest.param(["{podSelector: {}, policyTypes: [Egress]}"], OUT_OF_X, "", id="default-deny-egress"),
    pytest.param(["{podSelector: {}, policyTypes: [Ingress, Egress]}"], IN_X + OUT_OF_X, "", id="default-deny-both"),
    pytest.param(["{podSelector: {}, ingress: []}"], IN_X, "", id="empty-ingress-list-denies"),
    pytest.param(["{podSelector: {}, ingress: null}"], IN_X, "", id="null-ingress-list-denies"),
    pytest.param(["{policyTypes: [Egress], egress: []}"], OUT_OF_X, "", id="no-podSelector-selects-all-pods"),
    pytest.param(["{podSelector: {}, policyTypes: []}"], IN_X, "", id="types-default-to-ingress"),
    pytest.param(
        ["{podSelector: {matchLabels: {pod: a}}, egress: [{ports: [{port: 80}], to: [{podSelector: {}}]}]}"],
        TO_A + FROM_A,
        "x/a -> x/b : TCP 80",
        id="types-default-to-both-with-egress-rules",
    ),
    pytest.param(["{podSelector: {}, egress: []}"], IN_X, "", id="an-empty-egress-list-is-no-egress-rule"),
    pytest.param(
        ["{podSelector: {matchLabels: {pod: a}}, policyTypes: [Ingress], egress: [{to: [{podSelector: {}}]}]}"],
        TO_A,
        "",
        id="rules-of-a-direction-not-in-types-do-nothing",
    ),
    pytest.param([into_a("{}")], TO_A, ALL_INTO_A, id="empty-rule-allows-all"),
    pytest.param([into_a("{from: [], ports: []}")], TO_A, ALL_INTO_A, id="empty-from-allows-all"),
    pytest.param([into_a("{from: null, ports: null}")], TO_A, ALL_INTO_A, id="null-from-allows-all"),
    pytest.param(
        ["{podSelector: {}, policyTypes: [Ingress]}", into_a("{}")],
        IN_X,
        ALL_INTO_A,
        id="allow-all-beats-default-deny",
    ),
    pytest.param(
        [into_a("{from: [{podSelector: {matchLabels: {pod: b}}}]}")],
        TO_A,
        "x/b -> x/a : ALL",
        id="podSelector-is-own-namespace-only",
    ),
    pytest.param(
        ["{podSelector: {}, policyTypes: [Ingress], ingress: [{from: [{podSelector: {}}]}]}"],
        IN_X,
        "x/a -> x/b : ALL\nx/b -> x/a : ALL",
        id="allow-all-inside-the-namespace",
    ),
    pytest.param(
        [into_a("{from: [{namespaceSelector: {matchLabels: {team: blue}}}]}")],
        TO_A,
        "y/a -> x/a : ALL\ny/b -> x/a : ALL",
        id="namespaceSelector-alone-is-all-its-pods",
    ),
    pytest.param(
        [into_a("{from: [{namespaceSelector: {}}]}")],
        TO_A,
        "x/b -> x/a : ALL\ny/a -> x/a : ALL\ny/b -> x/a : ALL",
        id="every-namespace-is-no-host",
    ),
    pytest.param(
        [into_a("{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: y}}}]}")],
        TO_A,
        "y/a -> x/a : ALL\ny/b -> x/a : ALL",
        id="namespace-by-the-name-label-of-the-API-server",
    ),
    pytest.param(
        [
            """
            podSelector: {matchLabels: {pod: a}}
            ingress:
            - from:
              - namespaceSelector: {matchLabels: {team: blue}}
                podSelector: {matchLabels: {pod: b}}
            """
        ],
        TO_A,
        "y/b -> x/a : ALL",
        id="both-selectors-in-one-peer-are-AND",
    ),
    pytest.param(
        [
            """
            podSelector: {matchLabels: {pod: a}}
            ingress:
            - from:
              - namespaceSelector: {matchLabels: {team: blue}}
              - podSelector: {matchLabels: {pod: b}}
            """
        ],
        TO_A,
        "x/b -> x/a : ALL\ny/a -> x/a : ALL\ny/b -> x/a : ALL",
        id="selectors-in-two-peers-are-OR",
    ),
    pytest.param(
        [
            """
            podSelector: {matchExpressions: [{key: pod, operator: In, values: [a, z]}]}
            ingress:
            - from: [{namespaceSelector: {matchExpressions: [{key: stage, operator: Exists}]},
                      podSelector: {matchExpressions: [{key: pod, operator: NotIn, values: [a]}]}}]
            """
        ],
        TO_A,
        "y/b -> x/a : ALL",
        id="expressions-In-Exists-NotIn",
    ),
    pytest.param(
        [
            """
            podSelector: {matchExpressions: [{key: tier, operator: NotIn, values: [web]}]}
            ingress:
            - from: [{namespaceSelector: {matchExpressions: [{key: stage, operator: DoesNotExist}]}}]
            """
        ],
        ["-> x/b"],
        "x/a -> x/b : ALL",
        id="NotIn-and-DoesNotExist-match-absent-keys",
    ),
    pytest.param(
        ["{podSelector: {matchLabels: {pod: a}, matchExpressions: [{key: tier, operator: DoesNotExist}]}}"],
        [],
        "",
        id="labels-and-expressions-are-AND",
    ),
    pytest.param(["{podSelector: {matchLabels: {pod: nobody}}}"], [], "", id="a-policy-that-selects-nobody"),
    pytest.param(
        [
            into_a("{from: [{podSelector: {}}], ports: [{port: 80}]}"),
            into_a("{from: [{podSelector: {}}], ports: [{port: 81}, {port: 81, protocol: UDP}]}"),
        ],
        TO_A,
        "x/b -> x/a : TCP 80-81, UDP 81",
        id="stacked-policies-add-up",
    ),
    pytest.param(
        [
            out_of_a("{to: [{podSelector: {}}], ports: [{port: 80, endPort: 90}]}"),
            """
            podSelector: {matchLabels: {pod: b}}
            ingress: [{ports: [{port: 85, endPort: 95}, {port: 90, protocol: UDP}]}]
            """,
        ],
        [*FROM_A, "-> x/b"],
        """
        x/a -> x/b : TCP 85-90
        y/a -> x/b : TCP 85-95, UDP 90
        y/b -> x/b : TCP 85-95, UDP 90
        host:bad -> x/b : TCP 85-95, UDP 90
        host:good -> x/b : TCP 85-95, UDP 90
        host:six -> x/b : TCP 85-95, UDP 90
        """,
        id="egress-and-ingress-must-both-allow",
    ),
    pytest.param(
        ["{podSelector: {}, ingress: [{from: [{podSelector: {}}], ports: [{port: web}]}]}"],
        IN_X,
        "x/a -> x/b : TCP 9080\nx/b -> x/a : TCP 8080",
        id="named-port-is-the-destinations-own-at-ingress",
    ),
    pytest.param(
        [out_of_a("{ports: [{port: web}, {port: 53, protocol: UDP}]}")],
        FROM_A,
        """
        x/a -> x/b : TCP 9080, UDP 53
        x/a -> y/a : UDP 53
        x/a -> y/b : UDP 53
        x/a -> host:bad : UDP 53
        x/a -> host:good : UDP 53
        x/a -> host:six : UDP 53
        """,
        id="named-port-of-another-protocol-or-none-is-nothing",
    ),
    pytest.param(
        [
            into_a("{from: [{podSelector: {}}], ports: [{port: 8001, endPort: 8010}, {port: 8005}, {port: 8080}]}"),
            into_a("{from: [{podSelector: {}}], ports: [{port: 8000, endPort: 8006}, {port: 8011}]}"),
            into_a("{from: [{podSelector: {}}], ports: [{port: 53, protocol: UDP}]}"),
        ],
        TO_A,
        "x/b -> x/a : TCP 8000-8011,8080, UDP 53",
        id="ranges-and-ports-merge",
    ),
    pytest.param(
        [into_a("{from: [{podSelector: {}}], ports: [{protocol: SCTP, port: 80}]}")],
        TO_A,
        "x/b -> x/a : SCTP 80",
        id="SCTP-is-not-TCP",
    ),
    pytest.param(
        [into_a("{from: [{podSelector: {}}], ports: [{}]}")],
        TO_A,
        "x/b -> x/a : TCP 1-65535",
        id="a-port-entry-without-a-port-is-all-of-TCP",
    ),
    pytest.param(
        [
            into_a("{from: [{podSelector: {}}], ports: [{protocol: TCP}, {protocol: UDP, port: 1, endPort: 65535}]}"),
            into_a("{from: [{podSelector: {}}], ports: [{protocol: SCTP, port: 1, endPort: 65534}]}"),
            into_a("{from: [{podSelector: {}}], ports: [{protocol: SCTP, port: 65535}]}"),
        ],
        TO_A,
        "x/b -> x/a : ALL",
        id="every-port-spelled-out-is-ALL",
    ),
    pytest.param(
        [out_of_a("{to: [{ipBlock: {cidr: 203.0.113.0/24, except: [203.0.113.7/32]}}]}")],
        FROM_A,
        "x/a -> host:good : ALL",
        id="egress-to-a-CIDR-with-an-exception",
    ),
    pytest.param(
        [
            out_of_a("{to: [{ipBlock: {cidr: 203.0.113.0/24, except: [203.0.113.7/32]}}]}"),
            out_of_a("{to: [{ipBlock: {cidr: 203.0.113.7/32}}], ports: [{port: 443}]}"),
        ],
        FROM_A,
        "x/a -> host:bad : TCP 443\nx/a -> host:good : ALL",
        id="an-exception-binds-only-its-own-block",
    ),
    pytest.param(
        [into_a("{from: [{ipBlock: {cidr: 203.0.113.7/29}}, {ipBlock: {cidr: '2001:db8::/32'}}]}")],
        TO_A,
        "host:bad -> x/a : ALL\nhost:six -> x/a : ALL",
        id="ingress-from-CIDRs-host-bits-do-not-count",
    ),
    pytest.param(
        [into_a("{from: [{ipBlock: {cidr: '::/0', except: ['fd00::/8']}}]}")],
        TO_A,
        "host:six -> x/a : ALL",
        id="all-of-IPv6-is-no-IPv4",
    ),
    pytest.param(
        [into_a("{from: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}}]}")],
        TO_A,
        "host:bad -> x/a : ALL\nhost:good -> x/a : ALL",
        id="all-of-IPv4-is-no-IPv6",
    ),
    pytest.param(
        [into_a("{from: [{ipBlock: {cidr: 10.0.1.0/24, except: [10.0.1.2/32]}}]}")],
        TO_A,
        "y/a -> x/a : ALL",
        id="a-pod-is-matched-by-its-address",
    ),
    pytest.param(
        [
            out_of_a("{to: [{ipBlock: {cidr: 10.0.0.2/32}}], ports: [{port: 80, endPort: 90}]}"),
            "{podSelector: {matchLabels: {pod: b}}, ingress: [{from: [{ipBlock: {cidr: 'fd00::1/128'}}]}]}",
        ],
        [*FROM_A, "-> x/b"],
        "",
        id="two-families-do-not-add-up-to-one-connection",
    ),
    pytest.param(
        [
            out_of_a(
                "{to: [{ipBlock: {cidr: 10.0.0.2/32}}], ports: [{port: 80}]}",
                "{to: [{ipBlock: {cidr: 'fd00::2/128'}}], ports: [{port: 90}]}",
            ),
        ],
        FROM_A,
        "x/a -> x/b : TCP 80,90",
        id="what-either-family-may-is-possible",
    ),
]


@pytest.mark.parametrize(("specs", "isolated", "expected"), CASES)
def test_only_the_isolated_directions_change_and_become_exactly_this(
    specs: list[str], isolated: list[str], expected: str
) -> None:
    untouched = [line for line in OPEN if not any(touches(line, direction) for direction in isolated)]
    assert connections(WORLD, policies(*specs)) == tuple(sorted([*untouched, *(lines(expected) if expected else [])]))


def test_a_policy_binds_only_the_pods_of_its_own_namespace() -> None:
    found = connections(WORLD, [policy("{podSelector: {matchLabels: {pod: a}}}", namespace="y")])
    assert set(OPEN) - set(found) == {line for line in OPEN if touches(line, "-> y/a")}


def test_ip_blocks_leave_pods_alone_where_told() -> None:
    spec = "{podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}]}"
    found = connections(WORLD, policies(spec), ip_blocks_match_pods=False)
    assert [line for line in found if "-> x/a" in line] == ["host:bad -> x/a : ALL", "host:good -> x/a : ALL"]
    verdict = allowed(WORLD, policies(spec), ENDS["x/b"], ENDS["x/a"], "TCP", 80, ip_blocks_match_pods=False)
    assert not verdict.allowed


@pytest.mark.parametrize(
    ("labels", "namespace_labels", "expected"),
    [
        pytest.param({"pod": "a"}, {"team": "red"}, ["x/one -> x/two : ALL", "x/two -> x/one : ALL"], id="as-before"),
        pytest.param({"pod": "b"}, {"team": "red"}, ["x/one -> x/two : ALL"], id="pod-relabelled"),
        pytest.param({"pod": "a"}, {"team": "blue"}, ["x/one -> x/two : ALL"], id="namespace-relabelled"),
    ],
)
def test_labels_decide_and_names_do_not(
    labels: dict[str, str], namespace_labels: dict[str, str], expected: list[str]
) -> None:
    world = World(namespaces={"x": namespace_labels}, pods=(Pod("x", "one"), Pod("x", "two", labels)))
    spec = """
        podSelector: {matchExpressions: [{key: pod, operator: DoesNotExist}]}
        ingress: [{from: [{podSelector: {matchLabels: {pod: a}}, namespaceSelector: {matchLabels: {team: red}}}]}]
        """
    assert list(connections(world, policies(spec))) == expected


def test_the_name_label_of_a_namespace_can_not_be_forged() -> None:
    world = World(namespaces={"x": {"kubernetes.io/metadata.name": "y"}})
    assert world.namespaces == {"x": {"kubernetes.io/metadata.name": "x"}}


def test_ends_that_share_no_family_are_judged_by_policy_alone() -> None:
    world = World(namespaces={"x": {}}, pods=(Pod("x", "four", ips=("10.0.0.1",)),), hosts=(Host("six", "fd00::9"),))
    spec = "{policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: '::/0'}}]}]}"
    assert connections(world, policies(spec)) == ("host:six -> x/four : ALL", "x/four -> host:six : ALL")


def test_the_verdict_names_who_isolates_and_who_allows() -> None:
    stood = [
        policy("{podSelector: {}, policyTypes: [Ingress, Egress]}", name="deny"),
        policy("{policyTypes: [Egress], egress: [{ports: [{port: 80}]}]}", name="out"),
        policy("{podSelector: {matchLabels: {pod: b}}, ingress: [{ports: [{port: 81}]}]}", name="in"),
    ]
    egress = Side(isolating=("x/deny", "x/out"), allowing=("x/out",))
    verdict = allowed(WORLD, stood, ENDS["x/a"], ENDS["x/b"], "TCP", 80)
    assert verdict == Verdict(egress=egress, ingress=Side(isolating=("x/deny", "x/in")))
    assert (verdict.egress.allowed, verdict.ingress.allowed, verdict.allowed) == (True, False, False)
    assert allowed(WORLD, stood, ENDS["x/a"], ENDS["y/b"], "TCP", 80) == Verdict(egress=egress)
    assert allowed(WORLD, stood, ENDS["x/a"], ENDS["y/b"], "TCP", 80).allowed


def test_the_verdict_is_that_of_the_family_that_connects() -> None:
    stood = policies(into_a("{from: [{ipBlock: {cidr: 'fd00::2/128'}}], ports: [{port: 80}]}"))
    verdict = allowed(WORLD, stood, ENDS["x/b"], ENDS["x/a"], "TCP", 80)
    assert verdict == Verdict(ingress=Side(isolating=("x/p0",), allowing=("x/p0",)))
    refused = allowed(WORLD, stood, ENDS["x/b"], ENDS["x/a"], "TCP", 81)
    assert refused == Verdict(ingress=Side(isolating=("x/p0",)))


def test_a_pod_always_reaches_itself() -> None:
    deny = policies("{podSelector: {}, policyTypes: [Ingress, Egress]}")
    assert allowed(WORLD, deny, ENDS["x/a"], ENDS["x/a"], "TCP", 80).allowed


def rule(peer: str) -> str:
    return f"{{ingress: [{{from: [{peer}]}}]}}"


def port(entry: str) -> str:
    return f"{{ingress: [{{ports: [{entry}]}}]}}"


PEER = "NetworkPolicy x/p: spec.ingress[0].from[0]"
PORT = "NetworkPolicy x/p: spec.ingress[0].ports[0]"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        pytest.param("null", "NetworkPolicy x/p: spec: must be an object, not None", id="no-spec"),
        pytest.param("{igress: []}", "NetworkPolicy x/p: spec: unknown field 'igress'", id="unknown-field"),
        pytest.param(
            "{policyTypes: [ingress]}", "spec.policyTypes: must be Ingress or Egress, not 'ingress'", id="type"
        ),
        pytest.param("{policyTypes: [[Ingress]]}", "spec.policyTypes: must be Ingress or Egress", id="type-list"),
        pytest.param("{ingress: {}}", "NetworkPolicy x/p: spec.ingress: must be a list, not {}", id="rules-no-list"),
        pytest.param("{ingress: [{to: []}]}", "spec.ingress[0]: unknown field 'to'", id="to-at-ingress"),
        pytest.param("{egress: [{from: []}]}", "spec.egress[0]: unknown field 'from'", id="from-at-egress"),
        pytest.param(
            "{policyTypes: [Ingress], egress: [{to: [{}]}]}",
            "spec.egress[0].to[0]: must have either selectors or an ipBlock",
            id="wrong-rule-of-a-direction-not-in-types",
        ),
        pytest.param(rule("{}"), f"{PEER}: must have either selectors or an ipBlock", id="empty-peer"),
        pytest.param(
            rule("{podSelector: {}, ipBlock: {cidr: 10.0.0.0/8}}"),
            f"{PEER}: must have either selectors or an ipBlock",
            id="selector-and-block",
        ),
        pytest.param(rule("{podSelector: {app: a}}"), f"{PEER}.podSelector: unknown field 'app'", id="bare-labels"),
        pytest.param(
            rule("{podSelector: {matchLabels: {a: true}}}"),
            f"{PEER}.podSelector.matchLabels.values[0]: must be a string, not True",
            id="label-no-string",
        ),
        pytest.param(
            rule("{podSelector: {matchLabels: []}}"),
            f"{PEER}.podSelector.matchLabels: must be an object, not []",
            id="labels-no-object",
        ),
        pytest.param(
            rule("{podSelector: {matchExpressions: [{key: a, operator: Is, values: [b]}]}}"),
            f"{PEER}.podSelector.matchExpressions[0].operator: must be In, NotIn, Exists or DoesNotExist, not 'Is'",
            id="operator",
        ),
        pytest.param(
            rule("{podSelector: {matchExpressions: [{key: a, operator: In}]}}"),
            f"{PEER}.podSelector.matchExpressions[0].values: In needs at least one",
            id="In-of-nothing",
        ),
        pytest.param(
            rule("{podSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}}"),
            f"{PEER}.podSelector.matchExpressions[0].values: Exists must have none",
            id="Exists-with-values",
        ),
        pytest.param(
            rule("{podSelector: {matchExpressions: [{operator: Exists}]}}"),
            f"{PEER}.podSelector.matchExpressions[0].key: must be a string, not None",
            id="expression-without-key",
        ),
        pytest.param(rule("{ipBlock: {}}"), f"{PEER}.ipBlock.cidr: must be a string, not None", id="no-cidr"),
        pytest.param(rule("{ipBlock: {cidr: 10.0.0.1}}"), f"{PEER}.ipBlock.cidr: '10.0.0.1' is no CIDR", id="bare-ip"),
        pytest.param(rule("{ipBlock: {cidr: 10.0.0.0/33}}"), "'10.0.0.0/33' is no CIDR", id="prefix-too-long"),
        pytest.param(rule("{ipBlock: {cidr: 10.0.0.0/255.0.0.0}}"), "/255.0.0.0' is no CIDR", id="netmask"),
        pytest.param(rule("{ipBlock: {cidr: '::ffff:1.2.3.4/128'}}"), "is IPv4 written as IPv6", id="mapped"),
        pytest.param(
            rule("{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/16]}}"),
            f"{PEER}.ipBlock.except[0]: 11.0.0.0/16 must be a strict part of 10.0.0.0/8",
            id="except-outside",
        ),
        pytest.param(rule("{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/8]}}"), "strict part", id="except-all"),
        pytest.param(rule("{ipBlock: {cidr: 10.0.0.0/8, except: ['::/64']}}"), "strict part", id="except-family"),
        pytest.param(port("8080"), f"{PORT}: must be an object, not 8080", id="bare-port"),
        pytest.param(port("{port: 0}"), f"{PORT}.port: must be 1..65535, not 0", id="port-0"),
        pytest.param(port("{port: 65536}"), f"{PORT}.port: must be 1..65535, not 65536", id="port-65536"),
        pytest.param(port("{port: true}"), f"{PORT}.port: must be 1..65535, not True", id="port-bool"),
        pytest.param(port("{port: '80'}"), f"{PORT}.port: '80' is no port name", id="port-number-in-quotes"),
        pytest.param(port("{port: Web}"), f"{PORT}.port: 'Web' is no port name", id="port-name-upper"),
        pytest.param(port("{port: a-very-long-name}"), "'a-very-long-name' is no port name", id="port-name-long"),
        pytest.param(port("{port: 80, endPort: 79}"), f"{PORT}.endPort: 79 is below port 80", id="endPort-below"),
        pytest.param(
            port("{port: web, endPort: 80}"), f"{PORT}.endPort: needs a port that is a number", id="endPort-name"
        ),
        pytest.param(port("{endPort: 80}"), f"{PORT}.endPort: needs a port that is a number", id="endPort-alone"),
        pytest.param(port("{protocol: tcp}"), f"{PORT}.protocol: must be TCP, UDP or SCTP, not 'tcp'", id="protocol"),
    ],
)
def test_an_invalid_policy_is_refused_with_what_and_where(spec: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        connections(WORLD, [policy(spec)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"kind": "Policy"}, "NetworkPolicy: kind: must be NetworkPolicy, not 'Policy'", id="kind"),
        pytest.param({"apiVersion": "v1"}, "apiVersion: must be networking.k8s.io/v1, not 'v1'", id="version"),
        pytest.param({"metadata": {"name": "p"}}, "metadata.namespace: must be a string, not None", id="no-namespace"),
        pytest.param({"metadata": {"namespace": "x"}}, "in x: metadata.name: must be a string", id="no-name"),
        pytest.param({"metadata": {"namespace": "w", "name": "p"}}, "w/p: there is no namespace 'w'", id="lost"),
        pytest.param({"metadata": None}, "metadata: must be an object, not None", id="no-metadata"),
    ],
)
def test_a_body_that_is_no_network_policy_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        connections(WORLD, [policy("{}") | change])


def test_two_policies_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="NetworkPolicy x/p: there is more than one of this name"):
        connections(WORLD, [policy("{}"), policy("{}")])


@pytest.mark.parametrize(
    ("pods", "hosts", "message"),
    [
        pytest.param([Pod("w", "a")], [], "w/a: there is no namespace 'w'", id="unknown-namespace"),
        pytest.param([Pod("x", "a"), Pod("x", "a")], [], "x/a: there is more than one", id="twin-pods"),
        pytest.param([], [Host("h", "10.0.0.0/8")], "host:h: '10.0.0.0/8' is no IP address", id="host-address"),
        pytest.param([Pod("x", "a", ips=("10.0.0",))], [], "x/a: '10.0.0' is no IP address", id="pod-address"),
        pytest.param([Pod("x", "a", ports={"web": ("tcp", 80)})], [], "x/a: port web: must be TCP", id="protocol"),
        pytest.param([Pod("x", "a", ports={"web": ("TCP", 0)})], [], "x/a: port web: must be 1..65535", id="port"),
    ],
)
def test_an_impossible_world_is_refused(pods: list[Pod], hosts: list[Host], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        World(namespaces={"x": {}}, pods=tuple(pods), hosts=tuple(hosts))


@pytest.mark.parametrize(
    ("destination", "protocol", "number", "message"),
    [
        pytest.param(ENDS["x/b"], "ICMP", 80, "protocol: must be TCP, UDP or SCTP, not 'ICMP'", id="protocol"),
        pytest.param(ENDS["x/b"], "TCP", 0, "port: must be 1..65535, not 0", id="port"),
        pytest.param(Pod("x", "c"), "TCP", 80, "x/c: not in the world", id="stranger"),
    ],
)
def test_an_impossible_question_is_refused(destination: Pod, protocol: str, number: int, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        allowed(WORLD, [], ENDS["x/a"], destination, protocol, number)


# Properties. The generated policies speak of WORLD's labels, addresses and port names, so that they often meet.

LABELS = st.sampled_from([{}, {"pod": "a"}, {"pod": "b"}, {"tier": "web"}])
EXPRESSION = st.sampled_from(
    [
        {"key": "tier", "operator": "Exists"},
        {"key": "tier", "operator": "DoesNotExist"},
        {"key": "pod", "operator": "In", "values": ["a"]},
        {"key": "pod", "operator": "NotIn", "values": ["a", "c"]},
    ]
)
POD_SELECTOR = st.one_of(
    st.builds(lambda labels: {"matchLabels": labels}, LABELS),
    st.builds(lambda entry: {"matchExpressions": [entry]}, EXPRESSION),
)
NAMESPACE_SELECTOR = st.sampled_from([{}, {"matchLabels": {"team": "blue"}}, {"matchLabels": {"team": "red"}}])
BLOCK = st.sampled_from(
    [
        {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]},
        {"cidr": "::/0"},
        {"cidr": "10.0.0.0/23", "except": ["10.0.0.2/32"]},
        {"cidr": "203.0.113.0/29", "except": ["203.0.113.4/30"]},
    ]
)
PEER_BODY = st.one_of(
    st.builds(lambda pods: {"podSelector": pods}, POD_SELECTOR),
    st.builds(lambda names: {"namespaceSelector": names}, NAMESPACE_SELECTOR),
    st.builds(lambda names, pods: {"namespaceSelector": names, "podSelector": pods}, NAMESPACE_SELECTOR, POD_SELECTOR),
    st.builds(lambda block: {"ipBlock": block}, BLOCK),
)
PROTOCOL = st.sampled_from([{}, {"protocol": "TCP"}, {"protocol": "UDP"}, {"protocol": "SCTP"}])
NUMBERS = st.sampled_from([1, 2, 80, 81, 8079, 8080, 9080, 65534, 65535])
PORT_BODY = st.one_of(
    PROTOCOL,
    st.builds(lambda protocol, number: {**protocol, "port": number}, PROTOCOL, NUMBERS),
    st.builds(lambda protocol: {**protocol, "port": "web"}, PROTOCOL),
    st.builds(lambda protocol, a, b: {**protocol, "port": min(a, b), "endPort": max(a, b)}, PROTOCOL, NUMBERS, NUMBERS),
)
PORT_LIST = st.lists(PORT_BODY, max_size=3)
PEER_LIST = st.lists(PEER_BODY, max_size=2)
SPEC = st.fixed_dictionaries(
    {"podSelector": POD_SELECTOR},
    optional={
        "policyTypes": st.sampled_from([[], ["Ingress"], ["Egress"], ["Ingress", "Egress"]]),
        "ingress": st.lists(st.fixed_dictionaries({"from": PEER_LIST, "ports": PORT_LIST}), max_size=2),
        "egress": st.lists(st.fixed_dictionaries({"to": PEER_LIST, "ports": PORT_LIST}), max_size=2),
    },
)
NAMESPACE = st.sampled_from(["x", "y"])


def named(specs: list[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    return [{"metadata": {"namespace": ns, "name": f"p{i}"}, "spec": spec} for i, (ns, spec) in enumerate(specs)]


POLICIES = st.lists(st.tuples(NAMESPACE, SPEC), min_size=1, max_size=5).map(named)

Intervals = dict[tuple[str, str, str], list[tuple[int, int]]]


def intervals(found: tuple[str, ...]) -> Intervals:
    """The lines read back: (source, destination, protocol) to its intervals."""
    read: Intervals = {}
    for line in found:
        source, destination, ports = re.fullmatch(r"(\S+) -> (\S+) : (.+)", line).groups()  # type: ignore[union-attr]
        everything = "SCTP 1-65535, TCP 1-65535, UDP 1-65535"
        for group in (everything if ports == "ALL" else ports).split(", "):
            protocol, numbers = group.split(" ")
            pairs = [tuple(map(int, number.split("-"))) for number in numbers.split(",")]
            read[source, destination, protocol] = [(pair[0], pair[-1]) for pair in pairs]
    return read


def within(inner: tuple[str, ...], outer: tuple[str, ...]) -> bool:
    """True where ``outer`` opens all that ``inner`` does. Intervals are merged, so one of them must hold each."""
    wide = intervals(outer)
    return all(
        any(low <= first and last <= high for low, high in wide.get(key, []))
        for key, spans in intervals(inner).items()
        for first, last in spans
    )


@given(stood=POLICIES, added=SPEC, data=st.data())
@settings(deadline=None, max_examples=150)
def test_allowing_more_to_an_isolated_pod_never_closes(
    stood: list[dict[str, Any]], added: dict[str, Any], data: st.DataObject
) -> None:
    old = data.draw(st.sampled_from(stood))
    types = old["spec"].get("policyTypes") or ["Ingress", *(["Egress"] if old["spec"].get("egress") else [])]
    spec = {**added, "podSelector": old["spec"]["podSelector"], "policyTypes": types}
    new = {"metadata": {"namespace": old["metadata"]["namespace"], "name": "added"}, "spec": spec}
    assert within(connections(WORLD, stood), connections(WORLD, [*stood, new]))


@given(stood=POLICIES, namespace=NAMESPACE, selector=POD_SELECTOR)
@settings(deadline=None, max_examples=150)
def test_a_policy_without_rules_never_opens(
    stood: list[dict[str, Any]], namespace: str, selector: dict[str, Any]
) -> None:
    spec = {"podSelector": selector, "policyTypes": ["Ingress", "Egress"]}
    new = {"metadata": {"namespace": namespace, "name": "added"}, "spec": spec}
    assert within(connections(WORLD, [*stood, new]), connections(WORLD, stood))


@given(stood=POLICIES, seed=st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=150)
def test_order_never_matters(stood: list[dict[str, Any]], seed: random.Random) -> None:
    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: shuffled(value[key]) for key in seed.sample(list(value), len(value))}
        return [shuffled(entry) for entry in seed.sample(value, len(value))] if isinstance(value, list) else value

    world = World(
        namespaces=dict(seed.sample(list(WORLD.namespaces.items()), len(WORLD.namespaces))),
        pods=tuple(seed.sample(WORLD.pods, len(WORLD.pods))),
        hosts=tuple(seed.sample(WORLD.hosts, len(WORLD.hosts))),
    )
    assert connections(world, shuffled(stood)) == connections(WORLD, stood)


@given(stood=POLICIES)
@settings(deadline=None, max_examples=150)
def test_absent_null_and_empty_lists_mean_the_same(stood: list[dict[str, Any]]) -> None:
    def emptied(value: Any, empty: Any) -> Any:
        if isinstance(value, dict):
            return {key: emptied(entry, empty) for key, entry in value.items()}
        return [emptied(entry, empty) for entry in value] if value and isinstance(value, list) else (value or empty)

    def absent(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: absent(entry) for key, entry in value.items() if entry != []}
        return [absent(entry) for entry in value] if isinstance(value, list) else value

    listed = connections(WORLD, stood)
    assert connections(WORLD, absent(stood)) == listed
    assert connections(WORLD, [{**body, "spec": emptied(body["spec"], None)} for body in stood]) == listed


@given(stood=POLICIES, pair=st.sampled_from([line.partition(" : ")[0] for line in OPEN]))
@settings(deadline=None, max_examples=300)
def test_connections_and_allowed_agree_at_every_boundary(stood: list[dict[str, Any]], pair: str) -> None:
    source, destination = pair.split(" -> ")
    found = intervals(connections(WORLD, stood))
    for protocol in ("SCTP", "TCP", "UDP"):
        spans = found.get((source, destination, protocol), [])
        edges = {edge for first, last in spans for edge in (first - 1, first, last, last + 1)}
        for number in sorted({1, 80, 8080, 9080, 65535} | edges - {0, 65536}):
            verdict = allowed(WORLD, stood, ENDS[source], ENDS[destination], protocol, number)
            assert verdict.allowed == any(first <= number <= last for first, last in spans), (protocol, number)
