"""The soak in short: rounds of seconds instead of minutes. `make soak` is the long one, of the same code."""

from __future__ import annotations

import os
from collections.abc import Callable

from cluster.controlplane import ControlPlane
from soak.__main__ import line
from soak.rounds import Soak

SEED = int(os.environ.get("SOAK_SEED", "1"))
ROUNDS, RESTARTED, SECONDS = 3, 2, 6.0


def test_random_changes_end_as_their_objects_say(say: Callable[[str], None]) -> None:
    with ControlPlane() as plane:
        soak = Soak(plane, SEED, round_seconds=SECONDS, restarted_rounds=RESTARTED)
        try:
            soak.run(ROUNDS, told=lambda _: None)
        finally:
            soak.close()

    say("\n".join(f"[soak] {text}" for text in (f"SOAK_SEED={SEED}", *map(line, range(1, ROUNDS + 1), soak.rounds))))
    assert [text for each in soak.rounds for text in each.divergences] == []
    assert all(each.changes for each in soak.rounds)
