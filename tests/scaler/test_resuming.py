"""Feeds and workloads that go on from states, in simulated time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest
from prometheus_client import CollectorRegistry
from typing_extensions import override

from foresail.serve.pace import planning_settings
from foresail.settings.cycle import CycleSettings
from scaler.decision.answers import Answer, Reference, TimedOutcome
from scaler.decision.objective import Objective
from scaler.decision.plan import PlanState, ReplicaPlan
from scaler.decision.series import PLANNED
from scaler.decision.tracker import TrackerState
from scaler.errors import SourceUnavailableError
from scaler.learning import engine_bytes, lead_bytes
from scaler.learning.engine import EngineLearner
from scaler.learning.lead import Awaited, LeadRecord, Start
from scaler.serving.changes import Arrival, Changes
from scaler.serving.cycle import PlanningCycle
from scaler.serving.feeds import ENGINE, Binding
from scaler.serving.metrics import PlanningMetrics
from scaler.serving.state_book import StateBook
from scaler.signals import Observation, Signal, Value
from scaler.state.records import FeedState, Learned, WorkloadState
from scaler.trigger import TriggerSpec
from scaler.trigger_parsing import AllowedOptions, parse
from tests.learning.engine_stage import Engine, Stage
from tests.scaler.fakes import CAPACITY, binding, feed_key

BEGIN = 1_800_000_000.0
METADATA = {"model": "llama", "mode": "act", "maxReplicas": "40"}
REFERENCE = Reference.of("llm", "llama", METADATA)
LLAMA = feed_key("llama").encoded()
ALLOWED = AllowedOptions(
    engines={"vllm": False}, sources=frozenset({"main"}), default_source="main"
)


@dataclass
class Remembered(StateBook):
    """States that are there from the start, or after a while; and what was noted."""

    workloads: dict[Reference, WorkloadState] = field(default_factory=dict)
    feeds: dict[str, FeedState] = field(default_factory=dict)
    after_seconds: float = 0.0
    noted: list[WorkloadState] = field(default_factory=list)

    @override
    def workload(self, reference: Reference) -> WorkloadState | None:
        return self.workloads.get(reference)

    @override
    async def feed(self, key: str) -> FeedState | None:
        await asyncio.sleep(self.after_seconds)
        return self.feeds.get(key)

    @override
    def note(self, state: WorkloadState) -> None:
        self.noted.append(state)

    @override
    def forget(self, reference: Reference) -> None:
        pass


@dataclass
class Feed:
    """1,000 prompt tokens a second, now and at every minute of the past."""

    looks: list[float] = field(default_factory=list)
    """Seconds from the start."""
    asked: list[tuple[float, float]] = field(default_factory=list)
    """Spans of the past, from the start."""
    fails: bool = False

    async def observe(self, *, now_seconds: float) -> Observation:
        self.looks.append(now_seconds - BEGIN)
        if self.fails:
            raise SourceUnavailableError("down")
        return observed(now_seconds)

    async def history(
        self, *, start_seconds: float, end_seconds: float, step_seconds: float
    ) -> AsyncIterator[Observation]:
        self.asked.append((start_seconds - BEGIN, end_seconds - BEGIN))
        at = start_seconds
        while at <= end_seconds:
            yield observed(at)
            at += step_seconds


def observed(at: float) -> Observation:
    values = {
        Signal.RUNNING: 1.0,
        Signal.WAITING: 0.0,
        Signal.GENERATED_TOKENS: 0.0,
        Signal.PROMPT_TOKENS: 1000.0,
        Signal.REPLICAS: 9.0,
    }
    readings = {signal: Value(value=value, at_seconds=at) for signal, value in values.items()}
    return Observation(at_seconds=at, readings=readings)


def workload(replicas: int, *, at: float = BEGIN - 30, hold: bool = False) -> WorkloadState:
    return WorkloadState(
        reference=REFERENCE,
        asked_at_seconds=at,
        answer=Answer(replicas=replicas, active=True, made_at_seconds=at),
        memory=PlanState(
            needs=((at, replicas),) if hold else (), handed=replicas, planned=replicas
        ),
        plan=ReplicaPlan(
            at_seconds=at,
            desired=replicas,
            planned=replicas,
            reactive=replicas,
            active=True,
            partly_measured=False,
            steps=(),
        ),
        learned={"capacity": Learned(version=3, value=b"figures")},
        unknown=b"\xa2\x06\x05hello",
    )


def feed_state(*, age_minutes: int) -> FeedState:
    """A state whose open step began so many minutes before the start."""
    return FeedState(
        key=LLAMA,
        taken_at_seconds=BEGIN - 60 * age_minutes,
        tracker=TrackerState(
            step_seconds=60.0,
            open_step=int(BEGIN // 60) - age_minutes,
            looks=(),
            demand=None,
            demand_state=None,
            has_closed=True,
            forecasters=dict.fromkeys(PLANNED, b""),
        ),
    )


@dataclass
class Site:
    loop: PlanningCycle
    feed: Feed
    states: Remembered
    timed: list[TimedOutcome] = field(default_factory=list)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def answers_of(self, reference: Reference) -> list[Answer | None]:
        """Of the states that were noted after each plan."""
        return [state.answer for state in self.states.noted if state.reference == reference]

    def replicas(self) -> list[int]:
        outcomes = [timed.outcome for timed in self.timed]
        return [outcome.replicas for outcome in outcomes if isinstance(outcome, Answer)]


@asynccontextmanager
async def running(
    states: Remembered, feed: Feed | None = None, **settings: float
) -> AsyncIterator[Site]:
    """A loop with one workload, whose answer stands from before if there is a state of it."""
    clock, reads, timed = asyncio.get_running_loop(), feed or Feed(), []
    registry = CollectorRegistry()
    begun = clock.time()

    def connect(_: Reference, trigger_spec: TriggerSpec) -> Binding:
        return binding("llama", reads, trigger_spec)

    loop = PlanningCycle(
        connect,
        replace(planning_settings(CycleSettings(history=86_400)), **settings),  # type: ignore[arg-type]
        publish=lambda _, one: timed.append(one),
        wall=lambda: BEGIN + clock.time() - begun,
        steady=clock.time,
        metrics=PlanningMetrics(registry),
        states=states,
    )
    state = states.workload(REFERENCE)
    answer = state.answer if state is not None else None
    first = TimedOutcome(
        outcome=answer or Answer(replicas=0, active=False, made_at_seconds=0.0),
        read_at_seconds=clock.time() - 30,
        valid_until_seconds=clock.time() + 270 if answer else clock.time() - 1,
    )
    task = asyncio.create_task(loop.run())
    arrival = Arrival(
        reference=REFERENCE,
        trigger_spec=parse(METADATA, ALLOWED),
        timed=first,
        asked_at_seconds=clock.time(),
    )
    loop.apply(Changes(arrived=(arrival,)))
    try:
        yield Site(loop, reads, states, timed, registry)
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_plan_from_before_stands_without_a_look_until_its_forecast_is_there() -> None:
    states = Remembered({REFERENCE: workload(9)}, {LLAMA: feed_state(age_minutes=0)}, 40.0)
    async with running(states) as site:
        await asyncio.sleep(39)
        assert (site.feed.looks, site.timed) == ([], [])

        await asyncio.sleep(2)
        assert site.feed.looks == [40]
        await asyncio.sleep(15)
        assert len(site.feed.looks) == 2


@pytest.mark.parametrize("joins_after", [0, 5], ids=["at-once", "while-the-state-is-fetched"])
async def test_a_plan_from_before_stands_though_a_workload_without_one_joined_first(
    joins_after: float,
) -> None:
    second = Reference.of("llm", "llama-too", METADATA)
    before = replace(workload(9), reference=second)
    states = Remembered({second: before}, {LLAMA: feed_state(age_minutes=0)}, after_seconds=20)
    async with running(states) as site:
        await asyncio.sleep(joins_after)
        now = asyncio.get_running_loop().time()
        stands = TimedOutcome(
            outcome=before.answer, read_at_seconds=now - 30, valid_until_seconds=now + 270
        )
        arrival = Arrival(
            reference=second,
            trigger_spec=parse(METADATA, ALLOWED),
            timed=stands,
            asked_at_seconds=now,
        )
        site.loop.apply(Changes(arrived=(arrival,)))
        await asyncio.sleep(19 - joins_after)

        assert site.answers_of(REFERENCE)  # planned from the present at once
        assert site.answers_of(second) == []

        await asyncio.sleep(2)
        assert site.answers_of(second)


async def test_a_state_that_comes_late_is_used_and_looks_go_on_before_it() -> None:
    states = Remembered({REFERENCE: workload(9)}, {LLAMA: feed_state(age_minutes=0)}, 100.0)
    async with running(states, resume_seconds_max=150.0, state_wait_seconds_max=50.0) as site:
        await asyncio.sleep(99)
        assert site.feed.looks == [60, 75, 90]

        await asyncio.sleep(2)
        assert site.registry.get_sample_value("foresail_forecasts_resumed_total") == 1


@dataclass
class Counted(Remembered):
    """Counts the states that are read at once."""

    reading: int = 0
    reading_max: int = 0

    @override
    async def feed(self, key: str) -> FeedState | None:
        self.reading += 1
        self.reading_max = max(self.reading, self.reading_max)
        try:
            return await super().feed(key)
        finally:
            self.reading -= 1


async def test_a_read_of_a_state_keeps_its_slot_though_an_edit_ends_its_feed() -> None:
    states = Counted({}, {LLAMA: feed_state(age_minutes=0)}, after_seconds=10)
    edited = Reference.of("llm", "llama", METADATA | {"maxReplicas": "41"})
    async with running(states, resumes_at_once=1, history_seconds=0) as site:
        await asyncio.sleep(5)
        now = asyncio.get_running_loop().time()
        timed = TimedOutcome(
            outcome=Answer(replicas=0, active=False, made_at_seconds=0.0), read_at_seconds=now
        )
        arrival = Arrival(
            reference=edited,
            trigger_spec=parse(METADATA, ALLOWED),
            timed=timed,
            asked_at_seconds=now,
        )
        site.loop.apply(Changes(forgotten=(REFERENCE,), arrived=(arrival,)))
        await asyncio.sleep(20)

        # The thread that reads goes on after the edit, so the next read begins when it is done.
        assert states.reading_max == 1
        assert site.registry.get_sample_value("foresail_forecasts_resumed_total") == 2


async def test_a_state_that_never_comes_is_given_up_and_the_past_is_read() -> None:
    states = Remembered({REFERENCE: workload(9)}, after_seconds=1e6)
    async with running(states, resume_seconds_max=50.0, state_wait_seconds_max=50.0) as site:
        await asyncio.sleep(59)
        assert site.feed.looks == []
        assert site.feed.asked == [(-86_400 + 50, -10)]

        await asyncio.sleep(2)
        assert site.feed.looks == [60]


async def test_without_a_plan_from_before_a_look_comes_first() -> None:
    states = Remembered(feeds={LLAMA: feed_state(age_minutes=0)}, after_seconds=40.0)
    async with running(states) as site:
        await asyncio.sleep(1)

        assert site.feed.looks == [0]


async def test_needs_of_before_hold_after_a_restart_as_long_as_they_would_have() -> None:
    # 1,000 tokens/s are one replica; nine were needed 30 s before, and the hold is 5 min.
    states = Remembered({REFERENCE: workload(9, hold=True)})
    async with running(states, history_seconds=0.0) as site:
        await asyncio.sleep(260)
        assert set(site.replicas()) == {9}

        await asyncio.sleep(30)
        assert site.replicas()[-1] < 9


async def test_a_blind_source_after_a_restart_hands_over_no_less_than_before() -> None:
    states = Remembered({REFERENCE: workload(9)})
    async with running(states, Feed(fails=True)) as site:
        await asyncio.sleep(200)

        assert site.replicas() == []  # nothing newer: the answer of before stands


@pytest.mark.parametrize(
    ("age_minutes", "asked"),
    [
        pytest.param(0, [], id="nothing-missing"),
        pytest.param(30, [(-29 * 60, -60)], id="half-an-hour"),
        pytest.param(3000, [(-86_400, -60)], id="longer-than-the-history"),
    ],
)
async def test_only_what_came_after_the_state_is_read_of_the_past(
    age_minutes: int, asked: list[tuple[float, float]]
) -> None:
    states = Remembered({REFERENCE: workload(9)}, {LLAMA: feed_state(age_minutes=age_minutes)})
    async with running(states) as site:
        await asyncio.sleep(10)

        assert site.feed.asked == asked
        assert site.registry.get_sample_value("foresail_forecasts_resumed_total") == 1


async def test_a_state_that_does_not_fit_is_refused_and_the_whole_past_is_read() -> None:
    state = feed_state(age_minutes=5)
    other = FeedState(
        key=LLAMA,
        taken_at_seconds=BEGIN,
        tracker=TrackerState(
            step_seconds=30.0,
            open_step=None,
            looks=(),
            demand=None,
            demand_state=None,
            has_closed=False,
            forecasters=state.tracker.forecasters,
        ),
    )
    async with running(Remembered({REFERENCE: workload(9)}, {LLAMA: other})) as site:
        await asyncio.sleep(10)

        assert site.feed.asked == [(-86_400, -60)]
        assert site.registry.get_sample_value("foresail_forecasts_resumed_total") == 0


async def test_a_feed_is_worth_keeping_once_its_past_is_known() -> None:
    class Slow(Feed):
        @override
        async def history(self, **span: float) -> AsyncIterator[Observation]:
            await asyncio.sleep(100)
            yield observed(span["end_seconds"])

    async with running(Remembered(), Slow()) as site:
        await asyncio.sleep(50)
        assert dict(site.loop.feed_states()) == {LLAMA: None}

        await asyncio.sleep(60)
        take = site.loop.feed_states()[LLAMA]
        assert take is not None
        state = take()
        assert (state.key, state.taken_at_seconds) == (LLAMA, BEGIN + 110)


async def test_every_answer_is_noted_with_what_is_carried_from_before() -> None:
    states = Remembered({REFERENCE: workload(9, hold=True)})
    async with running(states) as site:
        await asyncio.sleep(1)

        noted = states.noted[-1]
        assert noted.answer == site.timed[-1].outcome
        assert noted.memory.handed == 9
        assert noted.asked_at_seconds == BEGIN
        assert noted.learned["capacity"] == Learned(version=3, value=b"figures")
        assert noted.unknown == b"\xa2\x06\x05hello"


STARTS = tuple(Start(at_seconds=BEGIN - 900, seconds=90.0, arrived=True) for _ in range(8))
ORDERED = LeadRecord(
    handed=11,
    ready=9,
    looked_at_seconds=BEGIN - 45,
    awaited=(Awaited(at_seconds=BEGIN - 60, replicas=2),),
    starts=STARTS,
)


def with_lead(figure: Learned, *, at: float = BEGIN - 30) -> Remembered:
    state = replace(workload(11, at=at, hold=True), learned={"lead": figure})
    return Remembered({REFERENCE: state})


def lead_noted(site: Site) -> LeadRecord:
    figure = site.states.noted[-1].learned["lead"]
    return lead_bytes.decode(figure.version, figure.value, BEGIN + 3600)


async def test_lead_time_and_orders_continue_after_a_restart() -> None:
    figure = Learned(version=lead_bytes.VERSION, value=lead_bytes.encode(ORDERED))
    async with running(with_lead(figure)) as site:
        await asyncio.sleep(1)

        noted = lead_noted(site)
        (status,) = site.loop.statuses()

    assert (noted.starts, noted.awaited) == (ORDERED.starts, ORDERED.awaited)
    assert status.plan is not None
    assert status.plan.parameters.lead_seconds == 90  # where leadTime says 5m


async def test_after_a_long_outage_the_starts_count_and_the_orders_do_not() -> None:
    figure = Learned(version=lead_bytes.VERSION, value=lead_bytes.encode(ORDERED))
    async with running(with_lead(figure, at=BEGIN - 7200)) as site:
        await asyncio.sleep(1)

        noted = lead_noted(site)

    assert (noted.starts, noted.awaited) == (ORDERED.starts, ())


@pytest.mark.parametrize(
    "figure",
    [
        pytest.param(Learned(version=99, value=lead_bytes.encode(ORDERED)), id="newer"),
        pytest.param(Learned(version=lead_bytes.VERSION, value=b"no record"), id="damaged"),
    ],
)
async def test_a_doubtful_lead_time_is_learned_anew_and_the_rest_of_the_state_is_used(
    figure: Learned,
) -> None:
    async with running(with_lead(figure)) as site:
        await asyncio.sleep(1)

        (status,) = site.loop.statuses()
        assert set(site.replicas()) == {11}

    assert lead_noted(site).starts == ()
    assert status.plan is not None
    assert status.plan.parameters.lead_seconds == 300


async def test_the_shadows_of_a_workload_go_on_from_its_state() -> None:
    first = Remembered()
    async with running(first) as site:
        await asyncio.sleep(130)
        (before,) = site.loop.statuses()
    noted = first.noted[-1]

    async with running(Remembered({REFERENCE: noted})) as site:
        await asyncio.sleep(1)
        (after,) = site.loop.statuses()

    one, other = before.cycle_state.shadows, after.cycle_state.shadows
    assert one is not None
    assert other is not None
    assert one.books.all().minutes >= 1
    assert other.books.all().minutes == one.books.all().minutes


async def test_doubtful_shadows_in_a_state_begin_anew_and_the_workload_goes_on() -> None:
    state = replace(workload(9, hold=True), learned={"shadows": Learned(version=1, value=b"bits")})
    async with running(Remembered({REFERENCE: state})) as site:
        await asyncio.sleep(1)

        (after,) = site.loop.statuses()
        assert after.cycle_state.shadows is not None
        assert not after.cycle_state.shadows.books.days
        assert site.replicas()[-1] == 9


def taught() -> Learned:
    """Two hours with an engine."""
    learner = EngineLearner(objective=Objective(), given=CAPACITY)
    stage = Stage(learner=learner, engine=Engine(), at=BEGIN - 7300)
    stage.minutes(120, 2.0, 3.5, 4.5)
    return Learned(version=engine_bytes.VERSION, value=engine_bytes.encode(learner))


def capacity_shown(states: Remembered) -> list[str]:
    plan = states.noted[-1].plan
    assert plan is not None
    return [step.text for step in plan.steps if step.rule == "capacity"]


async def test_what_was_learned_of_the_engine_is_planned_with_after_a_start() -> None:
    state = replace(feed_state(age_minutes=1), learned={ENGINE: taught()})
    async with running(Remembered({REFERENCE: workload(9)}, {LLAMA: state})) as site:
        await asyncio.sleep(130)

        (text,) = capacity_shown(site.states)
        assert "min of ITL" in text


async def test_what_is_doubtful_of_the_engine_is_learned_anew() -> None:
    spoilt = Learned(version=engine_bytes.VERSION, value=b"\x00" * 10)
    state = replace(feed_state(age_minutes=1), learned={ENGINE: spoilt})
    async with running(Remembered({REFERENCE: workload(9)}, {LLAMA: state})) as site:
        await asyncio.sleep(130)

        assert capacity_shown(site.states) == []
        take = site.loop.feed_states()[LLAMA]
        assert take is not None  # the forecast was resumed all the same
        assert len(take().learned[ENGINE].value) > 100
