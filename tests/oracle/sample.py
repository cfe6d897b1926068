"""Drawn objects, the same for the same seed, as plain data: with the policies that are compiled for them and what must
be open. Whatever enforces NetworkPolicies can be held against these, real network namespaces included.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from builders import obj
from oracle import world
from strategies import flows, headers

objects: st.SearchStrategy[Any] = st.builds(
    lambda found, header: obj(*found, **header), st.lists(flows, min_size=1, max_size=5), headers
)


def draw(count: int, *, seed_: int) -> list[Any]:
    """``count`` different AppConnectivity objects, always the same for one seed (and one version of Hypothesis)."""
    found: dict[str, Any] = {}

    @seed(seed_)
    @settings(
        max_examples=2 * count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(objects)
    def collect(body: Any) -> None:
        found.setdefault(repr(body), body)

    collect()
    if len(found) < count:
        raise ValueError(f"only {len(found)} different objects of {count} could be drawn")
    return list(found.values())[:count]


def sample(count: int, *, seed_: int = 1) -> dict[str, Any]:
    """``{"world": …, "probes": [[protocol, port]], "cases": [{"object", "policies", "open"}]}``, ready for JSON.

    ``world`` holds namespaces with their labels, pods with labels, addresses and named ports, and hosts outside the
    cluster. Ends are named ``namespace/pod`` and ``host:name``. ``open`` lists [source, target, address, protocol,
    port] for every probed connection that must get through, from the objects' own words; all others between different
    ends (but between two hosts) must not.
    """
    return {
        "world": world.plain(),
        "probes": [list(probe) for probe in world.PROBES],
        "cases": [
            {
                "object": body,
                "policies": world.policies_of(body),
                "open": sorted(map(list, world.declared_at(body))),
            }
            for body in draw(count, seed_=seed_)
        ],
    }
