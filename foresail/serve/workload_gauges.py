"""The gauges of the workloads, in the order in which they are exported."""

from typing import Final

from foresail.serve.gauges import Gauge

OBJECTS: Final = Gauge("foresail_objects", "Triggers that KEDA has asked about.", of_workload=False)
DESIRED: Final = Gauge(
    "foresail_desired_replicas", "Replicas handed to KEDA; no sample in mode advise."
)
PLANNED: Final = Gauge(
    "foresail_planned_replicas",
    "Replicas that the full plan wants; no sample once the plan is too old.",
)
REACTIVE: Final = Gauge(
    "foresail_reactive_replicas",
    "Replicas that the present demand needs, without the forecast.",
)
ANSWERING: Final = Gauge(
    "foresail_answering", "1 while KEDA gets the mode's answer, 0 while it gets an error."
)
AGE: Final = Gauge(
    "foresail_reading_age_seconds",
    "Age of the reading behind the answer; in mode advise, behind the plan.",
)
ASKED: Final = Gauge(
    "foresail_asked_age_seconds",
    "Time since KEDA last asked; it grows while a ScaledObject is paused.",
)
LEAD: Final = Gauge(
    "foresail_learned_lead_seconds",
    "Lead time learned from the workload's own orders; no sample before the first.",
)
TIER: Final = Gauge(
    "foresail_start_tier_seconds",
    "Median start-up time of each tier, the fastest first; one where starts differ little.",
    ("tier",),
)
STUCK: Final = Gauge(
    "foresail_stuck_replicas",
    "Replicas that were ordered half an hour ago or more and never became ready.",
)
SIGNAL: Final = Gauge(
    "foresail_signal_state",
    "1 for the state that a signal is in: value, zero, stale or absent.",
    ("signal", "state"),
)
READING: Final = Gauge(
    "foresail_reading",
    "The engines' measurement, in the signal's unit; no sample where nothing was measured.",
    ("signal",),
)
OBJECTIVE: Final = Gauge(
    "foresail_objective_seconds", "The latency objective of the trigger.", ("signal",)
)
DEMAND: Final = Gauge(
    "foresail_demand",
    "Demand now, by dimension; no sample while it cannot be read.",
    ("dimension",),
)
FORECAST: Final = Gauge(
    "foresail_forecast_demand",
    "Forecast demand by dimension, horizon and quantile; none of what was never measured.",
    ("dimension", "horizon_seconds", "quantile"),
)
SKILL: Final = Gauge(
    "foresail_forecast_skill_ratio",
    "Skill of the last day: 1 - loss / loss of 'the same as now'; below 0 it is worse.",
    ("dimension", "horizon_seconds"),
)
BOOKS_HOURS: Final = Gauge(
    "foresail_books_replica_hours",
    "Replica-hours of the last days by rule: actual is what ran, the others are a model's.",
    ("rule",),
)
BOOKS_LATE: Final = Gauge(
    "foresail_books_late_ratio",
    "Share of the last days' work that was late, by rule; actual is measured.",
    ("rule",),
)
MODEL_HOLDS: Final = Gauge(
    "foresail_shadows_model_holds",
    "1 while the model behind the books agrees with the real fleet; 0 while it does "
    "not, and no setting is chosen; no sample while that is not known.",
)
GAUGES: Final = (
    OBJECTS,
    DESIRED,
    PLANNED,
    REACTIVE,
    ANSWERING,
    AGE,
    ASKED,
    LEAD,
    TIER,
    STUCK,
    SIGNAL,
    READING,
    OBJECTIVE,
    DEMAND,
    FORECAST,
    SKILL,
    BOOKS_HOURS,
    BOOKS_LATE,
    MODEL_HOLDS,
)
