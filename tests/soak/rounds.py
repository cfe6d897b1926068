"""The soak itself: rounds of random changes, and after each a pause until all is quiet, and a look at everything."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from appconnectivity.cluster.kinds import APP_CONNECTIVITY
from appconnectivity.controller.sweep import GAP_SECONDS
from cluster import processes
from cluster.controlplane import ControlPlane
from cluster.operator import Operator, install
from cluster.rest import Rest
from e2e.conftest import eventually
from soak import judge, memory
from soak.audit import Audit
from soak.changes import Changes, pool
from soak.estate import Estate

# Rests, adoption and sweeps as they are, only shorter: in half an hour each comes to its turn many times.
OPTIONS = ("--adoption-seconds", "1", "--sweep-interval", "20")
QUIET_SECONDS = 60.0
# A status that only tells how far a template is may be so late.
LATE_SECONDS = 2.0
_BURST, _REST_SECONDS = 30, 0.3
_RESTARTED_EVERY = 60


@dataclass
class Round:
    """What a round came to."""

    changes: int
    deleted: int
    divergences: list[str]
    resident_mb: list[float]
    restarts: int = 0
    quiet_seconds: float = 0.0


@dataclass
class Soak:
    """Users who change their minds, on a control plane with an operator. In the first ``restarted_rounds`` that
    is stopped and killed now and then; in all others it is one and the same, whose memory tells something.
    """

    plane: ControlPlane
    seed: int
    round_seconds: float
    restarted_rounds: int
    rounds: list[Round] = field(default_factory=list)
    _operator: Operator | None = None
    _ready_at: float = 0.0

    def __post_init__(self) -> None:
        install(self.plane)
        self._rest = Rest(self.plane)
        self._dice = random.Random(self.seed)
        self._audit = Audit(self.plane.audit_log)
        self._changes = Changes(Estate(self._rest), random.Random(self.seed), pool(seed_=self.seed))
        self._changes.begin()

    def close(self) -> None:
        self._rest.close()
        if self._operator is not None:
            self._operator.stop()

    def run(self, count: int, *, told: Callable[[Round], None]) -> None:
        """So many rounds."""
        for _ in range(count):
            self.rounds.append(self._round())
            told(self.rounds[-1])

    @property
    def samples(self) -> list[float]:
        """The memory in those rounds in which the operator was not restarted."""
        return [sample for each in self.rounds[self.restarted_rounds :] for sample in each.resident_mb]

    def _round(self) -> Round:
        before, deleted, restarts = self._changes.count, self._changes.deleted, 0
        end, resident = time.monotonic() + self.round_seconds, []
        self._started()
        while time.monotonic() < end:
            for _ in range(self._dice.randint(1, _BURST)):
                self._changes.one()
                restarts += self._restart_or_not()
            time.sleep(self._dice.uniform(0, _REST_SECONDS))
            resident += [memory.resident_mb(self._operator.process.pid)] if self._operator else []
        start = time.monotonic()
        found = self._pause()
        resident.append(memory.resident_mb(self._started().process.pid))
        return Round(
            changes=self._changes.count - before,
            deleted=self._changes.deleted - deleted,
            divergences=found,
            resident_mb=resident,
            restarts=restarts,
            quiet_seconds=time.monotonic() - start,
        )

    def _restart_or_not(self) -> bool:
        """It goes, politely or not; and some changes later there is another one."""
        if len(self.rounds) >= self.restarted_rounds or self._dice.randrange(_RESTARTED_EVERY):
            return False
        if self._operator is None:
            self._started()
            return False
        running, self._operator = self._operator, None
        if self._dice.random() < 0.5:
            assert running.stop()[0] == 0, processes.tail(running.log)
        else:
            running.kill()
        return True

    def _started(self) -> Operator:
        if self._operator is None:
            self._operator = Operator(self.plane, *OPTIONS)
            self._operator.wait_ready()
            self._ready_at = time.time()
        assert self._operator.process.poll() is None, processes.tail(self._operator.log)
        return self._operator

    def _pause(self) -> list[str]:
        """Until nothing is wrong any more; what still is after a minute."""
        self._started()
        estate = self._changes.estate
        touched = judge.foreign(estate)
        estate.restore()
        self._let_expire()
        eventually(self._has_swept_again, within=QUIET_SECONDS, what="what went before watches began is found")
        end = time.monotonic() + QUIET_SECONDS
        while (found := judge.divergences(estate)) and time.monotonic() < end:
            time.sleep(0.2)
        return [*touched, *found, *self._left_to_write(), *self._troubles()]

    def _let_expire(self) -> None:
        """What is about to change by itself has changed."""
        last = self._changes.last_expiry
        while last is not None and datetime.now(UTC) <= last:
            time.sleep(0.2)

    def _has_swept_again(self) -> bool:
        return self._started().metric("appconnectivity_last_sweep_timestamp_seconds") > self._ready_at + GAP_SECONDS - 1

    def _left_to_write(self) -> list[str]:
        """What an operator that knows nothing writes; the one at work must have nothing to write either."""
        end = time.monotonic() + QUIET_SECONDS
        while self._audit.writes() and time.monotonic() < end:
            time.sleep(LATE_SECONDS)
        fresh = Operator(self.plane, *OPTIONS, name="fresh")
        fresh.wait_ready()
        places = {body["metadata"]["namespace"] for body in self._rest.list(APP_CONNECTIVITY)}
        passes = len(places) + 1  # one over the template
        eventually(lambda: fresh.is_at_rest(passes=passes), within=QUIET_SECONDS, what="all is looked at")
        fresh.stop()
        return [f"a fresh operator has to {write}" for write in self._audit.writes()]

    def _troubles(self) -> list[str]:
        """What the operator says of itself."""
        lines = self._started().log.read_text().splitlines()
        return [line[:2000] for line in lines if "Traceback" in line][:1]
