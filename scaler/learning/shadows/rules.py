"""The replicas that each shadow needs at one moment.

`plan_needs` is the plan's rule (`scaler.decision.plan`) as arrays over settings, without its bounds
and its hold, which the caller applies where `holds` says so. `peoples_needs` are the rules that
people use.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaler.decision.need import BURST_WAIT_SECONDS, DRAIN_SECONDS
from scaler.decision.outlook import Outlook
from scaler.decision.schedule import cheapest_of_each
from scaler.learning.shadows.settings import Floats, SettingArrays

_TARGET = 0.7
"""Share of a replica's requests at its capacity that the HPA's and knative's guides plan with."""
_WAITING_TARGET = 5.0
_TOLERANCE = 0.1
"""The HPA's default."""
_SLOWER = 0.6
"""An iteration at the load where queues begin takes about three times as long as an idle one."""
_PRESSURE_MAX = 1.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """What is measured and forecast at the moment of a decision, in replicas."""

    work: float
    """That tokens keep busy."""
    slots: float
    """That requests running fill."""
    outlook: Outlook | None
    """The forecast of the work; None while there is none."""
    lead_seconds: float
    running: float
    """Requests that run on the real fleet."""
    replica_requests: float
    """That one replica works on at a time."""

    @property
    def load(self) -> float:
        return max(self.work, self.slots)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SettingFleets:
    """The fleets of the settings at the moment of a decision."""

    supply: Floats
    """Replicas that are ready or on their way, by setting."""
    queued: Floats
    """Replica-seconds of work that wait, by setting."""


def plan_needs(
    arrays: SettingArrays, present: Present, fleet: SettingFleets, *, queued_after: Floats
) -> Floats:
    """Replicas by setting, not rounded.

    Args:
        queued_after: replica-seconds that wait a lead time from now.
    """
    headroom = present.work / arrays.utilization
    ahead, outlook = headroom, present.outlook
    if outlook is not None and outlook.weight > 0:
        wanted = _wanted(arrays, outlook, fleet.supply, present.lead_seconds)
        mixed = outlook.weight * wanted + (1 - outlook.weight) * headroom
        if outlook.reach_seconds < present.lead_seconds:
            mixed = np.maximum(mixed, headroom)
        ahead = np.where(arrays.forecasts, mixed, headroom)
    draining = np.where(queued_after > 0, present.load + queued_after / DRAIN_SECONDS, 0.0)
    burst = np.where(fleet.queued > present.load * BURST_WAIT_SECONDS, fleet.supply, 0.0)
    in_slots = present.slots / arrays.utilization
    needs: Floats = np.maximum.reduce(
        [ahead, in_slots, draining, burst, np.full_like(headroom, present.load)]
    )
    return needs


def _wanted(arrays: SettingArrays, outlook: Outlook, supply: Floats, lead_seconds: float) -> Floats:
    """Replicas that the forecast alone wants, by setting."""
    wanted = np.full(len(arrays.settings), outlook.replicas)
    if outlook.need is not None and len(arrays.by_cost):
        schedules = cheapest_of_each(
            outlook.need,
            supplies=supply[arrays.by_cost].astype(int).tolist(),
            lead_seconds=lead_seconds,
            late_minute_costs=arrays.late_minute_costs,
        )
        wanted[arrays.by_cost] = [schedule.replicas for schedule in schedules]
    return wanted


def holds(arrays: SettingArrays, outlook: Outlook | None, *, given: bool) -> NDArray[np.bool_]:
    """By setting, whether a lower need must last for the hold.

    Args:
        given: whether the hold counts beside a forecast that counts in full.
    """
    found = np.ones(len(arrays.settings), np.bool_)
    if outlook is not None and outlook.need is not None and outlook.weight >= 1:
        found[arrays.by_cost] = given
    return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class InFlight:
    """Requests in flight with the rules that people use."""

    total: Floats
    """Running or waiting, by rule."""
    at_capacity: float
    """Of one replica: what a load test of it reads."""


def in_flight(present: Present, real_ready: float, ready: Floats, waiting: Floats) -> InFlight:
    """Requests in flight, from those that run on the real fleet.

    Streams slow each other down: by Little's law as many more run as they last longer. An iteration
    takes 1 ÷ (1 − `_SLOWER` × load ÷ capacity) of an idle one's time.

    Args:
        real_ready: replicas of the real fleet.
        ready: replicas by rule.
        waiting: requests that wait, by rule.
    """
    unstretched = present.running / _stretch(present.load / max(real_ready, 1e-3))
    running = unstretched * _stretch(present.load / np.maximum(ready, 1e-3))
    at_capacity = float(unstretched * _stretch(1.0)) / max(present.load, 1e-3)
    return InFlight(
        total=np.minimum(running, ready * present.replica_requests) + waiting,
        at_capacity=min(max(at_capacity, 1.0), present.replica_requests),
    )


def _stretch(pressure: Floats | float) -> Floats:
    return np.asarray(1 / (1 - _SLOWER * np.minimum(pressure, _PRESSURE_MAX)))


def peoples_needs(flight: InFlight, waiting: Floats, wanted: Floats, *, fixed: float) -> Floats:
    """Replicas by rule, in the order of `PEOPLES`, not rounded.

    Args:
        waiting: requests that wait, by rule.
        wanted: what each rule wants so far.
    """
    target = _TARGET * flight.at_capacity
    hpa = float(flight.total[0]) / target
    keda = float(waiting[1]) / _WAITING_TARGET
    kept = [
        now if now > 0 and abs(asked / now - 1) <= _TOLERANCE else asked
        for asked, now in ((hpa, float(wanted[0])), (keda, float(wanted[1])))
    ]
    return np.array([*kept, float(flight.total[2]) / target, fixed])
