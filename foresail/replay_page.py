"""A replay as one HTML file that needs nothing else: verdict, table, plots, decisions."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from foresail.svg import Axes, Layer, Plot, thinned
from replay.contest import ORACLE
from replay.course import Course
from replay.frontier import Point, at_attainment
from replay.policies.catalogue import KINDS
from replay.race import Mark, Result

FORESAIL = "foresail"
_HOUR = 3600
_MOVES_MAX = 400


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Report:
    """What a page is made from; results of one seed."""

    course: Course
    attainment: float
    usual: dict[str, Result]
    """By policy, with marks."""
    oracle: list[Result]
    sweeps: dict[str, list[Result]]
    """By policy; empty where only usual settings ran."""
    gpu_usd_hour: float | None

    def best(self, attainment: float) -> Point | None:
        """The oracle's place at this attainment, or its dearest schedule."""
        if not self.oracle:
            return None
        most = max(result.attainment for result in self.oracle)
        return at_attainment(self.oracle, min(attainment, most))

    def rival(self) -> Result | None:
        """The peer to draw beside Foresail.

        Of those that scale and cost its double at most: the one most in time, then the cheapest.
        """
        peers = [result for name, result in self.usual.items() if name != FORESAIL]
        dearest = 2 * self.usual[FORESAIL].gpu_hours
        alike = [r for r in peers if r.gpu_hours <= dearest and not r.policy.startswith("static")]
        return max(
            alike or peers, key=lambda r: (round(r.attainment, 2), -r.gpu_hours), default=None
        )


def page(report: Report) -> str:
    """The HTML."""
    course = report.course
    title = f"Replay of {course.name}"
    plots = [_demand(report), _replicas(report), _misses(report)]
    if report.sweeps:
        plots.append(_frontier(report))
    days = course.seconds / 86400
    length = f"{days:.3g} days" if days >= 1 else f"{days * 24:.3g} hours"
    platform = course.platform
    about = (
        f"{length}, {course.arrivals.sum():,.0f} requests of {course.mix.prompt_tokens:,.0f}"
        f" prompt and {course.mix.output_tokens:,.0f} generated tokens · {platform.profile.name} ·"
        f" start-up {platform.fleet.start_up.median_seconds:.0f} s · in time: first token within"
        f" {platform.objective.ttft_seconds:g} s, the others within"
        f" {platform.objective.itl_seconds * 1000:.0f} ms each"
    )
    body = [
        f"<h1>{escape(title)}</h1><p class=about>{escape(about)}</p>",
        _table(report),
        *(
            f"<h2>{escape(plot.title)}</h2><p class=legend>{plot.legend()}</p>{plot.svg()}"
            for plot in plots
        ),
        _decisions(report),
        _footnote(),
    ]
    return _SHELL.format(title=escape(title), style=_STYLE, body="\n".join(body))


def _table(report: Report) -> str:
    rows = sorted(
        report.usual.values(),
        key=lambda r: (r.policy != FORESAIL, -round(r.attainment, 3), r.gpu_hours),
    )
    best = report.best(report.attainment)
    money = report.gpu_usd_hour is not None
    head = (
        "<tr><th>rule<th>in time<th>GPU-hours<th>to the oracle"
        + ("<th>cost" if money else "")
        + "<th>TTFT p95<th>p99<th>ITL p99<th>gave up or killed<th>moves"
    )
    if report.sweeps:
        head += f"<th>GPU-hours at {report.attainment:.0%}<br>tuned in hindsight"
    lines = [_row(report, result, money=money) for result in rows]
    if best is not None:
        cost = f"<td>{_usd(best.gpu_hours * (report.gpu_usd_hour or 0))}" if money else ""
        rest = "<td>" * (6 if report.sweeps else 5)
        lines.append(
            "<tr class=oracle><th>oracle<small>best schedule found</small>"
            f"<td>{best.attainment:.2%}<td>{best.gpu_hours:,.1f}<td>1.00{cost}{rest}"
        )
    return f"<table><thead>{head}</thead><tbody>{''.join(lines)}</tbody></table>"


def _row(report: Report, result: Result, *, money: bool) -> str:
    best = report.best(result.attainment)
    ratio = f"{result.gpu_hours / best.gpu_hours:.2f}" if best else "-"
    kind = KINDS[result.policy]
    setting = f"{kind.source}; {kind.knob}: {result.knob:g}"
    met = "met" if result.attainment >= report.attainment else "missed"
    cells = [
        (
            f"<tr class={escape(result.policy)}><th title='{escape(setting, quote=True)}'>"
            f"{escape(result.policy)}<small>{escape(setting)}</small>"
        ),
        f"<td class={met}>{result.attainment:.2%}<td>{result.gpu_hours:,.1f}<td>{ratio}",
        f"<td>{_usd(result.gpu_hours * (report.gpu_usd_hour or 0))}" if money else "",
        f"<td>{result.ttft_p95:.0f} s<td>{result.ttft_p99:.0f} s<td>{result.itl_p99 * 1000:.0f} ms",
        f"<td>{result.errors:,.0f}<td>{result.actions:,}",
    ]
    if report.sweeps:
        point = at_attainment(report.sweeps.get(result.policy, []), report.attainment)
        cells.append(f"<td>{point.gpu_hours:,.1f}" if point else "<td class=missed>not reached")
    return "".join(cells)


def _demand(report: Report) -> Plot:
    marks = report.usual[FORESAIL].marks
    xs = _hours(marks)
    told = [mark.foretold for mark in marks]
    ahead = report.course.platform.fleet.start_up.median_seconds * 1.15 / _HOUR
    band_at = [x + ahead for x, one in zip(_hours_all(marks), told, strict=True) if one]
    low = [one[0] for one in told if one]
    high = [one[1] for one in told if one]
    return Plot(
        title="Demand, and what was foreseen of it a start-up before",
        axes=_over_time(report, "prompt tokens / s"),
        layers=[
            Layer(label="forecast, median to planned-for quantile", style="forecast",
                  shape="band", xs=thinned(band_at), ys=thinned(low), tops=thinned(high)),
            Layer(label="demand", style="demand", shape="line", xs=xs,
                  ys=thinned([mark.prompt_tokens_per_second for mark in marks])),
        ],
    )  # fmt: skip


def _replicas(report: Report) -> Plot:
    need = report.course.need_by_minute().tolist()
    minutes = [(minute + 0.5) / 60 for minute in range(len(need))]
    layers = []
    for result, style in ((report.rival(), "rival"), (report.usual[FORESAIL], "ours")):
        if result is not None:
            layers.append(
                Layer(label=f"{result.policy}: ready", style=style, shape="step",
                      xs=_hours(result.marks), ys=thinned([m.ready for m in result.marks]))
            )  # fmt: skip
    layers.insert(
        -1, Layer(label="need", style="need", shape="line", xs=thinned(minutes), ys=thinned(need))
    )
    return Plot(
        title="Replicas ready, against what each minute needed",
        axes=_over_time(report, "replicas"),
        layers=layers,
    )


def _misses(report: Report) -> Plot:
    layers = []
    minutes = max(1, min(60, report.course.seconds // 60 // 24))
    for result, style in ((report.rival(), "rival"), (report.usual[FORESAIL], "ours")):
        if result is None:
            continue
        begins = range(0, len(result.marks), minutes)
        layers.append(
            Layer(label=result.policy, style=style, shape="bar",
                  xs=[begin / 60 for begin in begins],
                  ys=[100 * _missed(result.marks[begin : begin + minutes]) for begin in begins])
        )  # fmt: skip
    each = "hour" if minutes == _HOUR // 60 else f"{minutes} minutes"
    return Plot(
        title=f"Requests not in time, each {each}",
        axes=_over_time(report, "% of requests"),
        layers=layers,
    )


def _frontier(report: Report) -> Plot:
    best = report.best(report.attainment)
    low = min(r.gpu_hours for r in report.oracle) if report.oracle else 0.0
    high = 2.5 * (best.gpu_hours if best else report.usual[FORESAIL].gpu_hours)
    reached = {
        name: point.gpu_hours
        for name, results in report.sweeps.items()
        if name != FORESAIL and (point := at_attainment(results, report.attainment))
    }
    cheapest = sorted(reached, key=lambda name: reached[name])[:3]
    layers = [
        Layer(label="other settings of other rules", style="other", shape="dots",
              xs=[r.gpu_hours for r in others], ys=[100 * r.attainment for r in others],
              titles=[_setting(r) for r in others])
        for others in [[r for name, results in report.sweeps.items() for r in results
                        if name not in {FORESAIL, *cheapest}]]
    ]  # fmt: skip
    shown = [*((name, f"peer{place}") for place, name in enumerate(cheapest)), (FORESAIL, "ours")]
    drawn = [(name, style, report.sweeps.get(name, [])) for name, style in shown]
    drawn.append((ORACLE, "oracle", report.oracle))
    for name, style, results in drawn:
        ordered = sorted(results, key=lambda r: r.gpu_hours)
        xs, ys = [r.gpu_hours for r in ordered], [100 * r.attainment for r in ordered]
        titles = [
            f"{name} {r.knob:g}: {r.attainment:.2%}, {r.gpu_hours:,.1f} GPU-h" for r in ordered
        ]
        layers += [
            Layer(label=name, style=style, shape="line", xs=xs, ys=ys),
            Layer(label="", style=style, shape="dots", xs=xs, ys=ys, titles=titles),
        ]
    return Plot(
        title="Cost and attainment, each rule over its settings",
        axes=Axes(
            x_label="GPU-hours",
            y_label="% in time",
            x_text=lambda x: f"{x:,.0f}",
            y_text=lambda y: f"{y:g}",
            x_range=(0.95 * low, high),
            y_range=(90.0, 100.2),
        ),
        layers=layers,
    )


def _setting(result: Result) -> str:
    return (
        f"{result.policy} at {result.knob:g}: {result.attainment:.2%},"
        f" {result.gpu_hours:,.1f} GPU-hours"
    )


def _decisions(report: Report) -> str:
    moves = report.usual[FORESAIL].moves
    lines = [
        f"<tr><td>{_clock(move.at_seconds)}<td>{move.before} → {move.after}<td>{escape(move.why)}"
        for move in moves[:_MOVES_MAX]
    ]
    more = f", the first {_MOVES_MAX} of {len(moves)}" if len(moves) > _MOVES_MAX else ""
    return (
        f"<h2>Decisions</h2><details><summary>{min(len(moves), _MOVES_MAX)} changes of replicas"
        f"{more}</summary><table class=moves><thead><tr><th>when<th>replicas<th>why</thead>"
        f"<tbody>{''.join(lines)}</tbody></table></details>"
    )


def _footnote() -> str:
    return (
        "<p class=about>Each rule but Foresail is our reading of its published source, at its"
        " documented default. Start-up and drain are GPU-hours; who gave up, was killed or was"
        " served late is a miss. The oracle is the best schedule found by a dynamic program that"
        " knows every arrival; “to the oracle” compares at the rule's own attainment.</p>"
    )


def _over_time(report: Report, y_label: str) -> Axes:
    return Axes(
        x_label="hours from the start of judging",
        y_label=y_label,
        x_text=lambda x: f"{x:g}",
        y_text=lambda y: f"{y:,.0f}" if y >= 10 or y == round(y) else f"{y:g}",  # noqa: PLR2004
        x_range=(0.0, report.course.seconds / _HOUR),
    )


def _hours_all(marks: Sequence[Mark]) -> list[float]:
    return [mark.at_seconds / _HOUR for mark in marks]


def _hours(marks: Sequence[Mark]) -> list[float]:
    return thinned(_hours_all(marks))


def _missed(marks: Sequence[Mark]) -> float:
    missed = sum(mark.missed for mark in marks)
    total = missed + sum(mark.in_time for mark in marks)
    return max(0.0, missed / total) if total > 0 else 0.0


def _clock(seconds: int) -> str:
    day, rest = divmod(seconds, 86400)
    clock = f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    return f"day {day + 1} {clock}"


def _usd(amount: float) -> str:
    return f"${amount:,.0f}"


_SHELL = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>{style}</style><body>{body}</body></html>
"""
_STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #68737f; --rule: #e3e7ec; --paper: #fff;
 --ours: #0b6bcb; --rival: #e07a1f; --need: #9aa5b1; --oracle: #2e9e5b; --band: #0b6bcb33;
 --p0: #a34fb8; --p1: #c2452d; --p2: #8a7400; --bad: #c2452d; --good: #2e9e5b; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaef; --soft: #97a3b0; --rule: #2b333d;
 --paper: #14181d; --ours: #58a6ff; --rival: #f0944d; --need: #6d7885; --oracle: #4fc27f;
 --band: #58a6ff3d; --p0: #cf8be0; --p1: #f07a63; --p2: #d3bb3e;
 --bad: #f07a63; --good: #4fc27f; } }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper);
 max-width: 1000px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.05rem; margin: 2.2rem 0 .2rem; }
.about { color: var(--soft); margin: .3rem 0 1rem; font-size: .9rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .28rem .5rem; text-align: right; border-bottom: 1px solid var(--rule);
 vertical-align: top; } tbody th, th:first-child { text-align: left; font-weight: 500; }
thead th { font-size: .8rem; color: var(--soft); font-weight: 500; }
small { display: block; color: var(--soft); font-size: .72rem; font-weight: 400; max-width: 24rem; }
tr.foresail th, tr.foresail td { font-weight: 700; } td.missed { color: var(--bad); }
td { white-space: nowrap; }
.moves td { white-space: normal; } td.met { color: var(--good); } tr.oracle { color: var(--soft); }
.moves td { text-align: left; font-size: .8rem; } .moves td:first-child { white-space: nowrap; }
summary { cursor: pointer; color: var(--soft); } svg { width: 100%; height: auto; }
.grid { stroke: var(--rule); } .tick, .label { fill: var(--soft); font-size: 12px; }
.line { fill: none; stroke-width: 1.6; stroke: currentColor; stroke-linejoin: round; }
.dot { fill: currentColor; } .bar { fill: currentColor; opacity: .75; }
.band { fill: var(--band); } .ours { color: var(--ours); } .rival { color: var(--rival); }
.need { color: var(--need); } .demand { color: var(--ink); } .oracle { color: var(--oracle); }
.forecast { color: var(--ours); } .other { color: var(--need); opacity: .55; }
.peer0 { color: var(--p0); } .peer1 { color: var(--p1); } .peer2 { color: var(--p2); }
.legend { margin: 0; font-size: .85rem; } .key { margin-right: 1.2rem; }
.key i { display: inline-block; width: 1.1em; height: .28em; margin-right: .4em; background:
 currentColor; vertical-align: middle; border-radius: 2px; }
"""
