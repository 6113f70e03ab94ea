"""A part's chart, as SVG: for each row two points on a scale of powers of ten, each with its spread."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from typing import NamedTuple

from benchmarks.harness import span

from .catalogue import OURS, Part, Peer, Row
from .figures import Figures, Run, Span
from .tables import rows_of

__all__ = ["chart"]

_WIDTH, _LEFT, _RIGHT, _TOP, _STEP, _BOTTOM = 900, 350, 130, 58, 34, 34
_STYLE = """
    .ground { fill: #fff; }
    text { font: 13px system-ui, sans-serif; fill: #1f2430; }
    .name { font-weight: 600; }
    .small { font-size: 12px; fill: #5a6172; }
    .grid { stroke: #e2e5ec; }
    .between { stroke: #c4c9d6; stroke-width: 2; }
    .theirs { fill: #b4540a; stroke: #b4540a; }
    .ours { fill: #4a63c9; stroke: #4a63c9; }
    tspan.theirs, tspan.ours { stroke: none; font-weight: 600; }
    .spread { stroke-width: 5; stroke-opacity: .3; stroke-linecap: round; }
    @media (prefers-color-scheme: dark) {
      .ground { fill: #1e2129; }
      text { fill: #e6e8ef; }
      .small { fill: #a6adbe; }
      .grid { stroke: #333845; }
      .between { stroke: #4a5164; }
      .theirs { fill: #f0a35e; stroke: #f0a35e; }
      .ours { fill: #8ea2f5; stroke: #8ea2f5; }
    }
"""


class _Scale(NamedTuple):
    """Hold the powers of ten at both ends."""

    low: int
    high: int

    @classmethod
    def of(cls, seconds: Sequence[float]) -> _Scale:
        low = math.floor(math.log10(min(seconds)))
        return cls(low, max(low + 1, math.ceil(math.log10(max(seconds)))))

    def __call__(self, seconds: float) -> float:
        share = (math.log10(seconds) - self.low) / (self.high - self.low)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)


def chart(part: Part, run: Run) -> str:
    """Return the chart of a part."""
    rows = list(rows_of(part, run))
    found = [each for _, row, figures in rows if not figures.absent for each in _ends(row, figures)]
    scale = _Scale.of(found or [1e-6, 1e-3])
    height = _TOP + _STEP * len(rows) + _BOTTOM
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
        'aria-labelledby="t d">',
        f'<title id="t">{escape(part.title)}</title>',
        '<desc id="d">The time of one call, each library beside clawguard; the table has the figures.</desc>',
        f"<style>{_STYLE}</style>",
        f'<rect class="ground" width="{_WIDTH}" height="{height}"/>',
        *_legend(),
        *_grid(scale, height),
    ]
    for number, (peer, row, figures) in enumerate(rows):
        lines += _row(peer, row, figures, scale, _TOP + _STEP * number + _STEP / 2)
    return "\n".join([*lines, "</svg>"]) + "\n"


def _ends(row: Row, figures: Figures) -> tuple[float, ...]:
    pair = figures.pair(row)
    return (*pair.ours, *pair.theirs)


def _legend() -> Iterator[str]:
    for x, side, said in ((_LEFT, "theirs", "the library"), (_LEFT + 110, "ours", "clawguard")):
        yield f'<circle class="{side}" cx="{x}" cy="16" r="5"/><text x="{x + 11}" y="20">{said}</text>'
    yield f'<text class="small" x="{_WIDTH - _RIGHT}" y="20" text-anchor="end">further left is faster</text>'


def _grid(scale: _Scale, height: int) -> Iterator[str]:
    for power in range(scale.low, scale.high + 1):
        x, foot = scale(10.0**power), height - _BOTTOM
        yield f'<path class="grid" d="M{x:.1f} {_TOP - 12}V{foot}"/>'
        label = _round_span(power)
        yield f'<text class="small" x="{x:.1f}" y="{foot + 18}" text-anchor="middle">{label}</text>'
        yield f'<text class="small" x="{x:.1f}" y="{_TOP - 18}" text-anchor="middle">{label}</text>'


def _round_span(power: int) -> str:
    for unit, exponent in (("s", 0), ("ms", -3)):
        if power >= exponent:
            return f"{10 ** (power - exponent)} {unit}"
    return f"{10.0 ** (power + 6):g} us"


def _row(peer: Peer, row: Row, figures: Figures, scale: _Scale, y: float) -> Iterator[str]:
    yield f'<text class="name" x="{_LEFT - 12}" y="{y - 2:.1f}" text-anchor="end">{escape(peer.name)}</text>'
    what = f"{row.what} / {OURS[row.ours]}"
    yield f'<text class="small" x="{_LEFT - 12}" y="{y + 12:.1f}" text-anchor="end">{escape(what)}</text>'
    if figures.absent:
        yield f'<text class="small" x="{_LEFT + 8}" y="{y + 4:.1f}">not measured</text>'
        return
    pair = figures.pair(row)
    theirs, ours = Span.of(pair.theirs), Span.of(pair.ours)
    yield f'<path class="between" d="M{scale(theirs.median):.1f} {y:.1f}H{scale(ours.median):.1f}"/>'
    both = (("theirs", theirs), ("ours", ours))
    for side, found in both:
        yield f'<path class="{side} spread" d="M{scale(found.least):.1f} {y:.1f}H{scale(found.most):.1f}"/>'
    for side, found in both:
        x, said = scale(found.median), span(found.median)
        yield f'<circle class="{side}" cx="{x:.1f}" cy="{y:.1f}" r="5"><title>{said}</title></circle>'
    yield (
        f'<text x="{_WIDTH - _RIGHT + 10}" y="{y + 4:.1f}"><tspan class="theirs">{_short(theirs)}</tspan>'
        f' / <tspan class="ours">{_short(ours)}</tspan></text>'
    )


def _short(found: Span) -> str:
    return f"{found.median * 1e6:.0f} us" if found.median < 9.995e-4 else f"{found.median * 1e3:.1f} ms"
