"""How long compiling alone takes."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from appconnectivity.controller import garbage
from appconnectivity.core.compile import Compiler
from appconnectivity.core.facts import Facts, Options
from appconnectivity.core.intent import parse
from bench.results import Results

FEW, MANY, FLOWS_OF_AN_OBJECT, OBJECTS_OF_A_NAMESPACE = 10_000, 100_000, 20, 10


def measure(results: Results) -> None:
    """By a process that is set up as the operator's."""
    garbage.collect_seldom()
    few, many = _seconds_for(FEW), _seconds_for(MANY)
    results.limit(f"compiling {MANY} flows", many, "s", at_most=10)
    results.ratio(f"a flow of these, beside one of {FEW}", many / MANY, few / FEW, at_most=1.3)


def _seconds_for(flows: int) -> float:
    """Objects of many flows each, parsed and compiled."""
    now, bodies = datetime.now(UTC), [_body(number) for number in range(flows // FLOWS_OF_AN_OBJECT)]
    start = time.perf_counter()
    for first in range(0, len(bodies), OBJECTS_OF_A_NAMESPACE):
        found = [parse(body, default_app_label="app") for body in bodies[first : first + OBJECTS_OF_A_NAMESPACE]]
        Compiler(facts=Facts(found[0].namespace), options=Options(), now=now, standing={}).compile(found)
    return time.perf_counter() - start


def _body(number: int) -> dict[str, Any]:
    """Unlike any other that was compiled before: what is understood already is not understood anew."""
    uid = f"uid-{number}-{time.monotonic_ns()}"
    metadata = {"namespace": f"n{number // OBJECTS_OF_A_NAMESPACE}", "name": f"o{number}", "uid": uid, "generation": 1}
    flows = [{"from": {"app": f"a{n}"}, "to": {"app": f"b{n}"}, "ports": [8080]} for n in range(FLOWS_OF_AN_OBJECT)]
    return {"metadata": metadata, "spec": {"flows": flows}}
