"""The page's figures: the measurements, their tables, and a drawing of how we compare."""

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from . import document, report
from .document import PYTHON, Document, Result, Series, Spread
from .figures import DELIVERIES, JOINS, MEMORY

# A drawing is the same for the same figures, on whatever day: what it would make of the time and of chance is fixed.
# Text stays text, so that it has the page's colour; only this one colour becomes it.
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "phoenix-channels",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9.0,
}
FOREGROUND = "#123456"
# Legible on black and on white.
OURS, PEERS = "#e2703a", "#8d99ae"

PANELS = (
    (
        "fan-out-1000-w1",
        DELIVERIES.name,
        "Fan-out to 1,000, one outstanding\n(× send loop in Python)",
    ),
    (
        "fan-out-1000-w10",
        DELIVERIES.name,
        "Fan-out to 1,000, ten outstanding\n(× send loop in Python)",
    ),
    ("connect", MEMORY.name, "Memory of an idle connection\n(KiB, less is better)"),
    ("connect", JOINS.name, "Connect and join\n(thousands in a second)"),
)
SCALE = {MEMORY.name: 1024, JOINS.name: 1000}


def publish(found: Document, folder: Path) -> Iterator[Path]:
    """Write what the page includes, and say what was written."""
    data, table, drawing = (folder / f"benchmarks.{suffix}" for suffix in ("json", "txt", "svg"))
    document.write(found, data)
    table.write_text(report.markdown(found) + "\n", encoding="utf-8")
    drawing.write_text(svg(found), encoding="utf-8")
    yield from (data, table, drawing)


def svg(found: Document) -> str:
    results = {result.name: result for result in found.results}
    panels = [(results[name], metric, title) for name, metric, title in PANELS if name in results]
    with rc_context(STYLE):
        drawing = Drawing(figsize=(9, 5.2), layout="constrained")
        drawing.patch.set_alpha(0)
        for axes, (result, metric, title) in zip(drawing.subplots(2, 2).flat, panels, strict=False):
            bars(axes, result, metric)
            axes.set_title(title, fontsize=9, color=FOREGROUND)
        written = io.StringIO()
        drawing.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    return to_inline(written.getvalue())


def bars(axes: Axes, result: Result, metric: str) -> None:
    """One bar for each server, ours above, and a thin line from the lowest repetition to the highest."""
    shown = [(series, value) for series in result.series if (value := value_of(series, metric)) is not None]
    names = [series.title for series, _ in shown]
    medians = [value.median for _, value in shown]
    errors = [[value.median - value.low for _, value in shown], [value.high - value.median for _, value in shown]]
    colours = [OURS if series.ours else PEERS for series, _ in shown]
    axes.barh(names, medians, xerr=errors, color=colours, ecolor=FOREGROUND, error_kw={"linewidth": 0.8})
    axes.invert_yaxis()
    for place, (_, value) in enumerate(shown):
        axes.annotate(
            f"{value.median:.2f}" if value.median < 10 else f"{value.median:.1f}",
            (value.high, place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            color=FOREGROUND,
        )
    axes.margins(x=0.15)
    axes.patch.set_alpha(0)
    axes.tick_params(colors=FOREGROUND)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FOREGROUND)


def value_of(series: Series, metric: str) -> Spread | None:
    summary = series.summary.get(metric)
    if summary is None:
        return None
    if metric == DELIVERIES.name:
        return summary.ratios.get(PYTHON)
    scale, value = SCALE[metric], summary.value
    return Spread(value.median / scale, value.low / scale, value.high / scale)


def to_inline(svg: str) -> str:
    """The drawing as a part of a page: as wide as the page allows, and with the page's colour for its words."""
    # Its metadata says nothing, and its style would be the style of the whole page.
    svg = re.sub(r" *<(metadata|style)\b.*?</\1>\n", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = svg.replace(FOREGROUND, "currentColor")
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r'\1 style="width: 100%; height: auto"', svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    return svg.replace("<svg", '<svg role="img" aria-label="How the servers compare"', 1)
