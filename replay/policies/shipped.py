"""Foresail as it ships: its demand, forecast, gate, plan and hold, behind KEDA and the HPA."""

from copy import deepcopy
from functools import lru_cache
from typing import assert_never

from replay import trigger
from replay.keda import ScaledObject
from replay.policies.keda_driven import KedaDriven
from replay.policies.port import PolicyKind, Seen
from replay.replay_input import ReplayInput
from scaler.assembly import Assembly, assemble
from scaler.decision.answers import Answer, Reference, Refusal
from scaler.decision.tracker import DemandSeries, DemandTracker, PollResult
from scaler.evaluate import CycleState, WorkloadPlan, evaluate
from scaler.forecast.trees import Trees
from scaler.signals import Observation, Signal, Value
from scaler.sources.catalogue import load
from scaler.trigger import LATE_MINUTE_COST, AllowedOptions, TriggerSpec, parse

STEP_SECONDS = 60.0
_ANSWER_SECONDS_MAX = 300.0
_ALLOWED = AllowedOptions(
    engines={"vllm": False}, sources=frozenset({"replay"}), default_source="replay"
)


class Shipped:
    """The scaler's own path from an observation to an answer, without its server."""

    def __init__(self, replay_input: ReplayInput, late_minute_cost: float) -> None:
        trigger_spec = _trigger_spec(replay_input, late_minute_cost)
        self._reference = Reference.of("replay", "shipped", {})
        self._parameters = _assembled(trigger_spec).parameters
        # Restoring the past is half of a run, and the same for every knob.
        self._tracker = deepcopy(_restored(replay_input))
        self._cycle_state = CycleState.unread(0.0)
        self._plan: WorkloadPlan | None = None
        self._lead_seconds = trigger_spec.lead_time
        self._start = _start_seconds(replay_input)

    def metric(self, seen: Seen) -> tuple[float, float]:
        """Desired replicas, target 1."""
        poll = _poll_of(
            self._start + seen.at_seconds,
            {
                Signal.PROMPT_TOKENS: seen.prompt_tokens_per_second,
                Signal.GENERATED_TOKENS: seen.output_tokens_per_second,
                Signal.REQUESTS: seen.finished_per_second,
                Signal.RUNNING: seen.running,
                Signal.WAITING: seen.waiting,
                Signal.KV_USE: seen.kv_use_ratio,
                Signal.REPLICAS: float(seen.ready),
            },
        )
        self._tracker.take(poll)
        self._plan, self._cycle_state = evaluate(
            self._reference,
            poll,
            self._tracker,
            self._parameters,
            self._cycle_state,
            now_seconds=poll.at_seconds,
            answer_seconds_max=_ANSWER_SECONDS_MAX,
        )
        outcome = self._plan.timed.outcome
        match outcome:
            case Answer(replicas=replicas):
                return float(replicas), 1.0
            case Refusal(message=message):
                raise ValueError(f"the rule refuses a whole observation: {message}")
            case _:
                assert_never(outcome)

    def why(self) -> str:
        """The steps of the last plan, one a line."""
        plan = self._plan.replica_plan if self._plan else None
        return (
            "\n".join(f"{step.rule}: {step.text} → {step.replicas:.3g}" for step in plan.steps)
            if plan
            else ""
        )

    def forecast_ahead(self) -> tuple[float, float] | None:
        """Median and planned-for quantile of prompt tokens a second at the lead time."""
        forecast = self._plan.forecasts.get(DemandSeries.PROMPT_TOKENS) if self._plan else None
        if forecast is None:
            return None
        median, planned = (
            forecast.at(horizon_seconds=self._lead_seconds, level=level)
            for level in (0.5, self._parameters.level)
        )
        return median, planned


def _trigger_spec(replay_input: ReplayInput, late_minute_cost: float) -> TriggerSpec:
    """The trigger that an operator would write for this platform."""
    platform = replay_input.platform
    metadata = trigger.metadata_of(
        platform.profile,
        replay_input.mix,
        platform.objective,
        lead_seconds=replay_input.start_up_seconds * 1.15,
        replicas=(platform.replicas_min, platform.replicas_max),
    )
    return parse({**metadata, "lateMinuteCost": f"{late_minute_cost:g}"}, _ALLOWED)


def _assembled(trigger_spec: TriggerSpec, prior: Trees | None = None) -> Assembly:
    return assemble(trigger_spec, load("vllm"), step_seconds=STEP_SECONDS, trees=prior)


def _start_seconds(replay_input: ReplayInput) -> float:
    """Time 0 of a forecast is a midnight; a past begins at one."""
    return len(replay_input.past.at_seconds) * STEP_SECONDS


@lru_cache(maxsize=1)
def _restored(replay_input: ReplayInput) -> DemandTracker:
    """A tracker that has taken the past, as after a range query at start."""
    # The forecast does not depend on the cost that is planned with.
    trigger_spec = _trigger_spec(replay_input, LATE_MINUTE_COST)
    tracker = _assembled(trigger_spec, replay_input.prior).make_tracker()
    past = replay_input.past
    for at, prompt, output, requests in zip(
        (past.at_seconds + _start_seconds(replay_input) - STEP_SECONDS).tolist(),
        past.prompt_tokens_per_second.tolist(),
        past.generated_tokens_per_second.tolist(),
        past.requests_per_second.tolist(),
        strict=True,
    ):
        amounts = {
            Signal.PROMPT_TOKENS: prompt,
            Signal.GENERATED_TOKENS: output,
            Signal.REQUESTS: requests,
            # As in the demo: twice the light-load pace, by Little's law, and no queue.
            Signal.RUNNING: output * 2 * replay_input.platform.profile.fixed_seconds,
            Signal.WAITING: 0.0,
        }
        tracker.take(_poll_of(at, amounts))
    return tracker


def _poll_of(at_seconds: float, amounts: dict[Signal, float]) -> PollResult:
    readings = {s: Value(value=a, at_seconds=at_seconds) for s, a in amounts.items()}
    observation = Observation(at_seconds=at_seconds, readings=readings)
    return PollResult(at_seconds=at_seconds, observation=observation)


class Foresail(KedaDriven):
    """The shipped path behind KEDA and the HPA, telling its steps."""

    def __init__(self, replay_input: ReplayInput, late_minute_cost: float) -> None:
        self._shipped = Shipped(replay_input, late_minute_cost)
        scaled = ScaledObject(polling_interval_seconds=15)
        super().__init__(
            self._shipped.metric, replay_input, scaled=scaled, behavior=trigger.BEHAVIOR
        )

    def why(self) -> str:
        return self._shipped.why()

    def forecast_ahead(self) -> tuple[float, float] | None:
        return self._shipped.forecast_ahead()


FORESAIL = PolicyKind(
    name="foresail",
    source="this repository, at its defaults",
    knob="GPU-minutes that a late minute is worth",
    usual=LATE_MINUTE_COST,
    knobs=(2, 5, 10, 20, 40, 100, 300),
    make=Foresail,
)
