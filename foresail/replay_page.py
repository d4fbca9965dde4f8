"""A replay as one HTML file that needs nothing else: verdict, table, plots, decisions, rules."""

from datetime import UTC, datetime
from html import escape

from foresail.node_plots import STYLE as NODE_STYLE
from foresail.replay_nodes_shown import node_section
from foresail.replay_plots import plots_of
from foresail.replay_report import FORESAIL, Report, about, percent
from foresail.replay_verdict import verdict
from foresail.svg import NARROW
from replay.frontier import Point, at_attainment
from replay.policies.port import PolicyKind
from replay.simulate import Result

_DAY, _HOUR, _MINUTE = 86400, 3600, 60
_MOVES_MAX = 400


def page(report: Report) -> str:
    """The HTML."""
    title = f"Replay of {report.replay_input.name}"
    body = [
        f"<h1>{escape(title)}</h1><p class=about>{escape(_made_on(report))}</p>",
        _said(report),
        _table(report),
        *(
            f"<h2>{escape(plot.title)}</h2><p class=legend>{plot.legend()}</p>"
            f"{plot.svg()}{plot.svg(NARROW)}"
            for plot in plots_of(report)
        ),
        node_section(report.nodes) if report.nodes else "",
        _decisions(report),
        _rules(report),
        _footnote(report),
    ]
    return _SHELL.format(title=escape(title), style=_STYLE + NODE_STYLE, body="\n".join(body))


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
    return f"{note}<p class=verdict>{escape(' '.join(verdict(report)))}</p>"


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


_SHELL = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>{style}</style><body>{body}</body></html>
"""
_STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #68737f; --rule: #e3e7ec; --paper: #fff;
 --ours: #0b6bcb; --rival: #e07a1f; --need: #9aa5b1; --oracle: #2e9e5b; --band: #0b6bcb22;
 --p0: #a34fb8; --p1: #c2452d; --p2: #8a7400; --bad: #c2452d; --good: #2e9e5b; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaef; --soft: #97a3b0; --rule: #2b333d;
 --paper: #14181d; --ours: #58a6ff; --rival: #f0944d; --need: #6d7885; --oracle: #4fc27f;
 --band: #58a6ff3d; --p0: #cf8be0; --p1: #f07a63; --p2: #d3bb3e;
 --bad: #f07a63; --good: #4fc27f; } }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper);
 max-width: 1080px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.05rem; margin: 2.2rem 0 .2rem; }
.about { color: var(--soft); margin: .3rem 0 1rem; font-size: .9rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .28rem .5rem; text-align: right; border-bottom: 1px solid var(--rule);
 vertical-align: top; } tbody th, th:first-child { text-align: left; font-weight: 500; }
th.name { text-align: left; }
thead th { font-size: .8rem; color: var(--soft); font-weight: 500; }
small { display: block; color: var(--soft); font-size: .72rem; font-weight: 400; }
tr.foresail th, tr.foresail td { font-weight: 700; } td.missed { color: var(--bad); }
td { white-space: nowrap; }
.verdict { margin: 1rem 0 1.4rem; padding: .7rem .9rem; border-left: 3px solid var(--ours);
 background: var(--band); }
.invalid, .note { margin: 1rem 0 1.4rem; padding: .7rem .9rem;
 border-left: 3px solid var(--rival); }
.invalid { border-color: var(--bad); color: var(--bad); }
.moves td { white-space: normal; } td.met { color: var(--good); } tr.oracle { color: var(--soft); }
.moves td, .moves th { text-align: left; }
.moves td { font-size: .8rem; } .moves td:first-child { white-space: nowrap; }
summary { cursor: pointer; color: var(--soft); } svg { width: 100%; height: auto; }
svg.narrow { display: none; } .wide-table { overflow-x: auto; } code { overflow-wrap: anywhere; }
@media (max-width: 640px) { svg.wide { display: none; } svg.narrow { display: block; }
 body { margin: 1rem auto; } tbody th small { display: none; }
 tbody th { position: sticky; left: 0; background: var(--paper); } }
.grid { stroke: var(--rule); } .tick, .label { fill: var(--soft); font-size: 12px; }
.line { fill: none; stroke-width: 1.6; stroke: currentColor; stroke-linejoin: round; }
.dot { fill: currentColor; } .bar { fill: currentColor; opacity: .75; }
.band { fill: var(--ours); opacity: .35; } .ours { color: var(--ours); }
.rival { color: var(--rival); }
.cap { color: var(--bad); } .line.cap { stroke-dasharray: 6 4; }
.need { color: var(--need); } .demand { color: var(--ink); } .oracle { color: var(--oracle); }
.forecast { color: var(--ours); } .other { color: var(--need); opacity: .55; }
.peer0 { color: var(--p0); } .peer1 { color: var(--p1); } .peer2 { color: var(--p2); }
.legend { margin: 0; font-size: .85rem; } .key { margin-right: 1.2rem; display: inline-block; }
.key i { display: inline-block; width: 1.1em; height: .28em; margin-right: .4em; background:
 currentColor; vertical-align: middle; border-radius: 2px; }
"""
