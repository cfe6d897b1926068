"""What is wrong with a template whatever a namespace is called and says of itself is said before there is any."""

from __future__ import annotations

from typing import Any

import pytest

from appconnectivity.core.findings import Reason
from appconnectivity.core.template import Place, Refusal, TemplateSpec, doubt, parse, render
from builders import flow

Body = dict[str, Any]

PARAMETERS = {
    "bad": "http:80",
    "ports": "80,http:80",
    "many": ",".join(f"n{number}" for number in range(40)),
    "gold": "x",
    "GOLD": "y",
    "on": "true",
    "off": "false",
    "nothing": "",
}
ANY = "namespace.labels.any"
BAD = flow("a", "b", "{{ parameters.bad }}")


def template(*flows: Any, **spec: Any) -> Body:
    selector = {"matchLabels": {"baseline": "standard"}}
    return {
        "namespaceSelector": selector,
        "parameters": PARAMETERS,
        "template": {"spec": {**spec, "flows": [*flows]}},
    }


def judged(raw: Body) -> TemplateSpec | Refusal:
    """As long as no namespace is selected."""
    parsed = parse(raw)
    return parsed if isinstance(parsed, Refusal) else doubt(parsed) or parsed


@pytest.mark.parametrize(
    ("written", "said"),
    [
        pytest.param(flow("{{ parameters.nope }}", "b"), "from.app: '{{ parameters.nope }}': parameters has no 'nope'"),
        pytest.param(flow("{{ namespace.name }}-{{ parameters.nope }}", "b"), "parameters has no 'nope'", id="beside"),
        pytest.param({"when": f"{ANY} == parameters.nope", **flow("a", "b")}, "parameters has no 'nope'", id="when"),
        pytest.param(
            {"when": f"{ANY} == 'x'", **flow("a", "{{ parameters.nope }}")}, "parameters has no 'nope'", id="below when"
        ),
        pytest.param(flow("{{ namespace.uid }}", "b"), "namespace has no 'uid'", id="an attribute"),
        pytest.param({"when": "namespace.uid == 'x'", **flow("a", "b")}, "namespace has no 'uid'", id="one in when"),
        pytest.param(
            flow("{{ namespace.labels.app.kubernetes.io | default('x') }}", "b"),
            "'sometext' has no parts such as 'kubernetes'; keys with dots, dashes or slashes stand in brackets:"
            " write namespace.labels['app.kubernetes.io']",
            id="a key with dots, and a default that would hide it",
        ),
        pytest.param(flow("{{ namespace.labels }}", "b"), "can be put in, not namespace.labels", id="a map"),
        pytest.param({"when": ANY, **flow("a", "b")}, "neither true nor false", id="when is a text"),
        pytest.param({"forEach": ANY, **flow("a", "b")}, "perhaps | split is missing", id="forEach is a text"),
        pytest.param(flow("a", {"entity": f"{{{{ {ANY} }}}}"}), "can come from parameters, not from", id="a word"),
        pytest.param(
            {"forEach": f"{ANY} | split", **flow("a", {"entity": "{{ item }}"})}, "can come from", id="a word by item"
        ),
        pytest.param(
            BAD, "flows[1].ports[0]: '{{ parameters.bad }}' is 'http:80': 'http:80' is not a port", id="a parameter"
        ),
        pytest.param({"when": f"{ANY} == 'x'", **BAD}, "'http:80' is not a port", id="in some namespaces"),
        pytest.param({"when": "parameters.on == 'true'", **BAD}, "'http:80' is not a port", id="switched on"),
        pytest.param({"forEach": f"{ANY} | split", **BAD}, "'http:80' is not a port", id="for each"),
        pytest.param(
            {"forEach": "parameters.ports | split", **flow("a", "b", "{{ item }}")},
            "flows[1].ports[0]: '{{ item }}' is 'http:80': 'http:80' is not a port",
            id="the second item",
        ),
        pytest.param(
            flow("a", "b", f"{{{{ {ANY} }}}}", "{{ parameters.bad }}"), "flows[1].ports[1]: ", id="beside a value"
        ),
        pytest.param(flow("a", {"ipBlocks": [{"cidr": "{{ parameters.bad }}"}]}), "is not a CIDR", id="an address"),
        pytest.param(flow("a", "b", "80/tcp"), "flows[1].ports[0]: '80/tcp' is not a port", id="no expression at all"),
        pytest.param({"from": {"app": "a"}, "ports": [80]}, "flows[1].to: is needed", id="a field that is missing"),
    ],
)
def test_what_no_namespace_could_get_is_refused_before_there_is_any(written: Body, said: str) -> None:
    refused = judged(template({"when": "false", **flow("x", "y")}, written))

    assert isinstance(refused, Refusal)
    assert refused.reason is Reason.INVALID
    assert refused.message.startswith("spec.template.spec.flows[1]")
    assert refused.path[:5] == ("spec", "template", "spec", "flows", 1)
    assert said in refused.message


@pytest.mark.parametrize("field", ["mode", "defaultDeny", "dns", "appLabel"])
def test_what_is_wrong_outside_of_flows_is_refused_too(field: str) -> None:
    given, wrong = (judged(template(**{field: text})) for text in (f"{{{{ {ANY} }}}}", "{{ parameters.bad }}"))

    assert isinstance(given, Refusal)
    assert "can come from parameters" in given.message
    assert isinstance(wrong, Refusal)
    assert wrong.path == ("spec", "template", "spec", field)


def test_what_only_another_version_knows_is_said_to_be_that() -> None:
    refused = judged(template({"prot": "TCP", **flow("a", "b")}))

    assert isinstance(refused, Refusal)
    assert refused.reason is Reason.UNSUPPORTED


def test_there_are_no_more_flows_than_an_object_may_have() -> None:
    listed = {"forEach": "parameters.many | split", **flow({"namespace": "{{ item }}"}, "b")}
    written, made = (judged(template(*flows)) for flows in ([flow("a", "b")] * 65, [listed, listed]))

    assert isinstance(written, Refusal)
    assert written.message == "spec.template.spec.flows: 65 flows, more than 64"
    assert isinstance(made, Refusal)
    assert "flows: Tuple should have at most 64 items" in made.message


@pytest.mark.parametrize(
    "flows",
    [
        pytest.param([{"when": "parameters.off == 'true'", **BAD}], id="switched off by a parameter"),
        pytest.param([{"when": "false", **BAD}], id="switched off"),
        pytest.param([{"when": f"{ANY} == 'b' and parameters.off == 'true'", **BAD}], id="partly by a parameter"),
        pytest.param([{"when": "'nope' in parameters", **flow("{{ parameters.nope }}", "b")}], id="asked for before"),
        pytest.param([flow("{{ parameters.nope | default('x') }}", "b")], id="a default"),
        pytest.param([flow("{{ parameters.nope if parameters.nope is defined else 'x' }}", "b")], id="is it defined"),
        pytest.param([flow("{{ parameters[namespace.labels.tier] }}", "b")], id="looked up by a value"),
        pytest.param([flow("{{ parameters[namespace.labels.tier | upper] }}", "b")], id="looked up by a changed value"),
        pytest.param(
            [{"forEach": "namespace.labels.tier | split", **flow("{{ parameters[item] }}", "b")}], id="by an item"
        ),
        pytest.param([{"forEach": "parameters.nothing | split", **BAD}], id="for each of none"),
        pytest.param([flow("a", "b", "{{ namespace.labels.port }}", 80)], id="a port"),
        pytest.param(
            [flow("a", {"ipBlocks": [{"cidr": "{{ namespace.annotations.net }}", "except": ["10.1.0.0/16"]}]})],
            id="an address and what is left out of it",
        ),
        pytest.param([flow("a", "b", expirationTime="{{ namespace.annotations.until }}")], id="a moment"),
        pytest.param(
            [
                {"when": "namespace.labels.any == 'b'", **flow("a", "b", name="one")},
                {"when": "namespace.labels.any != 'b'", **flow("a", "c", name="one")},
            ],
            id="one or the other of the same name",
        ),
        pytest.param(
            [
                {
                    "forEach": "parameters.many | split",
                    "when": "item == namespace.labels.port",
                    **flow({"namespace": "{{ item }}"}, to),
                }
                for to in ("b", "c")
            ],
            id="some of very many",
        ),
        pytest.param(
            [{"forEach": "namespace.annotations.net | split", **flow("a", {"ipBlocks": [{"cidr": "{{ item }}"}]})}],
            id="an address by item",
        ),
    ],
)
def test_what_some_namespace_could_get_is_not_refused(flows: list[Body]) -> None:
    parsed = judged(template(*flows))
    place = Place(
        "team-a",
        {"any": "b", "tier": "gold", "port": "8080"},
        {"net": "10.0.0.0/8", "until": "2030-01-01T00:00:00Z"},
    )

    assert isinstance(parsed, TemplateSpec), parsed
    assert len(render(parsed, place)["flows"]) <= len(flows)
