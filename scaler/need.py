"""What a workload needs: now, for its queue, and a lead time ahead; each as one `Step`.

A step carries the rule's name, its reasoning with numbers, and the replicas it asks for, unrounded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from scaler.backlog import Order, backlog_after
from scaler.capacity import ReplicaCapacity
from scaler.demand import Demand
from scaler.durations import written
from scaler.parameters import PlanParameters
from scaler.signals import Observation, Signal

DRAIN_SECONDS = 120.0
"""A backlog left at the lead time is to be gone within this."""
KV_USE_MAX = 0.9
"""Above this share of KV cache in use, engines start to preempt; more replicas then."""


class Dimension(StrEnum):
    """What can keep a replica busy."""

    WORK = "token work"
    IN_FLIGHT = "requests in flight"
    KV_CACHE = "KV cache"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """The forecast of work at the lead time."""

    replicas: float
    """What the planned quantile of demand keeps busy."""
    text: str
    skill: float | None
    """1 − loss ÷ loss of the last value, over recent steps; None while there is no evidence."""

    @property
    def earned(self) -> bool:
        """Whether the plan may rest on it."""
        return self.skill is not None and self.skill > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One rule's word: which, what it said with numbers, and the replicas after it."""

    rule: str
    text: str
    replicas: float
    """0 where nothing was measured: it asks for nothing, and is shown as unknown."""
    measured: bool = True


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
        text = f"{tokens(prompt, generated)} ({capacity.work.origin})"
        found[Dimension.WORK] = Share(replicas=work, text=text)
    if running is not None:
        text = f"{running:,.0f} requests running, {capacity.requests:,.0f} a replica"
        found[Dimension.IN_FLIGHT] = Share(replicas=running / capacity.requests, text=text)
    return {dimension: share for dimension, share in found.items() if share is not None}


def tokens(prompt: float | None, generated: float | None) -> str:
    """`1,200 prompt + 300 generated tokens/s`; `?` for what is not measured."""
    shown = ["?" if amount is None else f"{amount:,.0f}" for amount in (prompt, generated)]
    return f"{shown[0]} prompt + {shown[1]} generated tokens/s"


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
        f"{left:,.0f} replica-seconds left in {written(parameters.lead_seconds)}"
    )
    return Step(rule="queue", text=text, replicas=load + left / DRAIN_SECONDS if left else 0.0)


def with_headroom(present_need: Step, queue_need: Step, parameters: PlanParameters) -> Step:
    text = f"present at utilisation {parameters.utilization:g}"
    replicas = max(present_need.replicas / parameters.utilization, queue_need.replicas)
    return Step(rule="headroom", text=text, replicas=replicas)


def ahead(
    outlook: Outlook | None, found: Mapping[Dimension, Share], parameters: PlanParameters
) -> Step:
    """Replicas a lead time ahead: the forecast of work where it earned it, else head-room.

    Requests in flight are not forecast. Half of them may be a queue, and a forecast queue asks for
    slots that its own draining will not need: the step `queue` counts it as work instead.
    """
    headroom = {
        dimension: Step(
            rule="forecast",
            text=f"{share.text} at utilisation {parameters.utilization:g}",
            replicas=share.replicas / parameters.utilization,
        )
        for dimension, share in found.items()
        if dimension is not Dimension.KV_CACHE  # it has its own limit below full
    }
    if outlook is not None and outlook.earned:
        text = (
            f"q{parameters.level:g} in {written(parameters.lead_seconds)}: {outlook.text}, "
            f"skill {outlook.skill:+.0%}"
        )
        headroom[Dimension.WORK] = Step(rule="forecast", text=text, replicas=outlook.replicas)
    elif Dimension.WORK in headroom:
        reactive = headroom[Dimension.WORK]
        text = f"not used, {_why_not(outlook)}; {reactive.text}"
        headroom[Dimension.WORK] = replace(reactive, text=text)
    text = "nothing to forecast from"
    nothing = Step(rule="forecast", text=text, replicas=0.0, measured=False)
    return max(headroom.values(), key=lambda step: step.replicas, default=nothing)


def _why_not(outlook: Outlook | None) -> str:
    if outlook is None or outlook.skill is None:
        return "no evidence yet"
    return f"skill {outlook.skill:+.0%} against the last value"
