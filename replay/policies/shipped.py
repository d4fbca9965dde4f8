"""Foresail as it ships: its demand, forecast, gate, plan and hold, behind KEDA and the HPA."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from functools import lru_cache, partial
from typing import assert_never

from replay import trigger
from replay.keda import ScaledObject
from replay.policies.keda_driven import KedaDriven
from replay.policies.port import Figures, PolicyKind, Seen
from replay.policies.without import TRACKERS, Part
from replay.replay_input import ReplayInput
from replay.trigger import Overrides
from scaler.assembly import Assembly, assemble
from scaler.decision.answers import Answer, Reference, Refusal
from scaler.decision.series import DemandSeries
from scaler.decision.tracker import DemandTracker, PollResult
from scaler.evaluate import CycleState, WorkloadPlan, evaluate
from scaler.events import Event
from scaler.forecast.trees import Trees
from scaler.learning.estimates import CapacityEstimate
from scaler.serving.shares import Shares
from scaler.signals import LatencyCounts, Observation, Signal, Value
from scaler.sources.catalogue import load
from scaler.trigger import LATE_MINUTE_COST, TriggerSpec
from scaler.trigger_parsing import AllowedOptions, parse

STEP_SECONDS = 60.0
POOL = "shared"
"""The pool that a trigger may name."""
_ANSWER_SECONDS_MAX = 300.0
_RESTORED_KEPT = 8
"""Of inputs that are played side by side, and of leads that are tried in turn."""
_ALLOWED = AllowedOptions(
    engines={"vllm": False},
    sources=frozenset({"replay"}),
    default_source="replay",
    pools=frozenset({POOL}),
)


class Shipped:
    """The scaler's own path from an observation to an answer, without its server."""

    def __init__(
        self,
        replay_input: ReplayInput,
        late_minute_cost: float,
        overrides: Overrides | None = None,
        shares: Shares | None = None,
    ) -> None:
        """Make the rule for one run.

        Args:
            shares: what it has with others, as the trigger's keys say; None = nothing.
        """
        overrides = overrides or Overrides()
        trigger_spec = _trigger_spec(replay_input, late_minute_cost, overrides)
        self._reference = Reference.of("replay", replay_input.name, {})
        self._spec, self._shares = trigger_spec, shares or Shares({})
        self._shares.expect(self._reference, trigger_spec)
        assembly = _assembled(trigger_spec)
        floor = overrides.without is not Part.FLOOR
        self._parameters = replace(assembly.parameters, floor=floor)
        self._engine = assembly.make_engine()
        self._kv_tokens = float(replay_input.platform.profile.kv_tokens_max)
        # Restoring the past is half of a run, and the same for every knob.
        forecast_by = trigger_spec.lead_time, trigger_spec.timezone, trigger_spec.events
        self._tracker = deepcopy(_restored(replay_input, overrides.without, *forecast_by))
        self._cycle_state = CycleState.unread(0.0)
        self._plan: WorkloadPlan | None = None
        self._seen: Seen | None = None
        self._start = _start_seconds(replay_input)

    @property
    def learned(self) -> CapacityEstimate | None:
        """What is known of a replica; None where nothing was learned yet."""
        return self._engine.estimate_for(self._parameters)

    def metric(self, seen: Seen) -> tuple[float, float]:
        """Desired replicas, target 1."""
        self._seen = seen
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
                Signal.KV_CAPACITY: self._kv_tokens,
            },
            {Signal.TTFT: seen.ttft, Signal.ITL: seen.itl},
        )
        self._tracker.take(poll)
        self._engine.take(poll)
        planned = partial(
            evaluate,
            self._reference,
            poll,
            self._tracker,
            cycle_state=self._cycle_state,
            now_seconds=poll.at_seconds,
            answer_seconds_max=_ANSWER_SECONDS_MAX,
            capacity=self.learned,
        )
        self._plan, after = self._shares.plan(
            self._spec,
            planned,
            self._parameters,
            held=self._cycle_state.state.handed,
            capacity=self.learned,
            unasked_seconds=0.0,
        )
        self._cycle_state = after
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
        plan = self._plan
        forecast = plan.forecasts.get(DemandSeries.PROMPT_TOKENS) if plan else None
        if plan is None or forecast is None:
            return None
        median, planned = (
            forecast.at(horizon_seconds=plan.parameters.lead_seconds, level=level)
            for level in (0.5, plan.parameters.level)
        )
        return median, planned

    def figures(self) -> Figures | None:
        """What the last plan took for true, at the mix that it saw."""
        plan, seen = self._plan, self._seen
        if plan is None or seen is None:
            return None
        # What one request a second keeps busy.
        busy = plan.parameters.capacity.work.replicas(seen.prompt_tokens, seen.output_tokens)
        if not busy:
            return None
        return Figures(
            replica_requests_per_second=1 / busy,
            prompt_tokens=seen.prompt_tokens,
            output_tokens=seen.output_tokens,
            lead_seconds=plan.parameters.lead_seconds,
        )


def _trigger_spec(
    replay_input: ReplayInput, late_minute_cost: float, overrides: Overrides
) -> TriggerSpec:
    """The trigger that an operator would write for this platform, with the overrides."""
    platform = replay_input.platform
    metadata = trigger.metadata_of(
        platform.profile,
        replay_input.mix,
        platform.objective,
        lead_seconds=replay_input.start_up_seconds * 1.15,
        replicas=(platform.replicas_min, platform.replicas_max),
    )
    if late_minute_cost != LATE_MINUTE_COST:  # a figure that is given is the one in force
        metadata["lateMinuteCost"] = f"{late_minute_cost:g}"
    return parse(overrides.metadata(metadata), _ALLOWED)


def _assembled(
    trigger_spec: TriggerSpec, prior: Trees | None = None, without: Part | None = None
) -> Assembly:
    kind = DemandTracker if without is None else TRACKERS.get(without, DemandTracker)
    return assemble(trigger_spec, load("vllm"), step_seconds=STEP_SECONDS, trees=prior, kind=kind)


def _start_seconds(replay_input: ReplayInput) -> float:
    """Time 0 of a forecast is a midnight; a past begins at one."""
    return len(replay_input.past.at_seconds) * STEP_SECONDS


@lru_cache(maxsize=_RESTORED_KEPT)
def _restored(
    replay_input: ReplayInput,
    without: Part | None,
    lead_seconds: float,
    timezone: str,
    events: tuple[Event, ...],
) -> DemandTracker:
    """A tracker that has taken the past, as after a range query at start."""
    # The forecast does not depend on the cost that is planned with, nor on the capacity.
    trigger_spec = _trigger_spec(replay_input, LATE_MINUTE_COST, Overrides()).model_copy(
        update={"lead_time": lead_seconds, "timezone": timezone, "events": events}
    )
    tracker = _assembled(trigger_spec, replay_input.prior, without).make_tracker()
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


def _poll_of(
    at_seconds: float,
    amounts: dict[Signal, float],
    latencies: Mapping[Signal, LatencyCounts | None] | None = None,
) -> PollResult:
    observation = Observation(
        at_seconds=at_seconds,
        readings={s: Value(value=a, at_seconds=at_seconds) for s, a in amounts.items()},
        latencies={s: counts for s, counts in (latencies or {}).items() if counts is not None},
    )
    return PollResult(at_seconds=at_seconds, observation=observation)


class Foresail(KedaDriven):
    """The shipped path behind KEDA and the HPA, telling its steps."""

    def __init__(
        self,
        replay_input: ReplayInput,
        late_minute_cost: float,
        overrides: Overrides | None = None,
        shares: Shares | None = None,
    ) -> None:
        self._shipped = Shipped(replay_input, late_minute_cost, overrides, shares)
        scaled = ScaledObject(polling_interval_seconds=15)
        super().__init__(
            self._shipped.metric, replay_input, scaled=scaled, behavior=trigger.BEHAVIOR
        )

    @property
    def learned(self) -> CapacityEstimate | None:
        """What is known of a replica; None where nothing was learned yet."""
        return self._shipped.learned

    def why(self) -> str:
        return self._shipped.why()

    def forecast_ahead(self) -> tuple[float, float] | None:
        return self._shipped.forecast_ahead()

    def figures(self) -> Figures | None:
        return self._shipped.figures()


FORESAIL = PolicyKind(
    name="foresail",
    source="this repository, at its defaults",
    knob="GPU-minutes that a late minute is worth",
    usual=LATE_MINUTE_COST,
    knobs=(2, 5, 10, 15, 25, 40, 100, 300),
    make=Foresail,
)
