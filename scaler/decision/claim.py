"""A workload's claim on a pool of known size, from what its plan was made of."""

from collections.abc import Mapping
from dataclasses import replace

from scaler.decision.demand import Demand
from scaler.decision.parameters import PlanParameters
from scaler.decision.replica_forecast import replica_forecast
from scaler.decision.scarce import Claim, Share
from scaler.decision.series import DemandSeries
from scaler.forecast.record import DemandForecast


def claim_of(  # noqa: PLR0913 - the plan's parts, and what the operator says, by name
    name: str,
    demand: Demand | None,
    forecasts: Mapping[DemandSeries, DemandForecast],
    parameters: PlanParameters,
    *,
    wanted: int,
    held: int,
    replica_gpus: int = 1,
    priority: float = 1.0,
    namespace: str = "",
) -> Claim:
    """The claim of one workload.

    Where its requests are not measured its late ones cannot be counted: such a workload keeps what
    it has, and gets more only where nobody else wants it.
    """
    work = parameters.capacity.work
    present = requests = None
    if demand is not None:
        present = work.replicas(demand.prompt_tokens, demand.generated_tokens)
        requests = demand.requests
    if present is None or requests is None:
        least = max(parameters.replicas_min, min(held, wanted))
        return Claim(
            name=name, replica_gpus=replica_gpus, least=least, wanted=max(wanted, least),
            held=held, replica_requests=0.0, present=0.0, priority=priority,
            namespace=namespace,
        )  # fmt: skip
    ahead = replica_forecast(forecasts, work)
    levels: tuple[float, ...] = ()
    loads: tuple[float, ...] = ()
    if ahead is not None:
        reaching = (
            row
            for horizon, row in zip(ahead.horizons_seconds, ahead.quantiles, strict=True)
            if horizon >= parameters.lead_seconds
        )
        levels, loads = ahead.levels, next(reaching, ahead.quantiles[-1])
    return Claim(
        name=name,
        replica_gpus=replica_gpus,
        least=parameters.replicas_min,
        wanted=wanted,
        held=held,
        replica_requests=requests / present if present > 0 else 0.0,
        present=present,
        levels=levels,
        loads=loads,
        priority=priority,
        namespace=namespace,
    )


def within(parameters: PlanParameters, share: Share) -> PlanParameters:
    """The parameters of a plan that keeps to its share of a pool."""
    return replace(
        parameters,
        replicas_min=min(parameters.replicas_min, share.replicas),
        replicas_max=share.replicas,
        replicas_max_name="the share of its pool",
    )
