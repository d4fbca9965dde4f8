"""The replicas that each shadow needs at one moment.

`plan_needs` is the plan's rule (`scaler.decision.plan`) as arrays over settings, without its bounds
and its hold, which the caller applies. `peoples_needs` are the rules that people use.
"""

from dataclasses import dataclass

import numpy as np

from scaler.decision.need import DRAIN_SECONDS
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
    quantiles: tuple[float, ...] | None
    """Of the work at the lead time, at the levels of the settings; None while not forecast."""
    weight: float
    """The forecast's share of the need, 0 to 1."""
    running: float
    """Requests that run on the real fleet."""
    replica_requests: float
    """That one replica works on at a time."""
    reaches: bool
    """Whether the forecast looks a lead time ahead."""

    @property
    def load(self) -> float:
        return max(self.work, self.slots)


def plan_needs(arrays: SettingArrays, present: Present, queued_after: Floats) -> Floats:
    """Replicas by setting, not rounded.

    Args:
        queued_after: replica-seconds that wait a lead time from now.
    """
    headroom = present.work / arrays.utilization
    ahead = headroom
    if present.quantiles is not None and present.weight > 0:
        quantile = np.array(present.quantiles)[arrays.level_places]
        mixed = present.weight * quantile + (1 - present.weight) * headroom
        if not present.reaches:
            mixed = np.maximum(mixed, headroom)
        ahead = np.where(arrays.forecasts, mixed, headroom)
    draining = np.where(queued_after > 0, present.load + queued_after / DRAIN_SECONDS, 0.0)
    in_slots = present.slots / arrays.utilization
    needs: Floats = np.maximum.reduce(
        [ahead, in_slots, draining, np.full_like(headroom, present.load)]
    )
    return needs


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
