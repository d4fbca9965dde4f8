"""What shadows take from one look: the load, the real fleet, and how much was late."""

from dataclasses import dataclass
from statistics import NormalDist

from scaler.decision.demand import Demand
from scaler.decision.need import Dimension, shares
from scaler.decision.parameters import PART_OF_MODEL, PlanParameters
from scaler.decision.plan import ReplicaPlan
from scaler.signals import Observation, Signal
from scaler.trigger import Phase

_DRAIN_SECONDS_MAX = 300.0
_PACES_SPREAD = 0.12
"""Deviation of the requests' paces from their mean over a look's minute, as a share of the limit.

Load moves within a minute, and replicas differ. A mean of 80 to 85 % of the limit had more than a
tenth of the requests beyond it on generated days.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowedLook:
    """One look, with a load; None elsewhere means not measured."""

    at_seconds: float
    work: float
    """Replicas that the tokens keep busy."""
    slots: float
    """Replicas whose slots the running requests fill."""
    running: float
    requests: float | None
    """Per second."""
    residence_seconds: float
    """How long a request stays, waiting included: a released replica costs for so long."""
    ready: float | None
    paid: float | None
    """Real replicas, those that start included."""
    planned: int
    late: float | None
    late_anyway: float = 0.0
    """Of `late`, what is late with any number of replicas."""
    can_grow: bool = True
    """Whether more replicas could come: not where all serve that there may be, nor while none of
    those ordered comes."""

    @property
    def load(self) -> float:
        return max(self.work, self.slots)


def look_of(
    observation: Observation,
    demand: Demand,
    plan: ReplicaPlan,
    parameters: PlanParameters,
    *,
    late_anyway: float = 0.0,
    none_comes: bool = False,
) -> ShadowedLook | None:
    """The look for shadows; None where its load is not measured in full.

    Args:
        late_anyway: share of requests that is late with any number of replicas.
        none_comes: whether orders are stuck, and none came since.
    """
    found = shares(demand, observation, parameters.capacity)
    running = observation.value(Signal.RUNNING)
    if plan.partly_measured or Dimension.WORK not in found or running is None:
        return None
    ready, in_flight, requests = (
        observation.value(Signal.REPLICAS),
        demand.in_flight,
        demand.requests,
    )
    known = in_flight is not None and requests is not None and requests > 0
    residence = in_flight / requests if known else 0.0  # type: ignore[operator]
    ordered = plan.desired or 0
    return ShadowedLook(
        at_seconds=observation.at_seconds,
        work=found[Dimension.WORK].replicas,
        slots=found[Dimension.IN_FLIGHT].replicas,
        running=running,
        requests=requests,
        residence_seconds=min(residence, _DRAIN_SECONDS_MAX),
        ready=ready,
        paid=None if ready is None else max(ready, ordered),
        planned=plan.planned,
        late=late_share(observation, parameters),
        late_anyway=late_anyway,
        can_grow=not none_comes and not _is_at_most(ready, parameters),
    )


def _is_at_most(ready: float | None, parameters: PlanParameters) -> bool:
    """Whether all replicas serve that there may be.

    A variant's own maximum is its part of the model, which may grow.
    """
    part = parameters.replicas_max_name == PART_OF_MODEL
    return not part and ready is not None and ready >= parameters.replicas_max


def late_share(observation: Observation, parameters: PlanParameters) -> float | None:
    """The share of requests that are late now; None where neither latency nor queue is measured.

    By the engine's histograms where they are read. A histogram of the time between tokens counts
    tokens, not requests: a prompt makes single gaps long at any load. So its mean counts, and the
    paces of the requests lie around it. Without histograms the queue decides: its last request is
    late if it waits for longer than the first token may take. Of a decode engine the pace alone
    counts: its time to the first token has the transfer of the cache in it.
    """
    objective = parameters.objective
    itl = observation.latencies.get(Signal.ITL)
    mean = None if itl is None else itl.mean_seconds
    pace = None if mean is None else _late_by_pace(mean / objective.itl_seconds)
    ttft = observation.latencies.get(Signal.TTFT)
    first = None if ttft is None else ttft.share_above(objective.ttft_seconds)
    if parameters.phase is Phase.DECODE:
        first = pace
    if first is None:
        return _by_queue(observation, objective.ttft_seconds)
    return first if pace is None else max(first, pace)


def _late_by_pace(mean: float) -> float:
    """The share of requests beyond the limit, from their mean over it."""
    return NormalDist().cdf((mean - 1) / _PACES_SPREAD)


def _by_queue(observation: Observation, ttft_seconds: float) -> float | None:
    waiting = observation.value(Signal.WAITING)
    requests = observation.value(Signal.REQUESTS)
    if not waiting:
        return waiting  # 0, or not measured
    return None if requests is None else float(waiting > requests * ttft_seconds)
