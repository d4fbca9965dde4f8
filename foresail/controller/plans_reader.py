"""The edge: plans of the Plans API, as the controller takes them."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final

import structlog

from foresail.client import Changed, Plan, PlansError, Removed, Snapshot
from foresail.controller.known_plans import KnownPlans, TriggerPlan
from foresail.plans_api.events import Event
from scaler.clock import Clock
from scaler.decision.series import PLANNED
from scaler.forecast.record import Skill
from scaler.forecast.running_maximum import MaximumForecast

log = structlog.get_logger()

REFUSED_SECONDS: Final = 60.0
"""Before a server that refuses is asked again: certificates are replaced, and readers allowed."""


async def read_plans(
    known: KnownPlans,
    watch: Callable[[], AsyncGenerator[Event]],
    steady: Clock,
    also: Callable[[Event], None] | None = None,
) -> None:
    """Learn of plans for good.

    Args:
        known: what is known.
        watch: begins a watch, which goes on by itself unless the server refuses.
        steady: the monotonic clock.
        also: gets each event too.
    """
    while True:
        try:
            async with aclosing(watch()) as events:
                async for event in events:
                    known.trouble = None
                    _take(known, event, steady())
                    if also is not None:
                        also(event)
        except PlansError as error:
            known.trouble = str(error)
            log.warning("plans_refused", why=known.trouble)
        await asyncio.sleep(REFUSED_SECONDS)


def _take(known: KnownPlans, event: Event, now_seconds: float) -> None:
    match event:
        case Snapshot(plans=plans):
            known.all_are(map(trigger_plan_of, plans), now_seconds)
        case Changed(plan=plan):
            known.changed(trigger_plan_of(plan), now_seconds)
        case Removed(workload=workload):
            known.removed(workload, now_seconds)


def trigger_plan_of(plan: Plan) -> TriggerPlan:
    """What a plan wants; where KEDA gets an error or no number, nothing."""
    decided = plan.plan if plan.refused is None else None
    desired = decided.desired if decided is not None else None
    of_keda = f"{plan.workload.namespace}/{plan.workload.name}"
    return TriggerPlan(
        trigger=plan.workload,
        scaled_object=None if plan.on_watch_list else of_keda,
        replicas=None if desired is None else float(desired),
        valid_for_seconds=plan.valid_for_seconds,
        running_maximum=_proven(plan),
    )


def _proven(plan: Plan) -> MaximumForecast | None:
    """The running maximum, over the windows for which the forecasts behind it have shown skill.

    Nodes are bought by it, so what is known of this very workload must have come true before. The
    same skill lets a plan go by the forecast alone.
    """
    largest = plan.running_maximum
    behind = [plan.forecasts[series] for series in PLANNED if series in plan.forecasts]
    if largest is None or not behind:
        return None
    proven = set.intersection(
        *({s.horizon_seconds for s in one.skill if _skilled(s)} for one in behind)
    )
    kept = largest.over(proven)
    return kept if kept.windows_seconds else None


def _skilled(skill: Skill) -> bool:
    return skill.better is not None and skill.better >= 0
