"""Disruption budgets of NodePools."""

import re
from collections.abc import Iterator
from typing import Final

from fleet.documents import text
from policies.lint.finding import Fault, Path, Severity
from policies.lint.karpenter_schedules import never_begins, schedule_fault
from policies.lint.nodepools import NODE_POOL, budgets_of, is_static
from policies.lint.objects import Inputs, Object
from policies.lint.rule import rule

_DURATION: Final = re.compile(r"([0-9]{1,6}[hm]|[0-9]{1,6}h[0-9]{1,6}m)(0s)?")
_NODES: Final = re.compile(r"[0-9]{1,9}|(100|[0-9]{1,2})%")
_REASONS: Final = ("Underutilized", "Empty", "Drifted")
_BUDGETS_MAX: Final = 50
_SOURCE: Final = "Karpenter, disruption: NodePool disruption budgets"


@rule(
    "FS211",
    Severity.ERROR,
    on=NODE_POOL,
    what="a budget that Karpenter cannot read",
    fix="nodes: a number or a percentage; schedule: five cron fields, days of the week from 0 to 6 "
    "or by name, with a duration",
    source=f"{_SOURCE}; nodepool.go (GetAllowedDisruptionsByReason)",
)
def malformed_budget(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """The API server refuses most of them. One that it takes and Karpenter cannot read allows 0
    disruptions: empty nodes stay, and are billed, in silence. The smallest active budget wins, so
    one bad entry is enough.
    """
    count = 0
    for index, budget in budgets_of(of):
        count += 1
        at: Path = ("spec", "disruption", "budgets", index)
        nodes = budget.get("nodes")
        if nodes is not None and not _NODES.fullmatch(str(nodes)):
            why = "neither a number nor a percentage up to 100%"
            yield Fault(at=(*at, "nodes"), why=why, do='write "1" or "10%"')
        yield from _of_schedule(at, budget.get("schedule"), budget.get("duration"))
    if count > _BUDGETS_MAX:
        why = f"Karpenter takes {_BUDGETS_MAX} budgets"
        yield Fault(at=("spec", "disruption", "budgets"), why=why, do="merge some")


def _of_schedule(at: Path, schedule: object, duration: object) -> Iterator[Fault]:
    if (schedule is None) != (duration is None):
        missing = "duration" if duration is None else "schedule"
        why = "schedule and duration go together, and the API server refuses one alone"
        yield Fault(at=(*at, missing), why=why, do=f"give a {missing} too, or neither")
    unread = None if schedule is None else schedule_fault(schedule)
    if unread is not None:
        why = f"{unread}; Karpenter then allows no disruption at all"
        yield Fault(at=(*at, "schedule"), why=why, do='write it as "0 9 * * mon-fri", in UTC')
    elif isinstance(schedule, str) and never_begins(schedule):
        why = "no year has that day, and Karpenter takes the budget for active at all times"
        yield Fault(at=(*at, "schedule"), why=why, do="name a day that there is")
    readable = isinstance(duration, str) and bool(_DURATION.fullmatch(duration))
    if duration is not None and not readable:
        why = "not a duration in hours and minutes, as Karpenter takes it"
        yield Fault(at=(*at, "duration"), why=why, do="write it as 8h or 8h30m")


@rule(
    "FS212",
    Severity.INFO,
    on=NODE_POOL,
    what="a budget's schedule in UTC",
    fix="shift the hours to UTC, and widen the window by the hour of daylight saving time",
    source=f"{_SOURCE} (schedules are in UTC)",
)
def schedule_in_utc(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """Karpenter knows no time zone and no daylight saving time: business hours written in local
    time protect the wrong hours, and twice a year another hour of them.
    """
    for index, budget in budgets_of(of):
        schedule = text(budget, "schedule")
        if schedule is None or schedule_fault(schedule) is not None:
            continue
        if _names_an_hour(schedule):
            why = "Karpenter reads it in UTC, without daylight saving time"
            do = "check that the hours are UTC, and widen the window by one hour"
            yield Fault(at=("spec", "disruption", "budgets", index, "schedule"), why=why, do=do)


def _names_an_hour(schedule: str) -> bool:
    fields = schedule.split()
    return len(fields) > 1 and fields[1][0].isdigit()


@rule(
    "FS213",
    Severity.WARNING,
    on=NODE_POOL,
    what="a budget of zero for all time",
    fix="give it a schedule and duration, or reasons: [Underutilized]",
    source=_SOURCE,
)
def frozen(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """Then no empty node ever leaves, and no drifted one is replaced: every peak of demand is paid
    until somebody deletes nodes by hand. The size of a static pool does not ask budgets.
    """
    if is_static(of):
        return
    for index, budget in budgets_of(of):
        nodes = str(budget.get("nodes", "10%"))
        always = budget.get("schedule") is None
        reasons = budget.get("reasons")
        empty_too = not reasons or (isinstance(reasons, list) and "Empty" in reasons)
        if nodes in {"0", "0%"} and always and empty_too:
            why = "empty nodes never leave"
            do = "give it a schedule and a duration, or reasons: [Underutilized]"
            yield Fault(at=("spec", "disruption", "budgets", index, "nodes"), why=why, do=do)


@rule(
    "FS214",
    Severity.ERROR,
    on=NODE_POOL,
    what="a reason that Karpenter does not know",
    fix="use Underutilized, Empty or Drifted",
    source=f"{_SOURCE}: reasons",
)
def unknown_reason(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """The API server refuses the NodePool. Expiry, repair and interruptions have no budget."""
    for index, budget in budgets_of(of):
        reasons = budget.get("reasons")
        for place, one in enumerate(reasons if isinstance(reasons, list) else ()):
            if one not in _REASONS:
                at = ("spec", "disruption", "budgets", index, "reasons", place)
                why = "no reason that budgets have"
                yield Fault(at=at, why=why, do=f"use one of {', '.join(_REASONS)}")
