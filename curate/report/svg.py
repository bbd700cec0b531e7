"""Small charts as inline SVG: no script, no library, colours from the page's own variables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

WIDTH, HEIGHT, BASE = 480, 132, 112


def histogram(chart: Mapping[str, Any]) -> Markup:
    """Kept over dropped, stacked, with thresholds drawn.

    `edges` (n+1), `kept` (n), `dropped` (n), `low` and `high` thresholds or None, `title`.
    """
    edges, kept, dropped = chart["edges"], chart["kept"], chart["dropped"]
    top = max((k + d for k, d in zip(kept, dropped, strict=True)), default=0) or 1
    step = WIDTH / max(1, len(kept))
    parts = []
    for i, (k, d) in enumerate(zip(kept, dropped, strict=True)):
        tall, upper = BASE * k / top, BASE * d / top
        label = f"{edges[i]:.4g} to {edges[i + 1]:.4g}: {k} kept, {d} not"
        x, width = f"{i * step:.1f}", f"{max(step - 1, 1):.1f}"
        parts.append(
            f'<g><title>{label}</title><rect class="k" x="{x}" y="{BASE - tall:.1f}" width="{width}" height="{tall:.1f}"/>'
            f'<rect class="d" x="{x}" y="{BASE - tall - upper:.1f}" width="{width}" height="{upper:.1f}"/></g>'
        )
    for value in (chart["low"], chart["high"]):
        if value is not None and edges[-1] > edges[0]:
            x = min(max((value - edges[0]) / (edges[-1] - edges[0]), 0), 1) * WIDTH
            anchor = "end" if x > WIDTH / 2 else "start"
            parts.append(
                f'<line class="t" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{BASE}"/>'
                f'<text class="t" x="{x + (-4 if anchor == "end" else 4):.1f}" y="11" text-anchor="{anchor}">{value:.4g}</text>'
            )
    axis = (
        f'<line class="a" x1="0" x2="{WIDTH}" y1="{BASE}" y2="{BASE}"/><text x="0" y="{HEIGHT - 4}">{edges[0]:.4g}</text>'
        f'<text x="{WIDTH}" y="{HEIGHT - 4}" text-anchor="end">{edges[-1]:.4g}</text>'
    )
    title = Markup.escape(chart["title"])
    return Markup(
        f'<svg class="chart" role="img" aria-label="{title}" viewBox="0 0 {WIDTH} {HEIGHT}">{"".join(parts)}{axis}</svg>'
    )


def bars(before: Sequence[int], after: Sequence[int], title: str) -> Markup:
    """Group sizes before (outline) and after (filled), in the order given."""
    top = max([*before, 1])
    step = WIDTH / max(1, len(before))
    parts = []
    for i, (b, a) in enumerate(zip(before, after, strict=True)):
        x, width = f"{i * step:.1f}", f"{max(step - 1.5, 0.8):.1f}"
        parts.append(
            f"<g><title>{b} before, {a} after</title>"
            f'<rect class="d" x="{x}" y="{BASE * (1 - b / top):.1f}" width="{width}" height="{BASE * b / top:.1f}"/>'
            f'<rect class="k" x="{x}" y="{BASE * (1 - a / top):.1f}" width="{width}" height="{BASE * a / top:.1f}"/></g>'
        )
    axis = f'<line class="a" x1="0" x2="{WIDTH}" y1="{BASE}" y2="{BASE}"/><text x="0" y="{HEIGHT - 4}">largest: {before[0] if before else 0} → {after[0] if after else 0}</text>'
    label = Markup.escape(title)
    return Markup(
        f'<svg class="chart" role="img" aria-label="{label}" viewBox="0 0 {WIDTH} {HEIGHT}">{"".join(parts)}{axis}</svg>'
    )


def boxes(phrases: Sequence[Mapping[str, Any]]) -> Markup:
    """Grounded phrases over an image: boxes are xyxy in [0, 1]."""
    parts = []
    for phrase in phrases:
        x1, y1, x2, y2 = (100 * float(v) for v in phrase["box"])
        title = Markup.escape(f"{phrase['phrase']} ({phrase['score']:.2f})")
        size = f'width="{x2 - x1:.1f}" height="{y2 - y1:.1f}"'
        parts.append(f'<rect x="{x1:.1f}" y="{y1:.1f}" {size}><title>{title}</title></rect>')
    return Markup(
        f'<svg class="boxes" viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">{"".join(parts)}</svg>'
    )
