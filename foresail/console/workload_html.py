"""The page of one workload as HTML."""

from collections.abc import Sequence

from foresail.console import cells
from foresail.console.charts import demand_plot, picture, replicas_plot
from foresail.console.records import Decision, Fact, Score, WorkloadPage
from foresail.figures import UNKNOWN, last
from scaler.decision.need import Step
from scaler.learning.shadows.account import GIVEN_RULE, BookedRule, BooksAccount


def workload_html(page: WorkloadPage) -> str:
    """All of it; what is not known says so."""
    parts = [
        _head(page),
        _scores(page),
        cells.section("Demand, and what is expected", picture(demand_plot(page)), _ahead(page)),
        cells.section("Replicas", picture(replicas_plot(page))),
        _why(page),
        _books(page),
        cells.section("What it rests on", _facts(page.facts)),
        _decisions(page),
    ]
    return "".join(parts)


def unknown_html(namespace: str, name: str, plans_missing: str | None) -> str:
    """In place of the page of a workload that is not known.

    Args:
        namespace: of the workload.
        name: of its ScaledObject.
        plans_missing: why no plans are known; None = they are, and it is not among them.
    """
    title = cells.text(f"{namespace}/{name}")
    return (
        f"<h1>{title}</h1>"
        f"{cells.missing(plans_missing or 'no plan of this name is known here')}"
        '<p><a href="/">All workloads</a></p>'
    )


def _head(page: WorkloadPage) -> str:
    row = page.row
    model = cells.text(row.model) if row.model is not None else "model unknown"
    remarks = "".join(f'<p class="missing">{cells.text(one)}</p>' for one in page.remarks)
    return (
        f'<h1>{cells.text(row.title)}</h1><p class="about">{model} · '
        f"{cells.text(row.mode or UNKNOWN)} · {cells.clock(page.at_seconds)}</p>"
        f'<p class="outcome">{cells.state(row.state)}<span>KEDA: {cells.text(page.outcome)}</span>'
        f"</p>{remarks}{_tiles(page)}"
    )


def _tiles(page: WorkloadPage) -> str:
    row = page.row
    given = [
        cells.tile("demand", f"{cells.count(row.demand)} <span>tokens/s</span>"),
        cells.tile(
            "replicas ready", cells.count(row.ready), f"of {cells.count(row.planned)} planned"
        ),
        cells.tile("objective", cells.kept(row.objective_kept)),
        cells.tile("cost", f"{cells.usd(row.usd_per_hour)} <span>an hour</span>", _paid(page)),
    ]
    return cells.tiles(*given)


def _paid(page: WorkloadPage) -> str:
    if page.paid_gpu_hours is None:
        return ""
    return f"so far {cells.usd(page.paid_usd)}, {page.paid_gpu_hours:,.1f} GPU-hours"


def _ahead(page: WorkloadPage) -> str:
    if page.ahead is None:
        return "there is no forecast yet"
    minutes = page.ahead.lead_seconds / 60
    return f"a replica ordered now serves in {minutes:.0f} min"


def _why(page: WorkloadPage) -> str:
    if not page.steps:
        return cells.section("Why", cells.missing("no decision was made yet"))
    head = "Why" if page.row.planned is None else f"Why {page.row.planned}"
    which = "decision" if page.stands else "the last decision, which stands no longer,"
    about = (
        f"{which} of {cells.clock(page.decided_at_seconds)}, each rule and the replicas after it"
    )
    return cells.section(head, _steps(page.steps), about)


def _steps(steps: Sequence[Step]) -> str:
    rows = "".join(
        f'<tr><td class="number">{_replicas(step)}</td><th scope="row">{cells.text(step.rule)}</th>'
        f'<td class="wide-text">{cells.text(step.text)}</td></tr>'
        for step in steps
    )
    return f'<table class="steps"><tbody>{rows}</tbody></table>'


def _replicas(step: Step) -> str:
    if step.figure:
        return ""
    return UNKNOWN if step.asked is None else f"{step.asked:.2f}"


def _facts(facts: Sequence[Fact]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{cells.text(fact.name)}</th>'
        f"<td><b>{cells.text(fact.value)}</b></td>"
        f'<td class="wide-text soft">{cells.text(fact.basis)}</td></tr>'
        for fact in facts
    )
    return f'<table class="facts"><tbody>{rows}</tbody></table>'


def _decisions(page: WorkloadPage) -> str:
    if not page.decisions:
        return cells.section("Decisions", cells.missing("none was seen yet"))
    items = "".join(map(_decision, page.decisions))
    about = "the newest first, since this console began; open one for its steps"
    return cells.section("Decisions", f'<div class="decisions">{items}</div>', about)


def _decision(one: Decision) -> str:
    before = UNKNOWN if one.before is None else f"{one.before}"
    reason = _deciding(one)
    return (
        f'<details id="at-{one.at_seconds:.0f}"><summary><time>{cells.time_of_day(one.at_seconds)}'
        f"</time> <b>{before} → {one.planned}</b> <span>{cells.text(reason)}</span></summary>"
        f"{_steps(one.steps)}</details>"
    )


def _deciding(one: Decision) -> str:
    """The first rule that set the number; bounds and modes come after it."""
    setting = [step for step in one.steps if (step.asked or 0.0) > one.planned - 1]
    return setting[0].rule if setting else ""


def _books(page: WorkloadPage) -> str:
    title = "Under other rules"
    if page.books is None:
        why = "the shadows' books are empty, or the server does not send them"
        return cells.section(title, cells.missing(why))
    books = page.books
    about = (
        f"{last(books.days)} under each rule, from a model of the fleet, with the late "
        f"share of the work; setting: "
        f"{cells.text(books.why)}"
    )
    return cells.section(title, _books_table(books, page.usd_per_gpu_hour), about)


def _books_table(books: BooksAccount, usd_per_gpu_hour: float | None) -> str:
    settings = [one for one in books.rules if not one.in_force and _is_setting(one)]
    rules = [one for one in books.rules if one.in_force or not _is_setting(one)]
    rules.sort(key=lambda one: not one.in_force)
    table = _books_of(rules, books, usd_per_gpu_hour, real=True)
    if not settings:
        return table
    others = _books_of(settings, books, usd_per_gpu_hour, real=False)
    return (
        f'{table}<details id="settings"><summary>Other settings of Foresail: {len(settings)}'
        f"</summary>{others}</details>"
    )


def _is_setting(one: BookedRule) -> bool:
    return one.rule == GIVEN_RULE or one.rule.startswith("setting ")


def _books_of(
    rules: Sequence[BookedRule],
    books: BooksAccount,
    usd_per_gpu_hour: float | None,
    *,
    real: bool,
) -> str:
    money = usd_per_gpu_hour is not None
    rows = [_booked(one, books, usd_per_gpu_hour) for one in rules]
    if real:
        rows.insert(0, _real(books, usd_per_gpu_hour))
    head = '<tr><th scope="col">rule</th><th scope="col" class="number">replica-hours</th>'
    head += '<th scope="col" class="number">dollars</th>' if money else ""
    head += '<th scope="col" class="number">late</th></tr>'
    return f'<table class="books"><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table>'


def _real(books: BooksAccount, usd_per_gpu_hour: float | None) -> str:
    """The replicas that there were."""
    money = ""
    if usd_per_gpu_hour is not None:
        money = f'<td class="number">{_dollars(books.gpu_hours, usd_per_gpu_hour)}</td>'
    return (
        '<tr class="real"><th scope="row">as it was<small>measured; the model says '
        f"{cells.share(books.modelled_late)} late</small></th>"
        f'<td class="number">{_hours(books.gpu_hours)}</td>{money}'
        f'<td class="number">{cells.share(books.late)}</td></tr>'
    )


def _booked(one: BookedRule, books: BooksAccount, usd_per_gpu_hour: float | None) -> str:
    css, mark = ("in-force", " · in force") if one.in_force else ("", "")
    money = (
        ""
        if usd_per_gpu_hour is None
        else (f'<td class="number">{_dollars(one.gpu_hours, usd_per_gpu_hour)}</td>')
    )
    return (
        f'<tr class="{css}"><th scope="row">{cells.text(one.rule)}{mark}'
        f"<small>{cells.text(one.text)}</small></th>"
        f'<td class="number">{_hours(one.gpu_hours)}{_beside(one.gpu_hours, books.gpu_hours)}</td>'
        f'{money}<td class="number">{cells.share(one.late)}</td></tr>'
    )


def _beside(hours: float | None, real: float | None) -> str:
    return "" if hours is None or not real else f"<small>{hours / real - 1:+.0%}</small>"


def _hours(hours: float | None) -> str:
    return UNKNOWN if hours is None else f"{hours:,.1f}"


def _dollars(hours: float | None, each: float | None) -> str:
    return cells.usd(None if hours is None or each is None else hours * each)


def _scores(page: WorkloadPage) -> str:
    if page.scores_meaning is None:
        return ""
    rows = "".join(map(_score, page.scores))
    head = (
        '<tr><th scope="col">rule</th><th scope="col" class="number">in time</th>'
        '<th scope="col" class="number narrow-no">TTFT p95</th>'
        '<th scope="col" class="number">GPU-hours</th><th scope="col" class="number">dollars</th>'
        '<th scope="col" class="number narrow-no">lost</th></tr>'
    )
    table = f'<table class="scores"><thead>{head}</thead><tbody>{rows}</tbody></table>'
    return cells.section("The day is over", table, cells.text(page.scores_meaning))


def _score(one: Score) -> str:
    return (
        f'<tr class="{"in-force" if one.ours else ""}"><th scope="row">{cells.text(one.rule)}</th>'
        f'<td class="number">{cells.share(one.in_time)}</td>'
        f'<td class="number narrow-no">{one.ttft_p95_seconds:.2f} s</td>'
        f'<td class="number">{one.gpu_hours:,.1f}</td>'
        f'<td class="number">{cells.usd(one.usd)}</td>'
        f'<td class="number narrow-no">{one.lost:,}</td></tr>'
    )
