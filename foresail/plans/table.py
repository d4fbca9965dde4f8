"""Plans as a table for a terminal, and as the JSON of their messages."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

from google.protobuf.json_format import MessageToDict
from rich import box
from rich.console import JustifyMethod
from rich.table import Table
from rich.text import Text

from foresail.figures import UNKNOWN
from foresail.plans_api.plan import Plan
from policies.lint.objects import printable
from scaler.decision.answers import Reference
from scaler.decision.series import PLANNED
from scaler.durations import format_duration
from scaler.rpc.foresail.v1 import plans_pb2 as pb
from scaler.signals import Value, state_of
from scaler.trigger import Mode

_COLUMNS: Final[tuple[tuple[str, JustifyMethod], ...]] = (
    ("workload", "left"),
    ("mode", "left"),
    ("tokens/s now", "right"),
    ("forecast", "right"),
    ("skill", "right"),
    ("plan", "right"),
    ("KEDA gets", "left"),
    ("signals", "left"),
    ("age", "right"),
)
_WORD_MOST: Final = 8
"""Characters of a word that a narrow terminal shows in one line at the least."""
_PAD, _BETWEEN, _FRAME = 1, 1, 2
"""Columns that a table takes after its cells, between them, and around them."""


def render(plans: Iterable[Plan], columns: int) -> Table:
    """A row a workload, by name.

    Args:
        plans: of the workloads.
        columns: the width of the terminal; a narrow one gets more lines, and the whole text.
    """
    ordered = sorted(plans, key=lambda one: (one.workload.namespace, one.workload.name))
    rows = [row(plan) for plan in ordered]
    texts = list(zip((head for head, _ in _COLUMNS), *rows, strict=True))
    table = Table(box=box.SIMPLE_HEAD, padding=(0, _PAD, 0, 0))
    for (head, justify), width in zip(_COLUMNS, _widths(texts, columns), strict=True):
        table.add_column(head, justify=justify, overflow="fold", width=width)
    for cells in rows:
        table.add_row(*map(Text, cells))
    return table


def _widths(texts: Sequence[Sequence[str]], columns: int) -> list[int]:
    """Of each column its longest word; what is left goes to the first columns."""
    least = [min(_WORD_MOST, max(len(word) for word in " ".join(cells).split())) for cells in texts]
    left = columns - _FRAME - sum(least) - len(texts) * (_PAD + _BETWEEN)
    widths = []
    for cells, width in zip(texts, least, strict=True):
        more = max(0, min(left, max(map(len, cells)) - width))
        left -= more
        widths.append(width + more)
    return widths


def row(plan: Plan) -> tuple[str, ...]:
    """The cells of one workload; `?` is not known."""
    return (*decided(plan), _age(plan))


def decided(plan: Plan) -> tuple[str, ...]:
    """The cells without the age, which changes with every look."""
    return (
        shown(plan.workload),
        "watch list" if plan.on_watch_list else UNKNOWN if plan.mode is None else plan.mode,
        _now(plan),
        _forecast(plan),
        _skill(plan),
        UNKNOWN if plan.plan is None else f"{plan.plan.planned}",
        _handed(plan),
        _signals(plan),
    )


def shown(workload: Reference) -> str:
    """Its name, as whoever asked the scaler wrote it, without what a terminal would obey."""
    return printable(str(workload))


def payload(plan: Plan) -> dict[str, Any]:
    """The message as JSON, where a field that is not known is missing."""
    document: dict[str, Any] = MessageToDict(
        pb.WorkloadPlan.FromString(plan.received), always_print_fields_with_no_presence=True
    )
    return document


def _now(plan: Plan) -> str:
    if plan.demand is None:
        return UNKNOWN
    rates = (plan.demand.prompt_tokens, plan.demand.generated_tokens)
    return " + ".join(UNKNOWN if rate is None else f"{rate:,.0f}" for rate in rates)


def _forecast(plan: Plan) -> str:
    """Replicas that the planned quantile keeps busy at the lead time."""
    if plan.parameters is None:
        return UNKNOWN
    lead, level = plan.parameters.lead_seconds, plan.parameters.level
    prompt, generated = (
        plan.forecasts[series].at(horizon_seconds=lead, level=level)
        if series in plan.forecasts
        else None
        for series in PLANNED
    )
    replicas = plan.parameters.capacity.work.replicas(prompt, generated)
    if replicas is None:
        return UNKNOWN
    return f"{replicas:.2f} (q{level:g} in {format_duration(lead)})"


def _skill(plan: Plan) -> str:
    """The lowest skill of the planned series, at the first horizon that reaches the lead time."""
    if plan.parameters is None:
        return UNKNOWN
    found: list[float] = []
    for series in PLANNED:
        if series not in plan.forecasts:
            continue
        skill = plan.forecasts[series].skill_at(horizon_seconds=plan.parameters.lead_seconds)
        if skill is None or skill.better is None:
            return UNKNOWN
        found.append(skill.better)
    return f"{min(found):+.0%}" if found else UNKNOWN


def _handed(plan: Plan) -> str:
    if plan.on_watch_list:
        return "does not ask"
    if plan.refused is not None:
        return f"error: {printable(plan.refused.code)}"
    if plan.mode is Mode.ADVISE:
        return "no replicas"
    desired = None if plan.plan is None else plan.plan.desired
    return UNKNOWN if desired is None else f"{desired}"


def _signals(plan: Plan) -> str:
    if plan.failure is not None:
        return "not read"
    if not plan.signals:
        return UNKNOWN
    missing = Counter(
        state_of(reading) for reading in plan.signals.values() if not isinstance(reading, Value)
    )
    if not missing:
        return "all measured"
    return ", ".join(f"{count} {state}" for state, count in sorted(missing.items()))


def _age(plan: Plan) -> str:
    if plan.age_seconds is None:
        return UNKNOWN
    age = format_duration(round(plan.age_seconds))
    return age if plan.valid_for_seconds is not None else f"{age}, too old"
