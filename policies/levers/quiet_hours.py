"""Quiet hours: a budget of 0 nodes in which Karpenter moves no pod to save money.

The budgets belong to the operator, so the default is to show the one to add. Where the policy opts
in, one entry is added at the end of the list for the hours that are now, and taken out after them.
Its schedule names a minute of one day and its duration ends with the hours, so that it ends by
itself. The list has a single owner by field; a JSON patch adds to it and leaves the rest alone.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil
from typing import Final

from fleet.cluster.fields import seconds
from fleet.cluster.karpenter import NodePool
from policies.levers.change import Body, Change, LeverResult, Verb, expect
from policies.levers.marks import stamp
from policies.levers.objects import pool_address
from policies.levers.round import PoolRound, said
from policies.node_plan import Step
from policies.policy.pool_policy import Lever

LEVER: Final = "quiet hours"
REASONS: Final = ("Underutilized", "Drifted")
"""Empty nodes still go."""
BUDGETS_MAX: Final = 50
QUIET: Final = "foresail.io/quiet-budget"
"""Annotation: when the hours end for which we added an entry, and the entry's schedule."""
_BUDGETS: Final = "/spec/disruption/budgets"
_ANNOTATION: Final = "/metadata/annotations/foresail.io~1quiet-budget"


def budget_until(end_seconds: float, now_seconds: float) -> Mapping[str, object]:
    """The budget from this minute until quiet hours end."""
    begin = int(now_seconds // 60) * 60
    at = datetime.fromtimestamp(begin, UTC)
    minutes = max(1, ceil((end_seconds - begin) / 60))
    return {
        "nodes": "0",
        "reasons": list(REASONS),
        "schedule": f"{at.minute} {at.hour} {at.day} {at.month} *",
        "duration": f"{minutes}m",
    }


def keep_quiet(round_: PoolRound) -> LeverResult:
    """Add the budget of the hours that are now, or show it; take out one that is over."""
    end, record = round_.policy.quiet_until_seconds, round_.record
    if record is None:
        text = "it is no NodePool: quiet hours mean nothing to it"
        return LeverResult(steps=() if end is None else said(LEVER, text))
    standing = standing_budget(record)
    if end is None or not round_.may(Lever.QUIET_HOURS):
        over = () if standing is None else (taken_out(record, standing, "quiet hours are over"),)
        steps = (
            () if round_.may(Lever.QUIET_HOURS) else _shown(round_, "the policy does not opt in")
        )
        return LeverResult(changes=over, steps=steps)
    over = ()
    if standing is not None:
        if int(standing.end_seconds or 0) == int(end):
            return LeverResult()
        over = (taken_out(record, standing, "quiet hours changed"),)
    why = _refused(record)
    if why is not None:
        return LeverResult(changes=over, steps=_shown(round_, why))
    return LeverResult(changes=over) + _added(record, end, round_.now_seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingBudget:
    """An entry of ours, as the NodePool's annotation tells of it."""

    place: int | None
    """In the list of budgets; None = it is no longer there."""
    schedule: str
    end_seconds: float | None
    """None = that cannot be read, and it is over."""


def standing_budget(record: NodePool) -> StandingBudget | None:
    """The entry that we added; None = we added none."""
    if QUIET not in record.annotations:
        return None
    end, _, schedule = record.annotations[QUIET].partition(" ")
    place = next(
        (
            at
            for at, one in enumerate(record.budgets)
            if one.schedule == schedule and one.nodes == "0" and one.reasons == REASONS
        ),
        None,
    )
    return StandingBudget(place=place, schedule=schedule, end_seconds=seconds({QUIET: end}, QUIET))


def taken_out(record: NodePool, standing: StandingBudget, why: str) -> Change:
    """Take our entry out of the list, and the annotation that tells of it."""
    operations: list[Body] = [expect("/metadata/uid", record.uid)]
    if standing.place is not None:
        path = f"{_BUDGETS}/{standing.place}"
        operations += [
            expect(f"{path}/schedule", standing.schedule),
            {"op": "remove", "path": path},
        ]
    operations.append({"op": "remove", "path": _ANNOTATION})
    return _patch(record, operations, why, None)


def _added(record: NodePool, end_seconds: float, now_seconds: float) -> LeverResult:
    budget = budget_until(end_seconds, now_seconds)
    mark = f"{stamp(end_seconds)} {budget['schedule']}"
    annotated: list[Body] = [{"op": "add", "path": _ANNOTATION, "value": mark}]
    if not record.annotations:
        annotated = [{"op": "add", "path": "/metadata/annotations", "value": {QUIET: mark}}]
    operations = [
        expect("/metadata/uid", record.uid),
        {"op": "add", "path": f"{_BUDGETS}/-", "value": budget},
        *annotated,
    ]
    text = f"no pod is moved for money until {stamp(end_seconds)}"
    return LeverResult(
        changes=(_patch(record, operations, text, end_seconds),), steps=said(LEVER, text)
    )


def _patch(record: NodePool, operations: list[Body], why: str, lease: float | None) -> Change:
    return Change(
        verb=Verb.PATCH,
        address=pool_address(record.name),
        lever=LEVER,
        why=why,
        body=tuple(operations),
        uid=record.uid,
        lease_end_seconds=lease,
    )


def _refused(record: NodePool) -> str | None:
    if record.built_in:
        return "the cloud made this pool and keeps it"
    if record.git_owner is not None:
        return f"{record.git_owner} keeps this pool as it is in Git"
    if not record.budgets:
        return "the pool has no list of budgets, and one of ours alone would replace its default"
    if len(record.budgets) >= BUDGETS_MAX:
        return f"the pool has {len(record.budgets)} budgets, which is the most it may have"
    return None


def _shown(round_: PoolRound, why: str) -> tuple[Step, ...]:
    """The budgets for the operator's Git, a step each."""
    steps: tuple[Step, ...] = ()
    for one in round_.policy.quiet_budgets:
        text = f"not written, because {why}"
        if one.schedule is not None:
            times = {"schedule": one.schedule, "duration": one.duration}
            budget = json.dumps({"nodes": "0", "reasons": list(REASONS), **times})
            text += f"; to be added to spec.disruption.budgets: {budget}"
        steps += said(LEVER, "; ".join((text, *one.notes)))
    return steps
