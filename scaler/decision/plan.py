"""Replicas from demand: what is needed now, what the forecast adds, what limits and holds.

`decide` is a function of its arguments. Every rule that shaped the result leaves a `Step`, and
those steps are the explanation in logs, `/explain` and the console, which derive nothing again.

In order:
1. present: demand now ÷ what a replica serves, the largest of the dimensions. Requests that run are
   one of them, so no replica goes whose streams the others cannot take;
2. queue: the backlog that will be left a lead time from now, drained within `DRAIN_SECONDS`, with
   every replica on its way counted once;
3. forecast: the cheapest schedule over the horizon (`scaler.decision.schedule`), or with `quantile`
   that quantile at the lead time, weighted by the forecast's skill, and for the rest of the weight
   the present ÷ the trigger's utilization;
4. burst: while a queue stands nothing is released;
5. unmeasured: with a part of the signals missing, never below the last plan, and without one (a
   first look, a restart) never below the replicas that are ready;
6. hold: never below what was needed within the hold time, where it was given or the forecast does
   not count in full; else the schedule keeps what the forecast wants back;
7. bounds;
8. mode: the plan in `act`, the reactive need in `reactive`, nothing in `advise`;
9. tolerance: what an HPA does not act on, and one replica beyond its tolerance where the present
   needs more replicas than are ready.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import assert_never

from scaler.decision.backlog import Order, outstanding
from scaler.decision.demand import Demand
from scaler.decision.need import Step, ahead, burst, present, queue, shares, with_headroom
from scaler.decision.outlook import Outlook
from scaler.decision.parameters import PlanParameters
from scaler.decision.schedule import IDLE_REPLICAS
from scaler.decision.tolerance import tolerated
from scaler.durations import format_duration
from scaler.message_text import limited
from scaler.signals import ESSENTIAL, Observation, Signal
from scaler.trigger import Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanState:
    """The memory for the next decision."""

    needs: tuple[tuple[float, int], ...] = ()
    """(time, replicas needed) within the hold, without entries that a later one exceeds."""
    orders: tuple[Order, ...] = ()
    handed: int | None = None
    """Replicas last sent to KEDA; None before the first plan, and in advise mode."""
    planned: int | None = None
    """Replicas that the last plan wanted; None before the first one."""

    def moved(self, seconds: float) -> "PlanState":
        """The same state with every time moved by `seconds`."""
        return replace(
            self,
            needs=tuple((at + seconds, replicas) for at, replicas in self.needs),
            orders=tuple(
                replace(order, at_seconds=order.at_seconds + seconds) for order in self.orders
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaPlan:
    """A decision and the steps that shaped it."""

    at_seconds: float
    desired: int | None
    """Replicas to send to KEDA; None in advise mode."""
    planned: int
    """Replicas the full plan wants, whatever the mode."""
    reactive: int
    """Replicas that the present alone needs, with head-room, within bounds."""
    active: bool
    """Whether the workload must not be at zero."""
    partly_measured: bool
    """Whether a signal the plan rests on was not measured."""
    steps: tuple[Step, ...] = field(repr=False)


def decidable(observation: Observation, state: PlanState) -> bool:
    """Whether `decide` has a floor: the last plan, the ready replicas, or every signal measured.

    Without a floor a partly measured first look would shrink a fleet to the part it measured.
    """
    return (
        state.planned is not None
        or observation.value(Signal.REPLICAS) is not None
        or not _unmeasured(observation)
    )


def decide(
    observation: Observation,
    demand: Demand,
    outlook: Outlook | None,
    parameters: PlanParameters,
    state: PlanState,
    *,
    given_up: int = 0,
) -> tuple[ReplicaPlan, PlanState]:
    """The plan at `observation.at_seconds`, and the state for the next one.

    Only for what is `decidable`.

    Args:
        given_up: replicas that were ordered long ago and are not expected any more.
    """
    now = observation.at_seconds
    orders = _orders(observation, state, given_up)
    found = shares(demand, observation, parameters.capacity)
    now_need = present(found)
    queue_need = queue(observation, demand, now_need.replicas, orders, parameters)
    reactive = with_headroom(now_need, queue_need, parameters)
    supply = _floor(observation, state.planned)[0]
    ahead_need = ahead(outlook, found, parameters, supply=supply)
    steps = [now_need, queue_need, ahead_need]
    waits = burst(observation, demand, supply)
    steps += [] if waits is None else [waits]
    counted = steps if parameters.floor else [ahead_need]
    needed = whole(max(step.replicas for step in counted))
    partly_measured = _unmeasured(observation)
    if partly_measured:
        floor, named = _floor(observation, state.planned)
        needed = max(needed, floor)
        why = observation.unmeasured(partly_measured, now_seconds=now)
        text = limited(f"not below {named}, because not measured: {why}")
        steps.append(Step(rule="unmeasured", text=text, replicas=needed))
    before = _running_before(observation) if state.planned is None else state.needs
    # What is held is bounded too: a need that nothing can meet must not outlive its hold.
    within = min(needed, parameters.replicas_max)
    newest = (now, within) if _holds(outlook, parameters) else (now, 0)
    needs = _needs(before, newest, since=now - parameters.hold_seconds)
    held = _held(needs, now)
    steps += [held] if held.replicas > within else []
    planned, bound = _bounded(max(int(held.replicas), needed), parameters)
    steps += bound
    reactive_bounded, _ = _bounded(whole(reactive.replicas), parameters)
    least = _floor(observation, state.handed)[0] if partly_measured else 0
    desired = _handed_over(parameters.mode, planned, reactive_bounded, least=least)
    steps += _mode_step(parameters.mode, planned, desired)
    if desired is not None:
        acted = tolerated(observation, desired, orders, now_need.replicas, parameters)
        steps += [] if acted is None else [acted]
        desired = desired if acted is None else int(acted.replicas)
    plan = ReplicaPlan(
        at_seconds=now,
        desired=desired,
        planned=planned,
        reactive=reactive_bounded,
        active=bool(desired) or bool(demand.in_flight),
        partly_measured=bool(partly_measured),
        steps=tuple(steps),
    )
    return plan, PlanState(
        needs=needs,
        orders=_ordered(orders, desired, state.handed, now),
        handed=desired,
        planned=planned,
    )


def _holds(outlook: Outlook | None, parameters: PlanParameters) -> bool:
    """Whether lower need must last: a schedule that counts in full needs no hold."""
    return parameters.hold_given or outlook is None or outlook.need is None or outlook.weight < 1


def _unmeasured(observation: Observation) -> list[Signal]:
    return [signal for signal in ESSENTIAL if observation.value(signal) is None]


def _floor(observation: Observation, last: int | None) -> tuple[int, str]:
    """The replicas that a partly measured look must not go below, and their name."""
    if last is not None:
        return last, "the last plan"
    ready = observation.value(Signal.REPLICAS)
    return 0 if ready is None else int(ready), "the ready replicas"


def _handed_over(mode: Mode, planned: int, reactive: int, *, least: int) -> int | None:
    """Replicas for KEDA; unmeasured demand must not shrink a workload in reactive mode either."""
    match mode:
        case Mode.ACT:
            return planned
        case Mode.REACTIVE:
            return max(reactive, least)
        case Mode.ADVISE:
            return None
        case _:
            assert_never(mode)


def _mode_step(mode: Mode, planned: int, desired: int | None) -> list[Step]:
    if mode is Mode.ACT:
        return []
    if desired is None:
        text = f"{mode}: no replicas are sent to KEDA"
        return [Step(rule="mode", text=text, replicas=planned)]
    text = f"{mode}: the plan is {planned}; KEDA gets the need of the present"
    return [Step(rule="mode", text=text, replicas=desired)]


def _needs(
    needs: Sequence[tuple[float, int]], newest: tuple[float, int], *, since: float
) -> tuple[tuple[float, int], ...]:
    """The hold's sliding maximum: entries that a later, larger one hides are dropped.

    The monotonic queue of D. Lemire, Streaming maximum-minimum filter (2006).
    """
    kept = [need for need in needs if need[0] > since and need[1] > newest[1]]
    return (*kept, newest)


def _running_before(observation: Observation) -> tuple[tuple[float, int], ...]:
    """The replicas that run at the first look count as needed just before it.

    Most likely Foresail asked for them before its restart, with more of the past than this look
    has. They stay for one hold.
    """
    ready = observation.value(Signal.REPLICAS)
    return () if ready is None else ((observation.at_seconds, int(ready)),)


def _held(needs: Sequence[tuple[float, int]], now: float) -> Step:
    at, replicas = needs[0]
    text = f"{replicas} were needed {format_duration(now - at)} ago"
    return Step(rule="hold", text=text, replicas=replicas)


def _bounded(replicas: int, parameters: PlanParameters) -> tuple[int, list[Step]]:
    low, high = parameters.replicas_min, parameters.replicas_max
    bounded = min(max(replicas, low), high)
    if bounded == replicas:
        return bounded, []
    name, edge = (
        (parameters.replicas_min_name, low)
        if replicas < low
        else (parameters.replicas_max_name, high)
    )
    text = f"{replicas} wanted, {name} is {edge}"
    return bounded, [Step(rule="bounds", text=text, replicas=bounded)]


def _orders(observation: Observation, state: PlanState, given_up: int) -> tuple[Order, ...]:
    ready = observation.value(Signal.REPLICAS)
    if ready is None or state.handed is None:
        return state.orders
    return outstanding(state.orders, pending=max(0, state.handed - int(ready) - given_up))


def _ordered(
    orders: tuple[Order, ...], desired: int | None, handed: int | None, now: float
) -> tuple[Order, ...]:
    if desired is None:
        return ()  # KEDA gets no replicas, so none are on their way
    if handed is None or desired <= handed:
        return orders
    return (*orders, Order(at_seconds=now, replicas=desired - handed))


def whole(replicas: float) -> int:
    """Replicas that a need asks for; of one that counts as zero, none."""
    return 0 if replicas < IDLE_REPLICAS else math.ceil(replicas - 1e-9)
