"""What the benchmarks of scale have measured: a table's rows, and a curve."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    """A line of the table; ``ratio`` is the figure by which ``is_met`` was judged where there is one."""

    what: str
    measured: str
    beside: str
    ratio: str
    wanted: str
    is_met: bool


@dataclass
class Results:
    """``growth`` are seconds an object, by the number of objects there are."""

    rows: list[Row] = field(default_factory=list)
    growth: dict[int, float] = field(default_factory=dict)

    def ratio(self, what: str, measured: float, beside: float, *, at_most: float) -> None:
        ratio = measured / beside
        words = f"{_seconds(measured)}", f"{_seconds(beside)}", f"{ratio:.2f}", f"at most {at_most:g}x"
        self._add(Row(what, *words, ratio <= at_most))

    def limit(self, what: str, measured: float, unit: str, *, at_most: float) -> None:
        self._add(Row(what, f"{measured:.3g} {unit}", "", "", f"at most {at_most:g} {unit}", measured <= at_most))

    def _add(self, row: Row) -> None:
        self.rows.append(row)
        print(f"{row.what}: {row.measured} {row.beside} {row.ratio} ({row.wanted})", flush=True)


def _seconds(value: float) -> str:
    if value < 0.001:
        return f"{value * 1_000_000:.1f} µs"
    return f"{value * 1000:.1f} ms" if value < 1 else f"{value:.2f} s"
