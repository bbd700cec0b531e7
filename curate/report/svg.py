"""Small drawings as inline SVG: no script, no library, no inline style; colours are classes of the page's style sheet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from markupsafe import Markup

from curate.report.cards import Picture
from curate.report.charts import Axis, Histogram
from curate.report.visible import safe

WIDTH, TOP, BASE, HEIGHT = 360.0, 18.0, 112.0, 132.0
"""Of a chart: bars stand on BASE and reach up to TOP; limits are labelled above, the axis below."""
COLOURS: Final = 6


def number(value: float) -> str:
    """Short, for an axis: 0.25, 1200, 35k, 2.1M."""
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= unit:
            return f"{value / (1e3 if name == 'k' else unit):.3g}{name}"
    return f"{value:.4g}"


def histogram(chart: Histogram) -> Markup:
    """Kept below, the rest on top of it; the limits as lines, and what lies beyond them shaded."""
    axis = chart.axis
    x = [WIDTH * axis.place(edge) for edge in axis.edges.tolist()]
    top = max(int((chart.kept + chart.dropped).max()), 1)
    parts = [*_limits(chart)]
    for i, (k, d) in enumerate(zip(chart.kept.tolist(), chart.dropped.tolist(), strict=True)):
        if k or d:
            title = f"{_bin(axis, i)}: {k:,} kept, {d:,} not"
            parts.append(f"<g><title>{title}</title>{_stack(x[i], x[i + 1], k / top, d / top)}</g>")
    parts += _ticks(axis)
    label = f"Histogram of {chart.column}: {chart.computed:,} samples, {chart.outside:,} beyond the limits"
    return _svg("chart", label, parts)


def outlines(axis: Axis, series: Sequence[Sequence[int]], label: str) -> Markup:
    """One outline per series of counts in the axis's bins, each as shares of its own total."""
    x = [WIDTH * axis.place(edge) for edge in axis.edges.tolist()]
    shares = [[n / max(1, sum(counts)) for n in counts] for counts in series]
    top = max((share for row in shares for share in row), default=0.0) or 1.0
    parts = [_outline(x, [share / top for share in row], f"s{i}") for i, row in enumerate(shares)]
    return _svg("chart", label, [*parts, *_ticks(axis)])


def _outline(x: Sequence[float], heights: Sequence[float], kind: str) -> str:
    """A line of steps from the base up over the bins and down again; heights in [0, 1]."""
    points = [(x[0], BASE)]
    for i, height in enumerate(heights):
        y = BASE - (BASE - TOP) * height
        points += [(x[i], y), (x[i + 1], y)]
    drawn = " ".join(f"{left:.1f},{y:.1f}" for left, y in [*points, (x[-1], BASE)])
    return f'<polyline class="{kind}" points="{drawn}"/>'


def _stack(left: float, right: float, lower: float, upper: float) -> str:
    """Two bars on top of each other; heights in [0, 1]."""
    gap = 1.0 if right - left > 3 else 0.0
    at, width, scale = f"{left:.1f}", f"{max(right - left - gap, 0.6):.1f}", BASE - TOP
    bars = ((lower, 0.0, "k"), (upper, lower, "d"))
    return "".join(
        f'<rect class="{kind}" x="{at}" y="{BASE - scale * (below + tall):.1f}" width="{width}" height="{scale * tall:.1f}"/>'
        for tall, below, kind in bars
        if tall
    )


def _bin(axis: Axis, i: int) -> str:
    low, high = axis.edges[i], axis.edges[i + 1]
    if axis.whole:
        return f"{low:.0f}" if high - low == 1 else f"{low:.0f} to {high - 1:.0f}"
    return f"{low:.4g} to {high:.4g}"


def _limits(chart: Histogram) -> Iterable[str]:
    drawn = chart.axis.limits(chart.low, chart.high)
    for value, at, name in ((chart.low, drawn[0], "\u2265 "), (chart.high, drawn[1], "\u2264 ")):
        if value is None or at is None:
            continue
        x = WIDTH * chart.axis.place(at)
        left, right = (0.0, x) if at == drawn[0] else (x, WIDTH)
        side = "end" if x > WIDTH / 2 else "start"
        yield f'<rect class="out" x="{left:.1f}" y="{TOP}" width="{right - left:.1f}" height="{BASE - TOP}"/>'
        yield f'<line class="t" x1="{x:.1f}" x2="{x:.1f}" y1="2" y2="{BASE}"/>'
        at_text = x - 5 if side == "end" else x + 5
        yield f'<text class="t" x="{at_text:.1f}" y="12" text-anchor="{side}">{name}{number(value)}</text>'


def ticks(axis: Axis) -> list[float]:
    """Three to seven round values on the axis."""
    start, end = float(axis.edges[0]), float(axis.edges[-1])
    if axis.log:
        powers = range(int(np.floor(np.log10(start))), int(np.ceil(np.log10(end))) + 1)
        for digits in ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0)):
            found = [digit * 10.0**power for power in powers for digit in digits]
            found = [value for value in found if start <= value <= end]
            if len(found) >= 3:
                break
        return found[:: -(-len(found) // 7)] if found else [start]
    raw = (end - start) / 5
    unit = 10.0 ** np.floor(np.log10(raw))
    step = next(unit * digit for digit in (1, 2, 2.5, 5, 10) if unit * digit >= raw * 0.999)
    if axis.whole:
        step = max(1.0, np.ceil(step))
    first = np.ceil(start / step - 1e-9)
    return [float(step * (first + i)) for i in range(int((end - step * first) / step + 1e-9) + 1)]


def _ticks(axis: Axis) -> Iterable[str]:
    yield f'<line class="a" x1="0" x2="{WIDTH}" y1="{BASE}" y2="{BASE}"/>'
    half = 0.5 if axis.whole and not axis.log and axis.edges[1] - axis.edges[0] == 1 else 0.0
    for value in ticks(axis):
        if value + half > axis.edges[-1]:
            continue
        x = WIDTH * axis.place(value + half)
        side = "start" if x < 14 else "end" if x > WIDTH - 14 else "middle"
        yield f'<line class="a" x1="{x:.1f}" x2="{x:.1f}" y1="{BASE}" y2="{BASE + 4}"/>'
        yield f'<text x="{x:.1f}" y="{HEIGHT - 5}" text-anchor="{side}">{number(value)}</text>'


def sizes(before: Sequence[int], after: Sequence[int], label: str) -> Markup:
    """Group sizes: before behind, after in front, in the order given."""
    top, step = max([*before, 1]), WIDTH / max(1, len(before))
    parts = []
    for i, (b, a) in enumerate(zip(before, after, strict=True)):
        bars = _stack(i * step, (i + 1) * step, 0, b / top) + _stack(i * step, (i + 1) * step, a / top, 0)
        parts.append(f"<g><title>{b:,} before, {a:,} after</title>{bars}</g>")
    parts.append(f'<line class="a" x1="0" x2="{WIDTH}" y1="{BASE}" y2="{BASE}"/>')
    parts.append(f'<text x="0" y="12">{number(top)}</text>')
    return _svg("chart", label, parts)


def bar(parts: Sequence[tuple[float, str]], label: str) -> Markup:
    """One horizontal bar of (share of the whole in [0, 1], class)."""
    drawn, at = [], 0.0
    for share, kind in parts:
        drawn.append(f'<rect class="{kind}" x="{100 * at:.2f}" y="0" width="{100 * share:.2f}" height="10"/>')
        at += share
    return Markup(
        f'<svg class="bar" role="img" aria-label="{safe(label)}" viewBox="0 0 100 10" preserveAspectRatio="none">'
        f"{''.join(drawn)}</svg>"
    )


def photo(picture: Picture, label: str, phrases: Sequence[Mapping[str, Any]] = ()) -> Markup:
    """A picture and, in its own coordinates, the boxes (xyxy in [0, 1]) of its grounded phrases."""
    w, h = picture.width, picture.height
    drawn = [f'<image href="{picture.url}" width="{w}" height="{h}"/>']
    for phrase, colour in zip(phrases, phrase_colours(phrases), strict=True):
        x1, y1, x2, y2 = (float(v) * side for v, side in zip(phrase["box"], (w, h, w, h), strict=True))
        title = safe(f"{phrase['phrase']} ({phrase['score']:.2f}, {phrase['source']})")
        size = f'x="{x1:.2f}" y="{y1:.2f}" width="{x2 - x1:.2f}" height="{y2 - y1:.2f}"'
        drawn.append(f'<g><title>{title}</title><rect class="halo" {size}/><rect class="c{colour}" {size}/></g>')
    return Markup(
        f'<svg class="photo" role="img" aria-label="{safe(label)}" width="{w}" height="{h}" viewBox="0 0 {w} {h}">'
        f"{''.join(drawn)}</svg>"
    )


def phrase_colours(phrases: Sequence[Mapping[str, Any]]) -> list[int]:
    """A colour per phrase; boxes of one phrase share it."""
    names = list(dict.fromkeys(phrase["phrase"] for phrase in phrases))
    return [names.index(phrase["phrase"]) % COLOURS for phrase in phrases]


def _svg(kind: str, label: str, parts: Iterable[str]) -> Markup:
    return Markup(
        f'<svg class="{kind}" role="img" aria-label="{safe(label)}" viewBox="0 0 {WIDTH:g} {HEIGHT:g}">{"".join(parts)}</svg>'
    )
