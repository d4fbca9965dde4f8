"""What `foresail tune` found, as tables for a terminal and as a document."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isnan

from rich import box
from rich.table import Table

from foresail.figures import UNKNOWN, camel, dollars
from foresail.replaying.report import percent
from foresail.tuning.tuned import ForAll, Setting, Tuned, TunedNodes
from replay.policies.behaviors import OWN


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneReport:
    """All that was explored."""

    asked: float
    """Share of requests in time."""
    workloads: tuple[str, ...]
    knobs: Mapping[str, str]
    """What the number of a setting is, by rule."""
    tuned: Sequence[Tuned]
    for_all: Sequence[ForAll]
    nodes: Sequence[TunedNodes]


def tables(report: TuneReport) -> list[Table]:
    """For a terminal."""
    shown = [_by_workload(report)]
    if len(report.workloads) > 1:
        shown.append(_for_all(report))
    if report.nodes:
        shown.append(_nodes(report))
    return shown


def as_document(report: TuneReport) -> object:
    """For a machine; what is not comparable is null."""
    return camel(_plain(asdict(report)))


def _by_workload(report: TuneReport) -> Table:
    table = _table("workload", "rule", "setting", "GPU-h", "in time", "x best")
    table.caption = (
        f"the cheapest setting of each rule that is {percent(report.asked)} in time on every seed;"
        " * the nearest where none is\n"
        + "\n".join(f"setting of {rule}: {knob}" for rule, knob in report.knobs.items())
    )
    for one in report.tuned:
        table.add_row(
            one.workload,
            one.fared.setting.rule,
            _named(one.fared.setting),
            f"{one.fared.gpu_hours:,.1f}",
            f"{one.fared.in_time:.2%}{'' if one.reached else '*'}",
            _ratio(one.times_best),
        )
    return table


def _for_all(report: TuneReport) -> Table:
    table = _table("one for all", "rule", "setting", "x best", "in time on")
    table.caption = (
        "one setting for all workloads; x best: mean of GPU-hours over each one's best, where any"
        " setting is in time"
    )
    for one in sorted(report.for_all, key=lambda one: (-one.reached, one.times_best)):
        reached = f"{one.reached} of {len(report.workloads)}"
        table.add_row("", one.setting.rule, _named(one.setting), _ratio(one.times_best), reached)
    return table


def _nodes(report: TuneReport) -> Table:
    table = _table("workload", "policy", "hold", "order", "$", "shipped $", "Karpenter $")
    table.caption = "dollars of nodes with what waiting is worth, under Foresail's replicas"
    for one in report.nodes:
        table.add_row(
            one.workload,
            one.policy,
            f"{one.best.hold_factor:g}",
            f"{one.best.order_factor:g}",
            *(dollars(usd) for usd in (one.cost, one.shipped_cost, one.karpenter_cost)),
        )
    return table


def _table(*heads: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), caption_justify="left")
    for place, head in enumerate(heads):
        table.add_column(head, justify="left" if place < 2 else "right", no_wrap=True)  # noqa: PLR2004
    return table


def _named(setting: Setting) -> str:
    behavior = "" if setting.behavior == OWN else f", {setting.behavior}"
    return f"{setting.knob:g}{behavior}"


def _ratio(ratio: float) -> str:
    return UNKNOWN if isnan(ratio) else f"{ratio:.3f}"


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and isnan(value) else value
