"""A bar chart as SVG, small enough to be read as text."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

_WIDTH, _ROW, _LEFT, _RIGHT = 640, 28, 140, 70


def bars(title: str, values: Mapping[str, float]) -> str:
    """One bar for each value, with its figure."""
    most = max(values.values())
    height = _ROW * (len(values) + 1) + 8
    lines = [f'<text x="8" y="20" font-weight="bold">{escape(title)}</text>']
    for number, (name, value) in enumerate(values.items(), start=1):
        top, length = number * _ROW + 6, (_WIDTH - _LEFT - _RIGHT) * value / most
        lines += [
            f'<text x="8" y="{top + 15}">{escape(name)}</text>',
            f'<rect x="{_LEFT}" y="{top}" width="{length:.1f}" height="20" fill="#4878a8"/>',
            f'<text x="{_LEFT + length + 6:.1f}" y="{top + 15}">{value:.3g}</text>',
        ]
    size = f'width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}"'
    style = 'font-family="sans-serif" font-size="13"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n' + "\n".join(lines) + "\n</svg>\n"
