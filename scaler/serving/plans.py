"""Plans a workload from its feed's newest look, notes its state and publishes its outcome."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from scaler.clock import Clock, WallTime
from scaler.decision.answers import Reference, Refusal, RefusalCode, TimedOutcome
from scaler.errors import SourceError
from scaler.evaluate import CycleState, WorkloadPlan, evaluate
from scaler.serving.decision_log import log_change
from scaler.serving.faults import contained
from scaler.serving.feeds import Workload
from scaler.serving.metrics import PlanningMetrics
from scaler.serving.plan_book import PlanChanges
from scaler.serving.shares import Shares
from scaler.serving.state_book import StateBook

Publish = Callable[[Reference, TimedOutcome], None]


class Plans:
    """The step from a poll result to a published outcome."""

    def __init__(  # noqa: PLR0913 - the step's edges, by name
        self,
        *,
        answer_seconds_max: float,
        shares: Shares,
        publish: Publish,
        readers: PlanChanges,
        states: StateBook,
        wall: WallTime,
        steady: Clock,
        metrics: PlanningMetrics,
    ) -> None:
        self._answer_seconds_max = answer_seconds_max
        self._shares = shares
        self._publish = publish
        self._readers = readers
        self._states = states
        self._wall = wall
        self._steady = steady
        self._metrics = metrics

    def plan(self, workload: Workload) -> WorkloadPlan | None:
        """Plan from the newest look; None if there is none yet."""
        live, parameters, spec = workload.live, workload.parameters, workload.trigger_spec
        if live is None or live.looked is None or parameters is None or spec is None:
            return None
        if (
            workload.plan is None
            and workload.cycle_state.plan is not None
            and live.awaits_state(self._steady())
        ):
            return None  # its plan of before stands until the forecast is restored
        poll, looked_at = live.looked
        with contained("workload_not_planned", [workload.reference], self._metrics):
            capacity = live.engine.estimate_for(parameters)
            planned = partial(
                evaluate,
                workload.reference,
                poll,
                live.tracker,
                cycle_state=workload.cycle_state,
                now_seconds=looked_at,
                answer_seconds_max=self._answer_seconds_max,
                capacity=capacity,
                late_anyway=live.engine.late_anyway(parameters.objective),
            )
            plan, after = self._shares.plan(
                spec,
                planned,
                parameters,
                held=workload.cycle_state.state.handed,
                capacity=capacity,
                unasked_seconds=self._steady() - workload.asked_at_seconds,
            )
            workload.plan = plan
            self._continue_from(after, workload)
            self._readers.changed(workload.reference)
            return plan
        return None

    def expect(self, workload: Workload) -> None:
        """Count with a workload that KEDA asks about, before its first look."""
        if workload.trigger_spec is not None:
            self._shares.expect(workload.reference, workload.trigger_spec)

    def forget(self, reference: Reference) -> None:
        """Free what a forgotten workload claimed."""
        self._shares.forget(reference)

    def clock_moved(self, seconds: float) -> None:
        """Continue after the wall clock was set."""
        self._shares.clock_moved(seconds)

    def refuse(self, workload: Workload, error: SourceError) -> None:
        """Refuse a trigger spec that its source cannot serve."""
        now = self._steady()
        refused = TimedOutcome(
            outcome=Refusal(code=RefusalCode.MISCONFIGURED, message=str(error)),
            read_at_seconds=now,
            valid_until_seconds=now + self._answer_seconds_max,
        )
        before = workload.cycle_state
        timed = before.timed.followed_by(refused, now)
        self._continue_from(replace(before, timed=timed), workload)
        self._readers.changed(workload.reference)

    def _continue_from(self, after: CycleState, workload: Workload) -> None:
        before, workload.cycle_state = workload.cycle_state, after
        if not workload.on_watch_list:  # a state would make it an object that KEDA asked about
            asked_seconds_ago = self._steady() - workload.asked_at_seconds
            asked_at = self._wall.now() - asked_seconds_ago
            # Before publishing, which sends the noted state along.
            self._states.note(workload.state(asked_at_seconds=asked_at))
        if after.timed is not before.timed:
            log_change(workload.reference, before, after)
            self._publish(workload.reference, after.timed)
