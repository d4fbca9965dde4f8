"""A plan as a reader of the Plans API gets it: the scaler's own records, made from a message.

What the server did not measure is None or missing. Values of enumerations that this program does
not know, because the server is newer, are None too.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from google.protobuf.message import DecodeError, Message

from foresail.plans_api.checks import MalformedPlanError, faults_of
from scaler.decision.answers import Reference
from scaler.decision.capacity import Origin, ReplicaCapacity, Together, Work
from scaler.decision.demand import Demand
from scaler.decision.need import Step
from scaler.decision.objective import Objective
from scaler.decision.parameters import PlanParameters
from scaler.decision.plan import ReplicaPlan
from scaler.decision.replica_forecast import ReplicaForecast
from scaler.errors import ForesailError
from scaler.forecast.record import DemandForecast, Skill
from scaler.forecast.running_maximum import MaximumForecast
from scaler.learning.shadows.account import BookedRule, BooksAccount
from scaler.message_text import limited, listed_faults
from scaler.rpc.foresail.v1 import plans_pb2 as pb
from scaler.signals import Absent, Reading, Stale, Value
from scaler.trigger import Mode

_MODES: Final = {
    pb.MODE_ADVISE: Mode.ADVISE,
    pb.MODE_REACTIVE: Mode.REACTIVE,
    pb.MODE_ACT: Mode.ACT,
}
_TOGETHER: Final = {pb.TOGETHER_SUM: Together.SUM, pb.TOGETHER_LARGER: Together.LARGER}
_ORIGINS: Final = {
    pb.CAPACITY_SOURCE_METADATA: Origin.METADATA,
    pb.CAPACITY_SOURCE_PRESET: Origin.PRIOR,
    pb.CAPACITY_SOURCE_LEARNED: Origin.LEARNED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Why KEDA gets no replicas."""

    code: str
    """`invalid`, `unavailable` or `misconfigured`."""
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedLead:
    """The lead time that a workload's orders show."""

    seconds: float
    evidence: str
    """What it rests on."""
    fixed: bool
    """The trigger fixes another one, which the plan uses."""
    stuck_replicas: int
    """Ordered long ago, and never ready."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The newest plan of one trigger of a ScaledObject, or of a model of the watch list."""

    workload: Reference
    on_watch_list: bool
    """KEDA does not ask about it, and `workload` is not the name of a ScaledObject."""
    model: str | None
    mode: Mode | None
    looked_at_seconds: float | None
    """Unix time of the last look at its metrics, on the server's clock."""
    looked_seconds_ago: float | None
    """When the message was sent; so are the other ages."""
    failure: str | None
    """Why the look read nothing."""
    signals: Mapping[str, Reading]
    demand: Demand | None
    forecasts: Mapping[str, DemandForecast]
    """By series, such as `prompt_tokens`; without the experts' weights."""
    replica_forecast: ReplicaForecast | None
    running_maximum: MaximumForecast | None
    """Of the replicas that it wants."""
    parameters: PlanParameters | None
    plan: ReplicaPlan | None
    """The last one; it may stand no longer."""
    age_seconds: float | None
    """Of the reading behind the plan."""
    valid_for_seconds: float | None
    """How long the plan still stands; None = it stands no longer, or there is none."""
    refused: Refused | None
    asked_seconds_ago: float | None
    """When KEDA last asked about it."""
    objective: Objective | None
    """The limits of latency that it is planned for."""
    learned_lead: LearnedLead | None
    books: BooksAccount | None
    """What the last days would have cost under other settings and rules."""
    received: bytes = field(repr=False, compare=False)
    """The message, with fields that this program does not know; `from_bytes` reads it again."""

    @classmethod
    def from_bytes(cls, received: bytes) -> "Plan":
        """The plan in a message that was stored or passed on.

        Raises:
            ForesailError: the bytes are no such message, or its numbers cannot be used.
        """
        try:
            return plan_of(pb.WorkloadPlan.FromString(received))
        except DecodeError as error:
            raise ForesailError(f"{len(received)} bytes are no plan of a workload") from error


def plan_of(message: pb.WorkloadPlan) -> Plan:
    """The plan in a message.

    Raises:
        MalformedPlanError: its numbers cannot be used.
    """
    mode, largest = _MODES.get(message.mode), _running_maximum(message)
    faults = list(faults_of(message))
    if largest is not None and not largest.well_formed:
        faults.append("running_maximum is no table of ascending quantiles")
    if faults:
        name = limited(f"{message.workload.namespace}/{message.workload.name}")
        raise MalformedPlanError(f"the plan of {name} cannot be used: {listed_faults(faults)}")
    return Plan(
        workload=workload_of(message.workload),
        on_watch_list=message.on_watch_list,
        model=message.model if message.HasField("model") else None,
        mode=mode,
        looked_at_seconds=_number(message, "looked_at_seconds"),
        looked_seconds_ago=_number(message, "looked_seconds_ago"),
        failure=message.failure if message.HasField("failure") else None,
        signals={one.signal: _reading(one) for one in message.signals},
        demand=_demand(message) if message.HasField("demand") else None,
        forecasts={one.series: _forecast(one) for one in message.forecasts},
        replica_forecast=_replica_forecast(message),
        running_maximum=largest,
        parameters=_parameters(message, mode),
        plan=_replica_plan(message.plan) if message.HasField("plan") else None,
        age_seconds=_number(message, "age_seconds"),
        valid_for_seconds=_number(message, "valid_for_seconds"),
        refused=_refused(message),
        asked_seconds_ago=_number(message, "asked_seconds_ago"),
        objective=_objective(message.objective) if message.HasField("objective") else None,
        learned_lead=_learned_lead(message),
        books=_books(message.books) if message.HasField("books") else None,
        received=message.SerializeToString(deterministic=True),
    )


def workload_of(message: pb.Workload) -> Reference:
    return Reference.of(message.namespace, message.name, message.metadata)


def _number(message: Message, name: str) -> float | None:
    value: float | None = getattr(message, name) if message.HasField(name) else None
    return value


def _reading(message: pb.SignalReading) -> Reading:
    if message.HasField("value") and message.HasField("at_seconds"):
        return Value(value=message.value, at_seconds=message.at_seconds)
    if message.state == pb.DATA_STATE_STALE and message.HasField("at_seconds"):
        return Stale(at_seconds=message.at_seconds)
    return Absent(why=message.why or "the server gives no value and no reason")


def _demand(message: pb.WorkloadPlan) -> Demand:
    rates = message.demand
    return Demand(
        at_seconds=message.looked_at_seconds,
        prompt_tokens=_number(rates, "prompt_tokens"),
        generated_tokens=_number(rates, "generated_tokens"),
        requests=_number(rates, "requests"),
        in_flight=_number(rates, "in_flight"),
    )


def _forecast(message: pb.SeriesForecast) -> DemandForecast:
    return DemandForecast(
        signal=message.series,
        made_at_seconds=message.made_at_seconds,
        data_age_seconds=message.data_age_seconds,
        horizons_seconds=tuple(message.horizons_seconds),
        levels=tuple(message.levels),
        quantiles=_rows(message.quantiles),
        last_value=message.last_value,
        skill=tuple(
            Skill(
                horizon_seconds=one.horizon_seconds,
                day=_number(one, "day"),
                week=_number(one, "week"),
                judged=one.judged,
            )
            for one in message.skill
        ),
        experts=(),
    )


def _replica_forecast(message: pb.WorkloadPlan) -> ReplicaForecast | None:
    if not message.HasField("replica_forecast"):
        return None
    forecast = message.replica_forecast
    return ReplicaForecast(
        horizons_seconds=tuple(forecast.horizons_seconds),
        levels=tuple(forecast.levels),
        quantiles=_rows(forecast.quantiles),
    )


def _running_maximum(message: pb.WorkloadPlan) -> MaximumForecast | None:
    if not message.HasField("running_maximum"):
        return None
    forecast = message.running_maximum
    return MaximumForecast(
        made_at_seconds=forecast.made_at_seconds,
        last_value=forecast.last_value,
        windows_seconds=tuple(forecast.windows_seconds),
        levels=tuple(forecast.levels),
        quantiles=_rows(forecast.quantiles),
        reach_values=tuple(forecast.reach_values),
        reach_probabilities=_rows(forecast.reach_probabilities),
    )


def _parameters(message: pb.WorkloadPlan, mode: Mode | None) -> PlanParameters | None:
    together = _TOGETHER.get(message.capacity.together)
    origin = _ORIGINS.get(message.capacity.source)
    if not message.HasField("settings") or mode is None or together is None or origin is None:
        return None
    settings, capacity = message.settings, message.capacity
    return PlanParameters(
        lead_seconds=settings.lead_seconds,
        hold_seconds=settings.hold_seconds,
        level=settings.level,
        utilization=settings.utilization,
        replicas_min=settings.replicas_min,
        replicas_max=settings.replicas_max,
        mode=mode,
        capacity=ReplicaCapacity(
            work=Work(  # a kind of token that is not counted takes no time
                prompt=_number(capacity, "seconds_per_prompt_token") or 0.0,
                generated=_number(capacity, "seconds_per_generated_token") or 0.0,
                together=together,
                origin=origin,
            ),
            requests=capacity.requests,
        ),
    )


def _replica_plan(message: pb.ReplicaPlan) -> ReplicaPlan:
    return ReplicaPlan(
        at_seconds=message.at_seconds,
        desired=message.desired if message.HasField("desired") else None,
        planned=message.planned,
        reactive=message.reactive,
        active=message.active,
        partly_measured=message.partly_measured,
        steps=tuple(
            Step(
                rule=step.rule,
                text=step.text,
                replicas=step.replicas,
                measured=step.figure or step.HasField("replicas"),
                figure=step.figure,
            )
            for step in message.steps
        ),
    )


def _refused(message: pb.WorkloadPlan) -> Refused | None:
    if not message.HasField("refused"):
        return None
    return Refused(code=message.refused.code, message=message.refused.message)


def _objective(message: pb.Objective) -> Objective:
    return Objective(
        ttft_seconds=message.ttft_seconds,
        itl_seconds=message.itl_seconds,
        attainment=message.attainment,
    )


def _learned_lead(message: pb.WorkloadPlan) -> LearnedLead | None:
    if not message.HasField("learned_lead"):
        return None
    learned = message.learned_lead
    return LearnedLead(
        seconds=learned.seconds,
        evidence=learned.evidence,
        fixed=learned.fixed,
        stuck_replicas=learned.stuck_replicas,
    )


def _books(message: pb.Books) -> BooksAccount:
    return BooksAccount(
        days=message.days,
        rules=tuple(
            BookedRule(
                rule=one.rule,
                text=one.text,
                in_force=one.in_force,
                gpu_hours=_number(one, "gpu_hours"),
                late=_number(one, "late"),
            )
            for one in message.rules
        ),
        gpu_hours=_number(message, "gpu_hours"),
        late=_number(message, "late"),
        modelled_late=_number(message, "modelled_late"),
        chooses=message.chooses,
        why=message.why,
    )


def _rows(rows: Iterable[pb.Row]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row.values) for row in rows)
