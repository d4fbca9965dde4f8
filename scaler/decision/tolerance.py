"""The tolerance of the HPA: what it does not act on, and how a plan gets through all the same.

An HPA leaves the replicas as they are while the wanted number is within 10 % of them, unless its
`behavior` or the cluster's controller manager sets another tolerance (`replica_calculator.go`).
So with 10 replicas it ignores 9 and 11, and with fewer than 10 it ignores nothing.
"""

from collections.abc import Sequence
from math import floor

from scaler.decision.backlog import Order
from scaler.decision.need import Step
from scaler.decision.parameters import PlanParameters
from scaler.durations import format_duration
from scaler.signals import Observation, Signal

DEFAULT_TOLERANCE = 0.1
_FLOAT_ERROR = 1e-9


def tolerated(
    observation: Observation,
    desired: int,
    orders: Sequence[Order],
    present_need: float,
    parameters: PlanParameters,
) -> Step | None:
    """The step that says what an HPA with the default tolerance ignores; None if it acts.

    More replicas are taken for ignored once their order is overdue. Where the present needs more
    than are ready, the least number is handed over that such an HPA acts on.

    Args:
        orders: replicas on their way.
        present_need: replicas that the present keeps busy.
    """
    measured = observation.value(Signal.REPLICAS)
    ready = 0 if measured is None else int(measured)
    ignored = 0 < abs(desired - ready) <= DEFAULT_TOLERANCE * ready + _FLOAT_ERROR
    overdue = [
        order
        for order in orders
        if order.at_seconds < observation.at_seconds - parameters.lead_seconds
    ]
    if not ignored or (desired > ready and not overdue):
        return None
    text = f"{desired} wanted, an HPA with the default tolerance of 10 % keeps {ready}"
    if desired < ready:
        return Step(rule="tolerance", text=text, replicas=desired)
    late = format_duration(observation.at_seconds - overdue[0].at_seconds)
    text = f"{text}: not ready {late} after the order"
    acted_on = min(
        floor(ready * (1 + DEFAULT_TOLERANCE) + _FLOAT_ERROR) + 1, parameters.replicas_max
    )
    if present_need <= ready or acted_on <= desired:
        return Step(rule="tolerance", text=text, replicas=desired)
    text = f"{text}, and {present_need:.1f} are busy now, so {acted_on} are asked for"
    return Step(rule="tolerance", text=text, replicas=acted_on)
