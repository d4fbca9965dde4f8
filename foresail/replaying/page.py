"""A replay as one HTML file that needs nothing else: verdict, table, plots, decisions, rules."""

from collections.abc import Iterator
from datetime import UTC, datetime
from html import escape

from foresail.replaying.cost_plot import cost_plot, outside
from foresail.replaying.node_plots import STYLE as NODE_STYLE
from foresail.replaying.nodes_shown import node_section
from foresail.replaying.page_style import SHELL, STYLE
from foresail.replaying.plots import (
    demand_plot,
    late_plots,
    minutes_a_bar,
    minutes_told,
    replicas_plot,
)
from foresail.replaying.report import FORESAIL, Report, about, percent
from foresail.replaying.verdict import verdict
from foresail.svg import NARROW, SMALL, Plot
from replay.frontier import Point, at_attainment
from replay.policies.port import PolicyKind
from replay.simulate import Result

_DAY, _HOUR, _MINUTE = 86400, 3600, 60
_MOVES_MAX = 400
_RIVALS_TO_CHOOSE = 2


def page(report: Report) -> str:
    """The HTML."""
    title = f"Replay of {report.replay_input.name}"
    body = [
        f"<h1>{escape(title)}</h1><p class=about>{escape(_made_on(report))}</p>",
        _said(report),
        _table(report),
        _drawn(demand_plot(report)),
        *_beside_rivals(report),
        _late(report),
        _cost(report),
        node_section(report.nodes) if report.nodes else "",
        _decisions(report),
        _rules(report),
        _footnote(report),
    ]
    return SHELL.format(title=escape(title), style=STYLE + NODE_STYLE, body="\n".join(body))


def _drawn(plot: Plot, *, title: bool = True) -> str:
    """For both widths; the style shows one."""
    head = f"<h2>{escape(plot.title)}</h2>" if title else ""
    return f"{head}<p class=legend>{plot.legend()}</p>{plot.svg()}{plot.svg(NARROW)}"


def _beside_rivals(report: Report) -> Iterator[str]:
    """The replicas beside each rule; the reader chooses which, without a script."""
    rivals = report.rivals()
    plots = [replicas_plot(report, rival) for rival in rivals] or [replicas_plot(report, None)]
    yield f"<h2>{escape(plots[0].title)}</h2>"
    if len(rivals) < _RIVALS_TO_CHOOSE:
        yield _drawn(plots[0], title=False)
        return
    choices = "".join(
        f"<label><input type=radio name=rival id=rival{place}{' checked' * (not place)}>"
        f"{escape(rival.policy)}</label>"
        for place, rival in enumerate(rivals)
    )
    shown = ", ".join(
        f"body:has(#rival{place}:checked) .rival{place}" for place in range(len(rivals))
    )
    yield f"<style>{shown} {{ display: block; }}</style>"
    yield f"<fieldset class=choice><legend>beside Foresail</legend>{choices}</fieldset>"
    for place, plot in enumerate(plots):
        yield f"<div class='chosen rival{place}'>{_drawn(plot, title=False)}</div>"


def _late(report: Report) -> str:
    each = minutes_told(minutes_a_bar(report))
    small = "".join(
        f"<figure><figcaption>{plot.legend(gaps=False)}</figcaption>{plot.svg(SMALL)}</figure>"
        for plot in late_plots(report)
    )
    return (
        f"<h2>When was it late? Requests not in time, each {each}, all on one scale</h2>"
        f"<div class=small-multiples>{small}</div>"
    )


def _cost(report: Report) -> str:
    missing = ", ".join(
        f"{one.policy} ({one.attainment:.2%} in time, {one.gpu_hours:,.1f} GPU-hours)"
        for one in outside(report)
    )
    note = f"<p class=about>Outside the frame: {escape(missing)}.</p>" if missing else ""
    return _drawn(cost_plot(report)) + note


def _made_on(report: Report) -> str:
    """What was replayed on what, and what an hour of a GPU costs."""
    money = report.gpu_usd_hour
    price = f" · ${money:g} a GPU-hour" if money else " · no price of a GPU (gpuUsdHour in a plan)"
    replica = report.replay_input
    capacity = f" · a replica serves {replica.replica_requests_per_second:.2f} requests/s in time"
    return f"{about(replica)}{capacity}{price}"


def _said(report: Report) -> str:
    """What comes before the numbers: what they cannot show, or what they do."""
    limits = " ".join(f"{limit.what} {limit.remedy}" for limit in report.limits)
    if not report.is_valid:
        return (
            f"<p class=invalid><b>Not valid:</b> no rule can be in time for"
            f" {percent(report.attainment)} of the requests here, so the numbers below say nothing"
            f" about the rules.<br>{escape(limits)}</p>"
        )
    note = f"<p class=note>{escape(limits)}</p>" if limits else ""
    said = report.answer or " ".join(verdict(report))
    return f"{note}<p class=verdict>{escape(said)}</p>"


def _table(report: Report) -> str:
    rows = sorted(
        report.usual.values(),
        key=lambda r: (r.policy != FORESAIL, -round(r.attainment, 3), r.gpu_hours),
    )
    best = report.best()
    money = report.gpu_usd_hour is not None
    nodes = any(result.node_hours is not None for result in rows)
    head = (
        "<tr><th>rule<th>in time<th>GPU-hours<th>to the oracle"
        + ("<th>node-hours" if nodes else "")
        + ("<th>dollars" if money else "")
        + "<th>TTFT p95<th>TTFT p99<th>ITL p99<th>gave up<br>or killed<th>moves"
    )
    if report.sweeps:
        head += f"<th>GPU-hours at {percent(report.attainment)},<br>tuned in hindsight"
    lines = [_row(report, result, money=money, nodes=nodes) for result in rows]
    if best is not None:
        cost = f"<td>{_usd(best.gpu_hours * (report.gpu_usd_hour or 0))}" if money else ""
        rest = "<td>" * 5 + (f"<td>{best.gpu_hours:,.1f}" if report.sweeps else "")
        lines.append(
            f"<tr class=oracle><th>oracle<small>{escape(_bound(report, best))}</small>"
            f"<td>{best.attainment:.2%}<td>{best.gpu_hours:,.1f}<td>1.00"
            f"{'<td>' if nodes else ''}{cost}{rest}"
        )
    inner = f"<thead>{head}</thead><tbody>{''.join(lines)}</tbody>"
    return f"<div class=wide-table><table>{inner}</table></div>"


def _bound(report: Report, best: Point) -> str:
    if best.attainment < report.attainment:
        return "of all schedules found the most in time"
    return f"cheapest schedule found for {percent(report.attainment)}"


def _row(report: Report, result: Result, *, money: bool, nodes: bool) -> str:
    times = report.ratio(result)
    ratio = f"{times:.2f}" if times else "-"
    kind = report.kinds[result.policy]
    met = "met" if result.attainment >= report.attainment else "missed"
    node_hours = "-" if result.node_hours is None else f"{result.node_hours:,.1f}"
    cells = [
        (
            f"<tr class={escape(result.policy)}><th title='{escape(kind.source, quote=True)}'>"
            f"{escape(result.policy)}{_setting(kind, result)}"
        ),
        f"<td class={met}>{result.attainment:.2%}<td>{result.gpu_hours:,.1f}<td>{ratio}",
        f"<td>{node_hours}" if nodes else "",
        f"<td>{_usd(result.gpu_hours * (report.gpu_usd_hour or 0))}" if money else "",
        *(f"<td>{escape(report.wait(wait))}" for wait in (result.ttft_p95, result.ttft_p99)),
        f"<td>{result.itl_p99 * 1000:.0f} ms",
        f"<td>{result.errors:,.0f}<td>{result.actions:,}",
    ]
    if report.sweeps:
        point = at_attainment(report.sweeps.get(result.policy, []), report.attainment)
        cells.append(f"<td>{point.gpu_hours:,.1f}" if point else "<td class=missed>not reached")
    return "".join(cells)


def _setting(kind: PolicyKind, result: Result) -> str:
    """The knob, where the rule has one."""
    has_one = len(kind.knobs) > 1
    return f"<small>{escape(kind.knob)}: {result.knob:g}</small>" if has_one else ""


def _decisions(report: Report) -> str:
    moves, begin = report.usual[FORESAIL].moves, report.replay_input.begin_seconds
    lines = [
        f"<tr><td>{_clock(move.at_seconds, begin)}<td>{move.before} → {move.after}"
        f"<td>{_why(move.why)}"
        for move in moves[:_MOVES_MAX]
    ]
    more = f", the first {_MOVES_MAX} of {len(moves)}" if len(moves) > _MOVES_MAX else ""
    return (
        f"<h2>Foresail's decisions</h2><details><summary>{min(len(moves), _MOVES_MAX)} changes of"
        f" replicas{more}, each with its reasons</summary><table class=moves><thead><tr><th>when"
        f"<th>replicas<th>why</thead><tbody>{''.join(lines)}</tbody></table></details>"
    )


def _why(steps: str) -> str:
    """One line a step."""
    return "<br>".join(
        f"<b>{escape(rule)}</b>{colon}{escape(text)}"
        for step in steps.splitlines()
        for rule, colon, text in [step.partition(":")]
    )


def _rules(report: Report) -> str:
    lines = (
        f"<tr><th>{escape(name)}<td>{escape(report.kinds[name].source)}"
        for name in sorted(report.usual)
    )
    return (
        "<h2>The rules</h2><details><summary>where each comes from, with its defaults</summary>"
        f"<table class=moves><tbody>{''.join(lines)}</tbody></table></details>"
    )


def _footnote(report: Report) -> str:
    made = (
        f"<p class=about>foresail {escape(report.version)}" if report.version else "<p class=about>"
    )
    command = f", <code>{escape(report.command)}</code>" if report.command else ""
    return (
        f"{made}, seed {report.seed}{command}</p>"
        "<p class=about>Each rule but Foresail is our reading of its published source, at its"
        " documented default. Start-up and drain are GPU-hours; who gave up, was killed or was"
        " served late is a miss. The oracle is the cheapest schedule found with every arrival"
        " known: by a dynamic program, or by a rule where that was better; “to the oracle” compares"
        " at the rule's own attainment.</p>"
    )


def _clock(seconds: int, begin: float | None) -> str:
    if begin is not None:
        return f"{datetime.fromtimestamp(begin + seconds, UTC):%b %d %H:%M:%S}"
    day, rest = divmod(seconds, _DAY)
    clock = f"{rest // _HOUR:02d}:{rest // _MINUTE % 60:02d}:{rest % 60:02d}"
    return f"day {day + 1} {clock}"


def _usd(amount: float) -> str:
    return f"${amount:,.0f}"
