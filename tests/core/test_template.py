"""Templates: what each namespace gets, and what neither a template nor a namespace can bring about."""

from __future__ import annotations

import re
from typing import Any

import pytest

from appconnectivity.core import api
from appconnectivity.core.filling import RenderError
from appconnectivity.core.findings import Finding
from appconnectivity.core.template import Place, Refusal, Renderings, TemplateSpec, parse, render
from appconnectivity.core.template_status import MAX_FAILURE_MESSAGE
from builders import flow

Body = dict[str, Any]
SELECTOR = {"matchLabels": {"baseline": "standard"}}
DEFAULTS = {"mode": "Enforce", "defaultDeny": "Namespace", "policyTypes": ["Ingress", "Egress"], "dns": "Cluster"}


def template(*flows: Body, parameters: dict[str, str] | None = None, **spec: Any) -> TemplateSpec:
    parsed = parse(raw(*flows, parameters=parameters, **spec))
    assert isinstance(parsed, TemplateSpec), parsed
    return parsed


def unchecked(*flows: Body, **spec: Any) -> TemplateSpec:
    """As if nobody had looked at it before it is rendered."""
    return TemplateSpec.model_validate(raw(*flows, **spec))


def raw(*flows: Any, parameters: dict[str, str] | None = None, **spec: Any) -> Body:
    return {
        "namespaceSelector": SELECTOR,
        "parameters": parameters or {},
        "template": {"spec": {**spec, "flows": [*flows]}},
    }


def flows_for(made: TemplateSpec, **annotations: str) -> list[Body]:
    flows: list[Body] = render(made, Place("team-a", {"team": "a"}, annotations))["flows"]
    return flows


def test_every_default_is_spelled_out() -> None:
    """So that a field which somebody adds is seen for what it is."""
    assert render(template(), Place("team-a")) == DEFAULTS | {"flows": []}


def test_structure_and_numbers_stay_as_they_are() -> None:
    written = flow({"podSelector": {"matchLabels": {"tier": "web"}}}, {"service": "db"}, 8080, "53/UDP")

    assert flows_for(template(written)) == [written]


def test_a_flow_is_there_once_for_each_item() -> None:
    made = template({"forEach": "namespace.annotations.partners | split", **flow({"namespace": "{{ item }}"}, "api")})

    assert flows_for(made, partners="x,y") == [flow({"namespace": "x"}, "api"), flow({"namespace": "y"}, "api")]
    assert flows_for(made, partners="") == []


def test_a_condition_decides_for_each_item() -> None:
    made = template(
        {
            "forEach": "namespace.annotations.partners | split",
            "when": "item != namespace.labels.team",
            **flow({"namespace": "{{ item }}"}, "api"),
        }
    )

    assert flows_for(made, partners="a,b") == [flow({"namespace": "b"}, "api")]


def test_a_label_that_looks_like_structure_or_an_expression_stays_a_value() -> None:
    made = template(flow("a", "b", description="{{ namespace.annotations.said }}"))

    for said in ("{a: b}", "x\ny: z", "- a", "{{ 7 * 7 }}", "!!python/object:os.system", "null", "&a *a", "\u202e"):
        assert flows_for(made, said=said) == [flow("a", "b", description=said)]


@pytest.mark.parametrize(
    ("written", "annotation", "said"),
    [
        pytest.param(flow("a", "b", "{{ V }}"), "*", "must be one port", id="all ports"),
        pytest.param(flow("a", "b", "{{ V }}"), "1-65535", "must be one port", id="a range"),
        pytest.param(
            flow("a", {"ipBlocks": [{"cidr": "{{ V }}"}]}), "0.0.0.0/0", "too much to be opened", id="everything"
        ),
        pytest.param(
            flow("a", {"ipBlocks": [{"cidr": "{{ V }}"}]}), "128.0.0.0/1", "too much to be opened", id="half of it"
        ),
        pytest.param(
            flow("a", {"ipBlocks": [{"cidr": "{{ V }}"}]}), "::/0", "too much to be opened", id="everything in IPv6"
        ),
        pytest.param(flow("a", {"entity": "{{ V }}"}), "Any", "can come from parameters", id="an entity"),
        pytest.param(
            flow("a", {"podSelector": {"matchExpressions": [{"key": "x", "operator": "{{ V }}"}]}}),
            "Exists",
            "can come from parameters",
            id="an operator",
        ),
        pytest.param(
            flow("a", {"podSelector": {"matchExpressions": [{"key": "{{ V }}", "operator": "Exists"}]}}),
            "x",
            "can come from parameters",
            id="a label key",
        ),
    ],
)
def test_no_namespace_opens_everything_by_what_it_says_of_itself(written: Body, annotation: str, said: str) -> None:
    text = str(written)
    direct = unchecked(_with(written, "namespace.annotations.v"))
    by_item = unchecked({"forEach": "[namespace.annotations.v]", **_with(written, "item")})

    assert "{{ V }}" in text
    for made in (direct, by_item):
        with pytest.raises(RenderError, match=said):
            flows_for(made, v=annotation)


@pytest.mark.parametrize("field", ["mode", "defaultDeny", "dns", "appLabel"])
def test_no_namespace_switches_itself_off(field: str) -> None:
    given: dict[str, Any] = {field: "{{ namespace.annotations.v }}"}
    made = unchecked(**given)

    with pytest.raises(RenderError, match="can come from parameters"):
        flows_for(made, v="None")


def test_whoever_writes_the_template_may_open_what_it_likes_by_parameters() -> None:
    made = template(
        flow("a", {"entity": "{{ parameters.entity }}"}, "{{ parameters.ports }}"),
        parameters={"entity": "Any", "ports": "*", "mode": "Audit"},
        mode="{{ parameters.mode }}",
    )

    spec = render(made, Place("team-a"))

    assert (spec["mode"], spec["flows"]) == ("Audit", [flow("a", {"entity": "Any"}, "*")])


@pytest.mark.parametrize("value", ["8080", "53/UDP", "metrics"])
def test_one_port_may_come_from_the_namespace(value: str) -> None:
    made = template(flow("a", "b", "{{ namespace.annotations.port }}"))

    assert flows_for(made, port=value) == [flow("a", "b", value)]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        pytest.param(
            flow("{{ nobody.x }}", "b"), "nobody is not known here, only namespace, parameters", id="variable"
        ),
        pytest.param(flow("{{ item }}", "b"), "item is not known here", id="item without forEach"),
        pytest.param({"forEach": "[item]", **flow("a", "b")}, "item is not known here", id="item in its own forEach"),
        pytest.param({"when": "{{ true }}", **flow("a", "b")}, "braces are for texts", id="when with braces"),
        pytest.param({"when": True, **flow("a", "b")}, r"flows\[0\].when: must be a text", id="when is no text"),
        pytest.param(flow("{% if a %}b{% endif %}", "b"), "if is not allowed", id="a statement"),
        pytest.param("a", r"flows\[0\]: must be a map", id="no flow"),
    ],
)
def test_what_no_namespace_could_get_is_refused_before_any_does(written: Any, said: str) -> None:
    refused = parse(raw(written))

    assert isinstance(refused, Finding)
    assert re.search(said, refused.message)


def test_an_empty_selector_is_refused() -> None:
    refused = parse(raw() | {"namespaceSelector": {}})

    assert isinstance(refused, Finding)
    assert "select by at least one label" in refused.message


def test_expressions_are_counted() -> None:
    blocks = [{"cidr": "{{ parameters.a }}", "except": ["{{ parameters.b }}"] * 15} for _ in range(33)]

    refused = parse(raw(flow("a", {"ipBlocks": blocks})))

    assert isinstance(refused, Finding)
    assert "528 expressions, more than 512" in refused.message


SAID = "{{ namespace.annotations.said }}"
NEVER = {"when": "false", **flow("x", "y")}
THREE = {"forEach": "['l', 'm', 'n']", **flow("{{ item }}", "y")}


@pytest.mark.parametrize(
    ("flows", "said", "path", "message"),
    [
        pytest.param(
            [NEVER, THREE, flow("a", "b", 80, SAID)],
            "http x",
            ("flows", 2, "ports", 1),
            "flows[2].ports[1]: '{{ namespace.annotations.said }}' is 'http x' for team-a: 'http x' is not a port",
            id="a port of a flow that is at another place by then",
        ),
        pytest.param(
            [THREE, {"forEach": "namespace.annotations.said | split", **flow("a", {"namespace": "is-{{ item }}"})}],
            "fine,Not Fine",
            ("flows", 1, "to", "namespace"),
            "flows[1].to.namespace: 'is-{{ item }}' is 'is-Not Fine' for team-a: ",
            id="the second item",
        ),
        pytest.param(
            [flow({"podSelector": {"matchLabels": {"app.kubernetes.io/name": SAID}}}, "b")],
            "/",
            ("flows", 0, "from", "podSelector", "matchLabels", "app.kubernetes.io/name"),
            "' is '/' for team-a: String should match",
            id="a label, whose key has dots",
        ),
        pytest.param(
            [flow("a", {"ipBlocks": [{"cidr": SAID}]})],
            "10.0.0.0",
            ("flows", 0, "to", "ipBlocks", 0, "cidr"),
            "' is '10.0.0.0' for team-a: '10.0.0.0' has no prefix length",
            id="an address",
        ),
        pytest.param(
            [flow("a", {"ipBlocks": [{"cidr": SAID, "except": ["10.0.0.0/8"]}]})],
            "11.0.0.0/8",
            ("flows", 0, "to", "ipBlocks", 0),
            "flows[0].to.ipBlocks[0]: as rendered for team-a: except 10.0.0.0/8 must be strictly within 11.0.0.0/8",
            id="values that do not fit each other",
        ),
        pytest.param(
            [flow("a", "b", name="x"), flow("a", "c", name=SAID)],
            "x",
            ("flows",),
            "flows: as rendered for team-a: two flows have the same name",
            id="flows that do not fit each other",
        ),
        pytest.param([flow(SAID, "b")], "x" * 900, ("flows", 0, "from", "app"), "x…' for team-a: ", id="long"),
        pytest.param(
            [NEVER, flow("a", "b", SAID)],
            "*",
            ("flows", 1, "ports", 0),
            "flows[1].ports[0]: '{{ namespace.annotations.said }}' is '*': what a namespace says of itself must be one",
            id="what no namespace may say",
        ),
        pytest.param(
            [NEVER, flow("a", "{{ namespace.annotations.nothing }}")],
            "",
            ("flows", 1, "to", "app"),
            "flows[1].to.app: '{{ namespace.annotations.nothing }}': namespace.annotations has no 'nothing'",
            id="no value",
        ),
    ],
)
def test_an_error_names_the_place_in_the_template_and_what_came_of_it(
    flows: list[Body], said: str, path: tuple[str | int, ...], message: str
) -> None:
    with pytest.raises(RenderError) as refused:
        flows_for(template(*flows), said=said)

    assert refused.value.path == ("spec", "template", "spec", *path)
    assert str(refused.value).startswith("spec.template.spec.flows")
    assert message in str(refused.value)
    assert len(str(refused.value)) < MAX_FAILURE_MESSAGE


def test_a_refused_template_names_the_place_too() -> None:
    found = [parse(raw(NEVER, flow("{{ nobody }}", "b"))), parse(raw() | {"maxConcurrent": 0})]

    assert [refused.path for refused in found if isinstance(refused, Refusal)] == [
        ("spec", "template", "spec", "flows", 1, "from", "app"),
        ("spec", "maxConcurrent"),
    ]


def test_there_are_never_more_flows_than_an_object_may_have() -> None:
    many = ",".join(f"n{number}" for number in range(40))
    written = {"forEach": "namespace.annotations.many | split", **flow({"namespace": "{{ item }}"}, "api")}

    with pytest.raises(RenderError, match=f"more than {api.MAX_FLOWS} flows"):
        flows_for(template(written, {**written, **flow({"namespace": "{{ item }}"}, "web")}), many=many)


def _with(body: Any, name: str) -> Any:
    if isinstance(body, dict):
        return {key: _with(value, name) for key, value in body.items()}
    if isinstance(body, list):
        return [_with(value, name) for value in body]
    return "{{ " + name + " }}" if body == "{{ V }}" else body


def test_flows_are_looked_at_only_so_often() -> None:
    """Each look may cost something, even where nothing comes of it."""
    many = ",".join(f"n{number}" for number in range(60))
    idle = {
        "forEach": "namespace.annotations.many | split",
        "when": "false",
        **flow({"namespace": "{{ item }}"}, "api"),
    }

    assert flows_for(template(*[idle] * 4), many=many) == []
    with pytest.raises(RenderError, match="300 items of forEach and flows without it, more than 256"):
        flows_for(template(*[idle] * 5), many=many)


@pytest.mark.parametrize("key", ["mode", "dns", "key", "operator", "entity", "when", "forEach"])
def test_a_label_may_be_called_as_one_of_the_words_that_no_namespace_decides(key: str) -> None:
    made = template(flow({"podSelector": {"matchLabels": {key: "{{ namespace.labels.team }}"}}}, "b"))

    assert flows_for(made) == [flow({"podSelector": {"matchLabels": {key: "a"}}}, "b")]


def test_what_a_namespace_got_is_remembered_until_it_says_something_else() -> None:
    made = Renderings(template(flow("{{ namespace.labels.app }}", "b")))
    first = made.of(Place("team-a", {"app": "x"}))

    assert made.of(Place("team-a", {"app": "x"})) is first
    assert made.of(Place("team-b", {"app": "x"})) is first, "the same for both is kept once"
    assert made.of(Place("team-a", {"app": "y"}))["flows"] == [flow("y", "b")]
    made.keep({"team-b"})
    assert made.of(Place("team-b", {"app": "x"})) is first
    made.keep(set())
    assert made.of(Place("team-b", {"app": "x"})) is not first, "it was gone, and nothing is kept for it"


def test_that_a_namespace_gets_nothing_is_remembered_too() -> None:
    made, place = Renderings(template(flow("{{ namespace.labels.app }}", "b"))), Place("team-a", {"ap": "x"})
    refusals = []
    for _ in range(2):
        with pytest.raises(RenderError) as refused:
            made.of(place)
        refusals.append(refused.value)
    made.keep({"team-a"})

    assert refusals[0] is refusals[1]
    assert made.of(Place("team-a", {"app": "x"}))["flows"] == [flow("x", "b")]
