"""What a pass remembers of its own writes. (What it does to a cluster is tested on a real API server, in tests/e2e.)"""

from __future__ import annotations

import time
from typing import Any, cast

import pytest

from appconnectivity.cluster.apply import Applier
from appconnectivity.cluster.client import Client
from appconnectivity.cluster.observe import Observer
from appconnectivity.cluster.report import Reporter
from appconnectivity.controller.metrics import Metrics
from appconnectivity.controller.reconcile import Reconciler
from appconnectivity.controller.triggers import Triggers
from appconnectivity.core import api
from builders import OPTIONS, obj


class FakeReporter:
    """Answers as the API server where the object is of this generation by now."""

    def __init__(self, generation: int) -> None:
        self.generation = generation

    async def status(self, *_: Any) -> dict[str, Any]:
        return {"resourceVersion": "8", "generation": self.generation}


@pytest.mark.parametrize(
    ("generation", "concerned"),
    [
        pytest.param(1, set(), id="nothing-but-our-own-status"),
        pytest.param(2, {"shop"}, id="the-spec-has-changed-meanwhile-and-the-watch-may-have-missed-it"),
    ],
)
async def test_the_event_of_an_own_status_is_news_only_if_it_tells_of_another_spec(
    generation: int, concerned: set[str]
) -> None:
    client, triggers = cast("Client", None), Triggers()
    reconciler = Reconciler(
        observer=Observer(client, options=OPTIONS, dns_services=(), clock=time.monotonic),
        applier=Applier(client),
        reporter=cast("Reporter", FakeReporter(generation)),
        triggers=triggers,
        metrics=Metrics(),
        options=OPTIONS,
        monotonic=time.monotonic,
    )
    body = obj(generation=1)
    await reconciler._write_status(body, {})

    event = body | {"metadata": body["metadata"] | {"resourceVersion": "8"}}
    assert triggers.concerned(api.PLURAL, event) == concerned
