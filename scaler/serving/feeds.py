"""The records of the planning cycle: each feed with its tracker, and the workloads that read it."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from scaler.assembly import Assembly
from scaler.decision.answers import Answer, Reference
from scaler.decision.capacity import ReplicaCapacity
from scaler.decision.parameters import PlanParameters
from scaler.decision.plan import PlanState
from scaler.decision.served_rates import ServedRates
from scaler.decision.tracker import DemandTracker, PollResult
from scaler.evaluate import CycleState, WorkloadPlan, answer_of
from scaler.feed_key import FeedKey
from scaler.learning import engine_bytes, lead_bytes
from scaler.learning.engine import EngineLearner
from scaler.learning.lead import LeadRecord
from scaler.learning.shadows import record_bytes
from scaler.learning.shadows.record import Shadows
from scaler.serving.history import PastReading
from scaler.signals import Feed, FeedGroup, LoneGroup
from scaler.state.records import FeedState, Learned, WorkloadState
from scaler.trigger import TriggerSpec

log = structlog.get_logger()

Carried = tuple[Mapping[str, Learned], bytes]
"""Parts of a read state to pass on: learned figures, and fields that a newer program wrote."""
NOTHING_CARRIED: Carried = ({}, b"")
ENGINE = "engine"
"""The name under which a feed's state has what was learned of its engine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """The feed that a trigger spec resolves to, and the assembly that plans its workload."""

    key: FeedKey
    """Equal for triggers that read the same series the same way."""
    source: str
    """The source whose slots and time-outs its looks share."""
    feed: Feed
    assembly: Assembly
    group: FeedGroup = field(default_factory=LoneGroup)
    """With which the feed can be read together."""


@dataclass(slots=True, eq=False)
class LiveFeed:
    """A feed that is read, its tracker, and the workloads that read it."""

    key: FeedKey
    source: str
    feed: Feed
    tracker: DemandTracker
    engine: EngineLearner
    group: FeedGroup = field(default_factory=LoneGroup)
    rates: ServedRates = field(default_factory=ServedRates)
    key_text: str = field(init=False)
    """The key as text, for states in files and messages."""
    workloads: dict[Reference, "Workload"] = field(default_factory=dict)
    due_at_seconds: float = 0.0
    """The moment of the next look, in Unix time."""
    in_flight: bool = False
    """Whether a look is under way; a feed has one at most."""
    reading: bool = False
    """Whether the look has its slot, or has had it."""
    is_late: bool = False
    """Whether the next moment came after that: its look begins when this one ends."""
    looked: tuple[PollResult, float] | None = None
    """The newest poll result, and the time of its look on the monotonic clock."""
    past: PastReading | None = None
    """The part of the past read so far; None before the first attempt and after the last."""
    since_restore: list[PollResult] | None = None
    """Poll results that came while the past is read, to be added after it; None otherwise."""

    awaits_state_until: float | None = None
    """Until this time on the monotonic clock the feed gets no looks and earlier plans stand, while
    its state is fetched; None if it does not wait."""
    state_fetched: bool = False
    """Whether its state was fetched, or given up."""
    resumed: bool = False
    """Whether the tracker resumed from a state."""
    has_past: bool = False
    """Whether the tracker holds a past, from a state or from the source, that is worth keeping."""
    carried: Carried = NOTHING_CARRIED
    _waiting: set["asyncio.Task[Any]"] = field(default_factory=set)
    """Tasks of the feed alone that wait for their turn or their time."""

    def __post_init__(self) -> None:
        self.key_text = self.key.encoded()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """The current task waits in this block, and is cancelled in it if the feed ends.

        An edited trigger ends its feed, and edits have no end. A read that has begun is not ended
        so: its thread would go on without the slot.
        """
        task = asyncio.current_task()
        assert task is not None
        self._waiting.add(task)
        try:
            yield
        finally:
            self._waiting.discard(task)

    def end(self) -> None:
        """Nobody reads the feed any more."""
        for task in self._waiting:
            task.cancel()

    def asked_at_seconds(self) -> float:
        """When KEDA last asked about one of its workloads, on the monotonic clock."""
        times = (workload.asked_at_seconds for workload in self.workloads.values())
        return max(times, default=float("-inf"))

    def awaits_state(self, now_seconds: float) -> bool:
        """Whether the feed gets no looks yet, because earlier plans stand."""
        until = self.awaits_state_until
        return until is not None and now_seconds < until

    def state(self, *, at_seconds: float) -> FeedState:
        """The state that a later process resumes from."""
        learned, unknown = self.carried
        engine = Learned(version=engine_bytes.VERSION, value=engine_bytes.encode(self.engine))
        return FeedState(
            key=self.key_text,
            taken_at_seconds=at_seconds,
            tracker=self.tracker.state(),
            learned={**learned, ENGINE: engine},
            unknown=unknown,
        )

    def capacities(self) -> list[ReplicaCapacity]:
        """What a replica can do, as the trigger or the preset of each workload says."""
        return [one.capacity for one in self._parameters()] or [self.engine.given]

    def _parameters(self) -> list[PlanParameters]:
        return [one.parameters for one in self.workloads.values() if one.parameters is not None]

    def follow_triggers(self) -> None:
        """Learn for an objective and figures that one of the workloads has, after an edit.

        Of an object that is the trigger that counts, or the one asked about last where that one
        reads another feed: the others are looked at still.
        """
        newest: dict[tuple[str, str], Workload] = {}
        for one, of in self.workloads.items():
            known = newest.setdefault((one.namespace, one.name), of)
            if (known.counts, known.asked_at_seconds) <= (of.counts, of.asked_at_seconds):
                newest[one.namespace, one.name] = of
        wanted = [
            (of.parameters.objective, of.parameters.capacity)
            for of in newest.values()
            if of.parameters is not None
        ]
        if wanted and (self.engine.objective, self.engine.given) not in wanted:
            self.engine.follow(*wanted[0])

    def take(self, poll: PollResult, now_seconds: float) -> None:
        """Account for a poll result."""
        poll = self.rates.take(poll, self.capacities())
        self.looked = (poll, now_seconds)
        self.tracker.take(poll)
        self.engine.take(poll)
        if self.since_restore is not None:
            self.since_restore.append(poll)

    def clock_moved(self, seconds: float) -> None:
        """Continue after the wall clock was set; the past is read again from the beginning."""
        self.tracker.clock_moved(seconds)
        self.engine.clock_moved(seconds)
        self.rates.clock_moved(seconds)
        self.looked, self.past = None, None
        self.due_at_seconds += seconds

    @property
    def label(self) -> str:
        """The source, for metrics: addresses that triggers name share one, as they come and go."""
        return "serverAddress" if self.key.address else self.source


@dataclass(slots=True, eq=False)
class Workload:
    """An object that KEDA asked about, and its plan."""

    reference: Reference
    trigger_spec: TriggerSpec | None
    """None where the metadata cannot be used."""
    asked_at_seconds: float
    """On the monotonic clock."""
    cycle_state: CycleState
    """The state for the next cycle; kept here only."""
    on_watch_list: bool = False
    """Planned for and shown. KEDA does not ask about it, and it is never forgotten."""
    counts: bool = False
    """Whether it is the one trigger of its object that counts: after an edit both are known."""
    live: LiveFeed | None = None
    """None until it is connected."""
    parameters: PlanParameters | None = None
    plan: WorkloadPlan | None = None
    """The last cycle's result."""
    carried: Carried = NOTHING_CARRIED

    def state(self, *, asked_at_seconds: float) -> WorkloadState:
        """The state that a later process resumes from.

        Args:
            asked_at_seconds: when KEDA last asked about it, in Unix time.
        """
        plan, (learned, unknown) = self.cycle_state.plan, self.carried
        return WorkloadState(
            reference=self.reference,
            asked_at_seconds=asked_at_seconds,
            answer=None if plan is None else answer_of(plan),
            memory=self.cycle_state.state,
            plan=plan,
            learned={**learned, **learned_by(self.cycle_state)},
            unknown=unknown,
        )

    def hold_standing_answer(self, wall_seconds: float, steady_seconds: float) -> None:
        """Without a state, count the answer that stands as a need of now: it holds for one hold.

        A planner whose predecessor was killed, and whose states were refused, would else begin
        from what one look measures, and take replicas away from under an answer that stands.
        """
        answer = self.cycle_state.timed.current(steady_seconds)
        if isinstance(answer, Answer):
            memory = PlanState(
                needs=((wall_seconds, answer.replicas),),
                handed=answer.replicas,
                planned=answer.replicas,
            )
            self.cycle_state = replace(self.cycle_state, state=memory)

    def resume(self, state: WorkloadState, *, remembers: bool, now_seconds: float) -> None:
        """Resume from the state of an earlier process.

        Args:
            remembers: whether its needs and orders still count.
            now_seconds: Unix time.
        """
        lead = _lead_of(state, now_seconds)
        self.cycle_state = replace(
            self.cycle_state,
            state=state.memory if remembers else PlanState(),
            plan=state.plan,
            read_at_seconds=self.cycle_state.timed.read_at_seconds if state.plan else None,
            lead=lead if remembers else lead.without_orders(),
            shadows=_shadows_of(state, now_seconds),
        )
        self.carried = (state.learned, state.unknown)


def learned_by(cycle_state: CycleState) -> Mapping[str, Learned]:
    """What a workload's cycles have learned, for its state."""
    learned: dict[str, Learned] = {}
    if cycle_state.lead != LeadRecord():
        value = lead_bytes.encode(cycle_state.lead)
        learned[lead_bytes.NAME] = Learned(version=lead_bytes.VERSION, value=value)
    if cycle_state.shadows is not None:
        value = record_bytes.encode(cycle_state.shadows)
        learned[record_bytes.NAME] = Learned(version=record_bytes.VERSION, value=value)
    return learned


def _lead_of(state: WorkloadState, now_seconds: float) -> LeadRecord:
    """The orders and starts that a state remembers; of a doubtful record, none."""
    figure = state.learned.get(lead_bytes.NAME)
    if figure is None:
        return LeadRecord()
    try:
        return lead_bytes.decode(figure.version, figure.value, now_seconds)
    except ValueError as error:
        log.warning("lead_time_learned_anew", workload=str(state.reference), why=str(error))
        return LeadRecord()


def _shadows_of(state: WorkloadState, now_seconds: float) -> Shadows | None:
    """The shadows in a state; None where there are none, or doubtful ones: they begin anew."""
    figure = state.learned.get(record_bytes.NAME)
    if figure is None:
        return None
    try:
        return record_bytes.decode(figure.version, figure.value, now_seconds=now_seconds)
    except ValueError as error:
        log.warning("shadows_begin_anew", workload=str(state.reference), why=str(error))
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadStatus:
    """A workload for display: its reference and trigger spec, the cycle state and the last plan."""

    reference: Reference
    trigger_spec: TriggerSpec | None
    asked_at_seconds: float
    """On the monotonic clock."""
    on_watch_list: bool
    """KEDA does not ask about it."""
    cycle_state: CycleState
    plan: WorkloadPlan | None
    """None before the first look."""


def status_of(workload: Workload) -> WorkloadStatus:
    return WorkloadStatus(
        reference=workload.reference,
        trigger_spec=workload.trigger_spec,
        asked_at_seconds=workload.asked_at_seconds,
        on_watch_list=workload.on_watch_list,
        cycle_state=workload.cycle_state,
        plan=workload.plan,
    )
