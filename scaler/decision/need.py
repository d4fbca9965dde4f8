"""The needs of a workload: now, for its queue, and a lead time ahead; each as one `Step`.

A step carries the rule's name, its reasoning with numbers, and the replicas it asks for, unrounded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from scaler.decision.backlog import Order, backlog_after
from scaler.decision.capacity import ReplicaCapacity
from scaler.decision.demand import Demand
from scaler.decision.outlook import Outlook, work_text
from scaler.decision.parameters import PlanParameters
from scaler.decision.schedule import cheapest
from scaler.durations import format_duration
from scaler.signals import Observation, Signal

DRAIN_SECONDS = 120.0
"""A backlog left at the lead time is to be gone within this."""
BURST_WAIT_SECONDS = 1.0
"""A queue of more than the requests of so many seconds is a burst, not the pace of admission."""
QUEUE_SHARE = 0.1
"""Waiting ÷ running from which requests count as waiting, where their rate says nothing."""
KV_USE_MAX = 0.9
"""Above this share of KV cache in use, engines start to preempt; more replicas then."""


class Dimension(StrEnum):
    """The kinds of load that can keep a replica busy."""

    WORK = "token work"
    IN_FLIGHT = "requests in flight"
    KV_CACHE = "KV cache"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The result of one rule: its name, its reasoning with numbers, and the replicas after it."""

    rule: str
    text: str
    replicas: float
    """0 where nothing was measured: the step then asks for nothing and is shown as unknown."""
    measured: bool = True
    figure: bool = False
    """Whether the rule states a figure that the plan uses and asks for no replicas itself."""

    @property
    def asked(self) -> float | None:
        """The replicas that it asks for; None where it asks for none, or does not know."""
        return self.replicas if self.measured and not self.figure else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How many replicas one dimension keeps busy now."""

    replicas: float
    text: str


def shares(
    demand: Demand, observation: Observation, capacity: ReplicaCapacity
) -> dict[Dimension, Share]:
    """Replicas kept busy, by dimension; a dimension that is not measured is left out."""
    prompt, generated = demand.prompt_tokens, demand.generated_tokens
    running = observation.value(Signal.RUNNING)
    found = {Dimension.KV_CACHE: _kv_share(observation)}
    work = capacity.work.replicas(prompt, generated)
    if work is not None:
        text = work_text(capacity.work, prompt, generated)
        found[Dimension.WORK] = Share(replicas=work, text=text)
    if running is not None:
        text = f"{running:,.0f} requests running, {capacity.requests:,.0f} a replica"
        found[Dimension.IN_FLIGHT] = Share(replicas=running / capacity.requests, text=text)
    return {dimension: share for dimension, share in found.items() if share is not None}


def present(found: Mapping[Dimension, Share]) -> Step:
    """Replicas that serve the present without head-room: the floor of every plan."""
    if not found:
        return Step(rule="present", text="nothing measured", replicas=0.0, measured=False)
    busiest = max(found.values(), key=lambda share: share.replicas)
    return Step(rule="present", text=busiest.text, replicas=busiest.replicas)


def _kv_share(observation: Observation) -> Share | None:
    use, ready = observation.value(Signal.KV_USE), observation.value(Signal.REPLICAS)
    if use is None or ready is None:
        return None
    return Share(
        replicas=ready * use / KV_USE_MAX,
        text=f"KV cache {use:.0%} of {ready:.0f} replicas, full is {KV_USE_MAX:.0%}",
    )


def queue(
    observation: Observation,
    demand: Demand,
    load: float,
    orders: Sequence[Order],
    parameters: PlanParameters,
) -> Step:
    """Replicas that serve the present and drain the backlog a lead time from now."""
    waiting, ready = observation.value(Signal.WAITING), observation.value(Signal.REPLICAS)
    if not waiting:
        measured = waiting is not None
        text = "nothing waits" if measured else "queue not measured"
        return Step(rule="queue", text=text, replicas=0.0, measured=measured)
    if not demand.requests or ready is None:
        replicas = load + waiting / parameters.capacity.requests
        text = f"{waiting:,.0f} wait, request rate or replicas unknown: counted by slots"
        return Step(rule="queue", text=text, replicas=replicas)
    left = backlog_after(
        parameters.lead_seconds,
        now_seconds=observation.at_seconds,
        work=waiting * load / demand.requests,
        load=load,
        ready=int(ready),
        orders=orders,
    )
    pending = sum(order.replicas for order in orders)
    text = (
        f"{waiting:,.0f} wait, {ready:.0f} ready and {pending} on their way: "
        f"{left:,.0f} replica-seconds left in {format_duration(parameters.lead_seconds)}"
    )
    return Step(rule="queue", text=text, replicas=load + left / DRAIN_SECONDS if left else 0.0)


def burst(observation: Observation, demand: Demand, supply: int) -> Step | None:
    """While a queue stands nothing is released; None without one.

    The queue itself is counted by `queue`. A fall of the present or of the forecast says nothing of
    the requests that wait already. A queue that new replicas take in faster than requests end
    leaves a demand of none, and so does a minute in which no long answer ends.
    """
    waiting, running = observation.value(Signal.WAITING), observation.value(Signal.RUNNING)
    if demand.requests:
        least = demand.requests * BURST_WAIT_SECONDS
        pace = f"more than come in {format_duration(BURST_WAIT_SECONDS)}"
    elif running:
        least = QUEUE_SHARE * running
        pace = f"a tenth of the {running:,.0f} that run or more"
    else:
        return None  # nothing is served: the queue counts by its slots alone
    if not waiting or waiting < least:
        return None
    text = f"{waiting:,.0f} wait, {pace}: none of {supply} released"
    return Step(rule="burst", text=text, replicas=supply)


def with_headroom(present_need: Step, queue_need: Step, parameters: PlanParameters) -> Step:
    text = f"present at utilization {parameters.utilization:g}"
    replicas = max(present_need.replicas / parameters.utilization, queue_need.replicas)
    return Step(rule="headroom", text=text, replicas=replicas)


def ahead(
    outlook: Outlook | None,
    found: Mapping[Dimension, Share],
    parameters: PlanParameters,
    *,
    supply: int,
) -> Step:
    """Replicas for the horizon: the forecast of work by its weight, and head-room for the rest.

    Requests in flight are not forecast. Half of them may be a queue, and a forecast queue asks for
    slots that draining it does not need. The step `queue` counts it as work instead.

    Args:
        supply: replicas that are ready or on their way.
    """
    headroom = {
        dimension: Step(
            rule="forecast",
            text=f"{share.text} at utilization {parameters.utilization:g}",
            replicas=share.replicas / parameters.utilization,
        )
        for dimension, share in found.items()
        if dimension is not Dimension.KV_CACHE  # `KV_USE_MAX` is its head-room
    }
    if outlook is not None and outlook.weight > 0:
        headroom[Dimension.WORK] = _forecast(
            outlook, headroom.get(Dimension.WORK), parameters, supply=supply
        )
    elif Dimension.WORK in headroom:
        reactive = headroom[Dimension.WORK]
        text = f"{_why_not(outlook)}, so the present with head-room: {reactive.text}"
        headroom[Dimension.WORK] = replace(reactive, text=text)
    text = "nothing to forecast from"
    nothing = Step(rule="forecast", text=text, replicas=0.0, measured=False)
    return max(headroom.values(), key=lambda step: step.replicas, default=nothing)


def _forecast(
    outlook: Outlook, reactive: Step | None, parameters: PlanParameters, *, supply: int
) -> Step:
    """The need of the forecast by its weight, mixed with the present with head-room.

    A forecast that does not reach the lead time never asks for less than head-room.
    """
    lead, reach = parameters.lead_seconds, outlook.reach_seconds
    wanted, text = _wanted(outlook, parameters, supply=supply)
    now = 0.0 if reactive is None else reactive.replicas
    replicas = outlook.weight * wanted + (1 - outlook.weight) * now
    if outlook.weight < 1:
        rest = "nothing measured" if reactive is None else reactive.text
        text = f"{outlook.weight:.0%} of {text}; the rest {rest}"
    if reach < lead:
        reaches = f"reaches {format_duration(reach)} of {format_duration(lead)}"
        text = f"{reaches}, so not below head-room; {text}"
        replicas = max(replicas, now)
    return Step(rule="forecast", text=text, replicas=replicas)


def _wanted(outlook: Outlook, parameters: PlanParameters, *, supply: int) -> tuple[float, str]:
    """Replicas that the forecast alone wants, and why."""
    lead = parameters.lead_seconds
    skill = "unknown" if outlook.skill is None else f"{outlook.skill:+.0%}"
    cost = parameters.late_minute_cost
    if cost is None or outlook.need is None:
        at = format_duration(min(lead, outlook.reach_seconds))
        text = f"q{parameters.level:g} in {at}: {outlook.text}, skill {skill}"
        return outlook.replicas, text
    schedule = cheapest(outlook.need, supply=supply, lead_seconds=lead, late_minute_cost=cost)
    text = (
        f"{schedule.at_lead} in {format_duration(lead)}, chance of more {schedule.exceeded:.1%}, "
        f"{schedule.kept} of {supply} kept, at {cost:g} GPU-minutes a late minute; "
        f"q{parameters.level:g} is {outlook.replicas:.2f}: {outlook.text}, skill {skill}"
    )
    return schedule.replicas, text


def _why_not(outlook: Outlook | None) -> str:
    if outlook is None or outlook.skill is None:
        return "no evidence yet"
    return f"skill {outlook.skill:+.0%} against the last value"
