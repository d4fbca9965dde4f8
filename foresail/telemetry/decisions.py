"""A plan as a trace shows it: the signals read, the forecast, each rule, and the outcome."""

from collections.abc import Iterator

from foresail.explain.decision_trace import Attributes, DecisionTrace
from scaler.decision.answers import Answer
from scaler.evaluate import WorkloadPlan
from scaler.signals import Value


def decision_trace(plan: WorkloadPlan) -> DecisionTrace:
    reference, made = plan.reference, plan.replica_plan
    attributes: dict[str, str | bool | int | float] = {
        "k8s.namespace.name": reference.namespace,
        "foresail.workload": reference.name,
        "foresail.mode": str(plan.parameters.mode),
        "foresail.lead_time": plan.parameters.lead_seconds,
    }
    model = dict(reference.metadata).get("model")
    if model:
        attributes["gen_ai.request.model"] = model
    if made is not None:
        attributes["foresail.plan.replicas"] = made.planned
        attributes["foresail.plan.reactive"] = made.reactive
        attributes["foresail.plan.partly_measured"] = made.partly_measured
    return DecisionTrace(attributes=attributes, events=tuple(_events(plan)))


def _events(plan: WorkloadPlan) -> Iterator[tuple[str, Attributes]]:
    observation = plan.poll.observation
    if observation is None:
        yield "signals not read", {"foresail.reason": plan.poll.complaint()}
    else:
        now = observation.at_seconds
        yield (
            "signals read",
            {
                f"foresail.signal.{signal}": reading.value
                if isinstance(reading, Value)
                else f"? {observation.why_not(signal, now_seconds=now)}"
                for signal, reading in observation.readings.items()
            },
        )
    lead, level = plan.parameters.lead_seconds, plan.parameters.level
    for series, forecast in plan.forecasts.items():
        if forecast.measured:
            yield (
                "forecast",
                {
                    "foresail.series": str(series),
                    "foresail.horizon": lead,
                    "foresail.quantile": level,
                    "foresail.value": forecast.at(horizon_seconds=lead, level=level),
                    "foresail.last_value": forecast.last_value,
                },
            )
    for step in () if plan.replica_plan is None else plan.replica_plan.steps:
        yield (
            f"rule {step.rule}",
            {
                "foresail.text": step.text,
                "foresail.replicas": step.replicas if step.measured else "?",
            },
        )
    outcome = plan.timed.outcome
    if isinstance(outcome, Answer):
        answered: Attributes = {
            "foresail.replicas": outcome.replicas,
            "foresail.active": outcome.active,
        }
        yield "answer", answered
    else:
        yield "no answer", {"foresail.code": str(outcome.code), "foresail.reason": outcome.message}
