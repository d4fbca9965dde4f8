"""A day of GPU nodes as one SVG file: a policy above, Karpenter alone below, with their money."""

from collections.abc import Sequence
from html import escape

from foresail.replaying.node_plots import LABELS, STYLE, node_plot
from foresail.replaying.nodes import NodeReport, NodeRow
from foresail.replaying.nodes_verdict import usd
from foresail.svg import HEIGHT, WIDTH, Layer

_STYLE = f"""
text {{ font: 12px system-ui, sans-serif; fill: #5c6773; }} .head {{ font-size: 14px; }}
.head, .title {{ fill: #111820; font-weight: 600; }} .title {{ font-size: 16px; }}
.paper {{ fill: #fff; }} .grid {{ stroke: #e3e7ec; }} .dot {{ stroke: #fff; stroke-width: .8; }}
.line {{ fill: none; stroke: currentColor; stroke-width: 1.5; stroke-linejoin: round; }}
{STYLE}
.key {{ stroke: currentColor; stroke-width: 10; }} .wanted.key {{ stroke-width: 2.5; }}
@media (prefers-color-scheme: dark) {{
text {{ fill: #97a3b0; }} .head, .title {{ fill: #e6eaef; }} .paper {{ fill: #14181d; }}
.grid {{ stroke: #2b333d; }} .dot {{ stroke: #14181d; }} }}
"""
_HEAD, _LINE, _GAP = 40, 20, 36
_KEY_X, _CHARACTER = 64, 6.6


def picture(report: NodeReport, title: str) -> str:
    """The last row pair of a report whose runs are one day."""
    alone, policy = report.pairs()[-1]
    most = max(one.gpus for row in (alone, policy) for one in row.outcome.minutes)
    parts: list[str] = []
    legend = _key_rows(report, most)
    top = _HEAD + _LINE * len(legend)
    for place, row in enumerate((policy, alone)):
        plot = node_plot(_heading(row), row.outcome.minutes, gpus_max=most)
        body = plot.svg().replace("frame", f"frame-{place}")
        parts.append(f'<text class="head" x="12" y="{top + 18}">{escape(plot.title)}</text>')
        parts.append(f'<svg y="{top + 22}" width="{WIDTH}" height="{HEIGHT}"{body[4:]}')
        top += HEIGHT + _GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}">'
        f'<style>{_STYLE}</style><rect class="paper" width="{WIDTH}" height="{top}"/>'
        f'<text class="title" x="12" y="22">{escape(title)}</text>'
        + "\n".join([*legend, *parts])
        + "</svg>\n"
    )


def _heading(row: NodeRow) -> str:
    outcome = row.outcome
    by = row.by[:1].upper() + row.by[1:]
    return (
        f"{by}: {usd(outcome.usd)} for the day, {outcome.idle_hours:,.0f} idle GPU-hours;"
        f" {outcome.delayed_pods} pods waited {outcome.delayed_minutes:,.0f} minutes in all"
    )


def _key_rows(report: NodeReport, most: float) -> list[str]:
    """Each colour of either plot once, on as many lines as it takes."""
    keys: dict[str, Layer] = {}
    for row in report.pairs()[-1]:
        for layer in node_plot("", row.outcome.minutes, gpus_max=most).layers:
            keys.setdefault(layer.label, layer)
    order = ["in use", *LABELS.values(), "wanted"]
    return _lines(sorted(keys.values(), key=lambda layer: order.index(layer.label)))


def _lines(layers: Sequence[Layer]) -> list[str]:
    lines, x, y = [""], float(_KEY_X), _HEAD + 6
    for layer in layers:
        width = 34 + _CHARACTER * len(layer.label)
        if x + width > WIDTH:
            lines.append("")
            x, y = float(_KEY_X), y + _LINE
        lines[-1] += (
            f'<line class="{layer.style} key" x1="{x:.0f}" x2="{x + 14:.0f}" y1="{y - 4}"'
            f' y2="{y - 4}"/><text x="{x + 20:.0f}" y="{y}">{escape(layer.label)}</text>'
        )
        x += width
    return lines
