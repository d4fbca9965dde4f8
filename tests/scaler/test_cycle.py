"""The cycle in simulated time: when feeds are looked at, and that none holds up another."""

import asyncio
import gc
import weakref
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import FrozenInstanceError, dataclass, field, replace
from typing import ClassVar

import pytest
from prometheus_client import CollectorRegistry

from foresail.serve.pace import planning_settings
from foresail.settings.cycle import CycleSettings
from scaler.decision.answers import Answer, Reference, Refusal, RefusalCode, TimedOutcome
from scaler.decision.demand import Demand
from scaler.decision.objective import Objective
from scaler.decision.plan import ReplicaPlan
from scaler.decision.series import PLANNED, DemandSeries
from scaler.decision.tracker import DemandTracker
from scaler.errors import SourceMisconfiguredError, SourceUnavailableError
from scaler.feed_key import FeedKey
from scaler.learning import engine_bytes
from scaler.learning.engine import EngineLearner
from scaler.limits import Limit
from scaler.serving.board import OF_OBJECT_MAX, Board
from scaler.serving.changes import Changes
from scaler.serving.cycle import PlanningCycle
from scaler.serving.entry import Entry
from scaler.serving.feeds import ENGINE, Binding, WorkloadStatus
from scaler.serving.metrics import PlanningMetrics
from scaler.serving.state_book import NoStates
from scaler.signals import Absent, Observation, Signal, Value
from scaler.trigger import TriggerSpec
from scaler.trigger_parsing import AllowedOptions, parse
from tests.scaler.fakes import CAPACITY, NoForecast, binding

BEGIN_SECONDS = 1_800_000_000.0 + 7
"""Seven seconds after a look of the grid: the next ones are 8, 23, 38, ... s from the start."""
ALLOWED = AllowedOptions(
    engines={"vllm": False}, sources=frozenset({"main"}), default_source="main"
)


@dataclass
class FakeFeed:
    """A feed that reads `prompt` tokens per second, after `delay_seconds`, or fails."""

    prompt: float = 1000.0
    delay_seconds: float = 0.0
    failure: Exception | None = None
    past_seconds: int = 0
    """How much past it keeps, one observation a minute."""
    past_delay_seconds: float = 0.0
    """Between two observations of the past."""
    past_failure: Exception | None = None
    """Raised after the past."""
    past_ends_after: int | None = None
    """How many observations of the past it delivers; None delivers all."""
    past_asked_from: list[float] = field(default_factory=list)
    """Where each reading of the past began, from the last minute before the start."""
    looked: list[float] = field(default_factory=list)
    """Loop time of each look."""
    asked_for: list[float] = field(default_factory=list)
    """The moment each look was made for, from the start."""

    async def observe(self, *, now_seconds: float) -> Observation:
        self.looked.append(asyncio.get_running_loop().time())
        self.asked_for.append(now_seconds - BEGIN_SECONDS)
        await asyncio.sleep(self.delay_seconds)
        if self.failure is not None:
            raise self.failure
        return observed(now_seconds, self.prompt)

    async def history(
        self, *, start_seconds: float, end_seconds: float, step_seconds: float
    ) -> AsyncIterator[Observation]:
        self.past_asked_from.append(
            start_seconds // step_seconds * step_seconds - BEGIN_SECONDS + 7
        )
        first = max(start_seconds, BEGIN_SECONDS - 7 - self.past_seconds)
        at = -(-first // step_seconds) * step_seconds
        steps = 0
        while at <= end_seconds and self.past_seconds and steps != self.past_ends_after:
            steps += 1
            await asyncio.sleep(self.past_delay_seconds)
            yield observed(at, self.prompt)
            at += step_seconds
        if self.past_failure is not None:
            raise self.past_failure


class Weakly(FakeFeed):
    """One that can be referred to weakly, and hashed."""

    __hash__ = object.__hash__


def observed(at: float, prompt: float) -> Observation:
    values = {
        Signal.RUNNING: 1.0,
        Signal.WAITING: 0.0,
        Signal.GENERATED_TOKENS: 0.0,
        Signal.PROMPT_TOKENS: prompt,
    }
    return Observation(
        at_seconds=at,
        readings={signal: Value(value=value, at_seconds=at) for signal, value in values.items()},
    )


@dataclass
class Site:
    """A board, its loop, and what they were made of."""

    board: Board
    loop: PlanningCycle
    registry: CollectorRegistry
    wall: "Wall"
    forecasters: list[NoForecast]
    """Of the tracks in the order they were made: each reading of the past makes one more."""
    kept: list[Collection[FeedKey]]
    """The sources in use, at each time that workloads were forgotten."""

    def ask(self, model: str, *, name: str | None = None, **metadata: str) -> Entry:
        reference = Reference.of("llm", name or model, {"model": model, "mode": "act", **metadata})
        return self.board.ask(reference)

    def status(self, entry: Entry) -> WorkloadStatus:
        (found,) = [s for s in self.loop.statuses() if s.reference == entry.reference]
        return found

    def prompt_steps(self, entry: Entry) -> list[tuple[float, float | None]]:
        """The steps of the prompt series that the entry's last plan was made from."""
        plan = self.status(entry).plan
        assert plan is not None
        forecast = plan.forecasts.get(DemandSeries.PROMPT_TOKENS)
        if forecast is None:
            return []
        (made,) = [each for each in self.forecasters if each.made is forecast]
        return [(at - BEGIN_SECONDS + 7, value) for at, value in made.steps]

    def known(self) -> set[Reference]:
        return {status.reference for status in self.loop.statuses()}

    def counted(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0

    def faults(self) -> float | None:
        return self.registry.get_sample_value("foresail_cycle_errors_total")


@dataclass
class Wall:
    """A wall clock that can be set; the loop's own time goes on undisturbed."""

    set_by: float = 0.0
    stopped_seconds: float = 0.0
    """For which the process did not run, while every clock did."""

    def __call__(self) -> float:
        return BEGIN_SECONDS + self.steady() + self.set_by

    def steady(self) -> float:
        return asyncio.get_running_loop().time() + self.stopped_seconds


@asynccontextmanager
async def running(
    feeds: Mapping[str, FakeFeed],
    *,
    connect: Callable[[Reference, TriggerSpec], Binding] | None = None,
    objects_max: int = 100,
    **settings: float,
) -> AsyncIterator[Site]:
    """A running loop over feeds by model; no history unless the settings say so."""
    registry, wall = CollectorRegistry(), Wall()
    kept: list[Collection[FeedKey]] = []
    forecasters: list[NoForecast] = []

    def by_model(reference: Reference, trigger_spec: TriggerSpec) -> Binding:
        return binding(
            trigger_spec.model,
            feeds[trigger_spec.model],
            trigger_spec,
            make_tracker=lambda: DemandTracker(forecaster, step_seconds=used.step_seconds),
        )

    def forecaster(series: DemandSeries) -> NoForecast:
        forecasters.append(NoForecast(series))
        return forecasters[-1]

    used = replace(planning_settings(CycleSettings(history=0)), **settings)  # type: ignore[arg-type]
    board = Board(lambda _, m: parse(m, ALLOWED), clock=wall.steady, objects_max=objects_max)
    loop = PlanningCycle(
        connect or by_model,
        used,
        publish=board.publish,
        wall=wall,
        steady=wall.steady,
        metrics=PlanningMetrics(registry),
        states=NoStates(),
        keep_sources=kept.append,
    )
    tasks = [asyncio.create_task(loop.run()), asyncio.create_task(hand_over(board, loop))]
    try:
        yield Site(board, loop, registry, wall, forecasters, kept)
        assert not any(task.done() for task in tasks), tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def hand_over(board: Board, loop: PlanningCycle) -> None:
    """Pass the board's changes to the cycle, as the link between two processes does."""
    while True:
        with suppress(TimeoutError):
            async with asyncio.timeout(30):
                await board.arrived.wait()
        board.forget_silent()
        loop.apply(board.take_changes())


def plan_of(site: Site, entry: Entry) -> ReplicaPlan:
    plan = site.status(entry).cycle_state.plan
    assert plan is not None
    return plan


def replicas(entry: Entry) -> int:
    """At utilization 0.8 and 1000 tokens/s a replica."""
    outcome = entry.current()
    assert isinstance(outcome, Answer), outcome
    return outcome.replicas


def refusal(entry: Entry) -> Refusal:
    outcome = entry.current()
    assert isinstance(outcome, Refusal), outcome
    return outcome


async def until(seconds: float) -> None:
    """Loop time."""
    await asyncio.sleep(seconds - asyncio.get_running_loop().time())


# When feeds are looked at.


async def test_looks_are_made_for_the_moments_of_a_common_grid() -> None:
    feed = FakeFeed()
    async with running({"a": feed}) as site:
        site.ask("a")
        await until(40)

    assert feed.asked_for == [0, 8, 23, 38]


async def test_a_new_object_is_looked_at_at_once() -> None:
    feed = FakeFeed(prompt=4000)
    async with running({"a": feed}) as site:
        await until(3)
        entry = site.ask("a")
        await until(3.01)

        assert feed.looked == [3]
        assert replicas(entry) == 5


async def test_feeds_of_a_source_that_is_too_slow_for_all_take_turns() -> None:
    slow = {name: FakeFeed(delay_seconds=9) for name in ("a", "b", "c")}
    async with running(slow, looks_at_once=1) as site:
        for name in slow:
            site.ask(name)
        await until(270)

    # One look at a time and 9 s each: 30 looks. A page has the counters of when it is read.
    counts = [len(feed.looked) for feed in slow.values()]
    assert sum(counts) == 30
    assert min(counts) >= 9
    for feed in slow.values():
        assert feed.asked_for == feed.looked


async def test_a_moment_at_which_a_look_is_under_way_gets_its_look_when_that_ends() -> None:
    feed = FakeFeed()
    async with running({"a": feed}, look_seconds_max=25.0) as site:
        site.ask("a")
        await until(1)
        feed.delay_seconds = 20
        await until(10)
        feed.delay_seconds = 0
        await until(40)

        assert feed.looked == [0, 8, 28, 38]
        assert feed.asked_for == feed.looked
        assert site.counted("foresail_looks_missed_total", source="main") == 0


async def test_a_moment_whose_look_is_not_begun_before_the_next_one_is_missed_and_counted() -> None:
    feed = FakeFeed(delay_seconds=40)
    async with running({"a": feed}, look_seconds_max=50.0) as site:
        site.ask("a")
        await until(100)

        # 40 s is the look of the moment 38, and 80 s that of 68: 8, 23, 53 and 83 are missed.
        assert feed.looked == [0, 40, 80]
        assert feed.asked_for == feed.looked
        assert site.counted("foresail_looks_missed_total", source="main") == 4


async def test_a_process_that_was_stopped_goes_on_with_the_moment_that_it_is() -> None:
    feed = FakeFeed()
    async with running({"a": feed}) as site:
        entry = site.ask("a")
        await until(30)
        site.wall.stopped_seconds = 600.0
        assert "no plan was made for 607 s" in refusal(entry).message
        await until(60)

        # The moments that went by are left out, and no clock was set.
        assert feed.asked_for == [0, 8, 23, 638, 653]
        assert site.counted("foresail_wall_clock_steps_total") == 0
        assert replicas(entry) == 2


async def test_a_loop_that_keeps_up_is_not_overdue() -> None:
    async with running({}) as site:
        await until(300)

        assert site.loop.overdue_seconds() == 0


# A wall clock that is set.


@pytest.mark.parametrize("hours", [-1, 1], ids=["back", "forward"])
async def test_a_clock_that_is_set_delays_no_look_and_no_answer(hours: int) -> None:
    feed = FakeFeed(prompt=4000)
    async with running({"a": feed}) as site:
        entry = site.ask("a")
        await until(30)
        site.wall.set_by = 3600.0 * hours
        feed.prompt = 8000
        await until(100)

        assert feed.looked == [0, 8, 23, 38, 53, 68, 83, 98]
        assert feed.asked_for[:4] == [0, 8, 23, 38 + 3600 * hours]
        assert replicas(entry) == 10
        assert site.loop.overdue_seconds() == 0
        assert site.counted("foresail_wall_clock_steps_total") == 1


@pytest.mark.parametrize("seconds", [-3600, 600, 3600], ids=["back", "suspended", "forward"])
async def test_a_clock_that_is_set_ends_no_hold_early_and_makes_none_longer(seconds: int) -> None:
    feed = FakeFeed(prompt=8000)
    async with running({"a": feed}) as site:
        entry = site.ask("a", hold="5m")
        await until(60)
        feed.prompt = 800
        await until(70)
        site.wall.set_by = float(seconds)
        await until(90)

        (held,) = [s for s in plan_of(site, entry).steps if s.rule == "hold"]
        assert held.text == "10 were needed 30s ago"  # at 53 s, and it is 83 s
        await until(350)
        assert replicas(entry) == 10
        await until(360)
        assert replicas(entry) == 1


async def test_an_answer_read_before_the_clock_was_set_back_ages_all_the_same() -> None:
    feed = FakeFeed()
    async with running({"a": feed}) as site:
        entry = site.ask("a")
        await until(39)
        site.wall.set_by = -3600.0
        feed.failure = SourceUnavailableError("prometheus 'main' is down")
        await until(38 + 300)
        assert replicas(entry) == 2
        await until(38 + 301)

        assert "no plan was made for 301 s" in refusal(entry).message
        await until(38 + 301 + 15)
        assert "nothing usable for 5m15s: prometheus 'main' is down" in refusal(entry).message


async def test_a_look_that_was_under_way_when_the_clock_was_set_back_is_dropped() -> None:
    feed = FakeFeed(prompt=4000)
    async with running({"a": feed}) as site:
        entry = site.ask("a")
        await until(30)
        feed.delay_seconds, feed.prompt = 14.0, 40_000.0  # made for 38 s, ended at 52 s
        await until(40)
        site.wall.set_by = -3600.0
        await until(60)

        assert replicas(entry) == 5


@pytest.mark.parametrize("hours", [-1, 1], ids=["back", "forward"])
async def test_a_set_clock_that_a_look_notices_first_delays_no_look_and_labels_each_anew(
    hours: int,
) -> None:
    feed = FakeFeed(delay_seconds=4.0)
    async with running({"a": feed}) as site:
        site.ask("a")
        await until(40)
        site.wall.set_by = 3600.0 * hours
        await until(90)

        # The look made at 38 s ends at 42 s, before the next moment comes.
        assert feed.looked == [0, 8, 23, 38, 53, 68, 83]
        assert feed.asked_for[4:] == [at + 3600 * hours for at in (53, 68, 83)]


async def test_the_series_goes_on_in_its_step_when_the_clock_is_set_back() -> None:
    feed = FakeFeed()
    async with running({"a": feed}) as site:
        entry = site.ask("a")
        await until(130)
        site.wall.set_by = -3600.0
        await until(310)

        # A step a minute, none twice and none left out; the times are the new clock's.
        assert site.prompt_steps(entry) == [(60.0 * n - 3600, 1000.0) for n in range(5)]


async def test_the_series_has_a_gap_where_a_machine_was_suspended() -> None:
    feed = FakeFeed()
    async with running({"a": feed}) as site:
        entry = site.ask("a")
        await until(130)
        site.wall.set_by = 600.0
        await until(310)

        assert [at for at, _ in site.prompt_steps(entry)] == [0, 60, 120, 720, 780, 840]


async def test_a_clock_set_forward_and_right_again_moves_only_the_steps_between() -> None:
    feed = FakeFeed()
    async with running({"a": feed}) as site:
        entry = site.ask("a")
        await until(130)
        site.wall.set_by = 600.0
        await until(310)
        site.wall.set_by = 0.0
        await until(490)

        steps = [at for at, _ in site.prompt_steps(entry)]
        assert steps == [0, 60, 120, 180, 240, 300, 360, 420]


def engine_kept(site: Site) -> bytes:
    (take,) = site.loop.feed_states().values()
    assert take is not None
    return take().learned[ENGINE].value


def untaught(ttft_seconds: float) -> bytes:
    return engine_bytes.encode(
        EngineLearner(objective=Objective(ttft_seconds=ttft_seconds), given=CAPACITY)
    )


async def test_the_engine_is_learned_for_the_edited_trigger_also_while_the_past_is_read() -> None:
    feed = FakeFeed(past_seconds=600, past_delay_seconds=5)
    async with running({"a": feed}, history_seconds=600) as site:
        site.ask("a", ttft="1s")
        await until(20)
        site.ask("a", ttft="3s")
        await until(120)
        assert engine_kept(site) == untaught(3.0)
        site.ask("a", ttft="4s")
        await until(180)
        assert engine_kept(site) == untaught(4.0)


async def test_the_engine_is_learned_for_the_trigger_that_is_left() -> None:
    async with running({"a": FakeFeed()}) as site:
        kept = site.ask("a", ttft="1s")
        site.ask("a", ttft="3s")
        await until(60)
        for _ in range(61):
            site.board.ask(kept.reference)
            await asyncio.sleep(60)
        assert len(site.loop.statuses()) == 1
        assert engine_kept(site) == untaught(1.0)


async def test_after_an_edit_that_was_undone_the_engine_is_learned_for_the_trigger_of_before() -> (
    None
):
    async with running({"a": FakeFeed()}) as site:
        kept = site.ask("a", ttft="1s")
        await until(60)
        site.ask("a", ttft="3s")
        await until(120)
        assert engine_kept(site) == untaught(3.0)
        site.loop.note_asked(kept.reference, site.wall.steady())
        assert engine_kept(site) == untaught(3.0)
        await until(661)  # KEDA has not asked about the edit for ten minutes
        site.loop.note_asked(kept.reference, site.wall.steady())
        assert len(site.loop.statuses()) == 2
        assert engine_kept(site) == untaught(1.0)


async def test_a_past_that_is_being_read_when_the_clock_is_set_is_read_anew() -> None:
    feed = FakeFeed(past_seconds=600, past_delay_seconds=5)
    async with running({"a": feed}, history_seconds=3600) as site:
        entry = site.ask("a")
        await until(20)
        site.wall.set_by = 600.0
        await until(300)

        assert len(feed.past_asked_from) == 2
        steps = [at for at, _ in site.prompt_steps(entry)]
        assert steps == sorted(set(steps))
        assert steps[0] < 0


# Feeds that fail.


async def test_a_slow_feed_delays_no_other() -> None:
    feeds = {"slow": FakeFeed(delay_seconds=60), "quick": FakeFeed()}
    async with running(feeds) as site:
        slow, _ = site.ask("slow"), site.ask("quick")
        await until(60)

        assert feeds["quick"].looked == [0, 8, 23, 38, 53]
        assert "no answer within 10 s" in refusal(slow).message


async def test_a_source_that_hangs_costs_no_other_source_a_look() -> None:
    feeds = {f"hung-{n}": FakeFeed(delay_seconds=1e9) for n in range(64)}
    feeds["sound"] = FakeFeed()

    def connect(reference: Reference, trigger_spec: TriggerSpec) -> Binding:
        model = trigger_spec.model
        return binding(model, feeds[model], trigger_spec, source=model.partition("-")[0])

    async with running(feeds, connect=connect) as site:
        for model in feeds:
            entry = site.ask(model)
        await until(300)

        # 20 periods, 20 moments.
        assert len(feeds["sound"].looked) == 1 + 20
        assert site.counted("foresail_looks_missed_total", source="sound") == 0
        assert replicas(entry) == 2


async def test_feeds_that_hang_by_the_hundred_do_not_make_the_loop_late(
    limits_exceeded: Callable[[], set[Limit]],
) -> None:
    feeds = {f"hung-{n}": FakeFeed(delay_seconds=1e9) for n in range(500)}
    async with running(feeds, objects_max=500) as site:
        entries = [site.ask(model) for model in feeds]
        for second in range(15, 900, 15):
            await until(second)
            assert site.loop.overdue_seconds() == 0

        # Each says what its source does, also those that never got a slot.
        messages = {refusal(entry).message for entry in entries}
        assert {m.partition(": ")[2] for m in messages} == {
            "no answer within 10 s",
            "all 16 slots of its source are in use",
        }
    assert {Limit.LOOKS_AT_ONCE, Limit.READ_SECONDS} <= limits_exceeded()


async def test_the_event_loop_turns_between_two_feeds_that_miss_a_moment() -> None:
    loop = asyncio.get_running_loop()
    turns, refused_in_turn = 0, list[int]()

    def turn() -> None:
        nonlocal turns
        turns += 1
        if turns < 200:
            loop.call_soon(turn)

    feeds = {f"hung-{n}": FakeFeed(delay_seconds=1e9) for n in range(30)}
    async with running(feeds) as site:
        entries = [site.ask(model) for model in feeds]
        await until(7)
        for entry in entries:
            entry.listeners.add(lambda: refused_in_turn.append(turns))
        loop.call_at(8.0, turn)
        await until(8.5)

    assert turns == 200
    assert len(refused_in_turn) == 14, "16 of the 30 have a slot"
    assert len(set(refused_in_turn)) == 14


async def test_the_event_loop_turns_between_two_feeds_whose_looks_end_together() -> None:
    loop = asyncio.get_running_loop()
    turns, planned_in_turn = 0, list[int]()

    def turn() -> None:
        nonlocal turns
        turns += 1
        if turns < 200:
            loop.call_soon(turn)

    feeds = {f"quick-{n}": FakeFeed(delay_seconds=1) for n in range(16)}
    async with running(feeds) as site:
        entries = [site.ask(model) for model in feeds]
        await until(7)
        for entry in entries:
            entry.listeners.add(lambda: planned_in_turn.append(turns))
        loop.call_at(9.0, turn)
        await until(9.5)

    assert len(planned_in_turn) == 16
    assert len(set(planned_in_turn)) == 16


async def test_feeds_of_a_namespace_with_many_are_planned_for_in_turn_with_those_of_others() -> (
    None
):
    order: list[str] = []

    def connect(reference: Reference, trigger_spec: TriggerSpec) -> Binding:
        made = binding(trigger_spec.model, FakeFeed(delay_seconds=1), trigger_spec)
        scope = replace(made.key.scope, namespace=reference.namespace)
        return replace(made, key=replace(made.key, scope=scope))

    async with running({}, connect=connect, looks_at_once=100) as site:
        for namespace, model in [*(("many", f"m-{n}") for n in range(20)), ("few", "a")]:
            reference = Reference.of(namespace, model, {"model": model, "mode": "act"})
            entry = site.board.ask(reference)
            entry.listeners.add(lambda namespace=namespace: order.append(namespace))
        await until(3)

    assert len(order) == 21
    assert order.index("few") <= 2


async def test_a_feed_of_many_workloads_has_some_of_them_planned_for_in_each_turn() -> None:
    loop = asyncio.get_running_loop()
    turns, planned_in_turn = 0, list[int]()

    def turn() -> None:
        nonlocal turns
        turns += 1
        if turns < 400:
            loop.call_soon(turn)

    async with running({"a": FakeFeed(delay_seconds=1)}, objects_max=100) as site:
        entries = [site.ask("a", name=f"object-{n}") for n in range(100)]
        await until(7)
        for entry in entries:
            entry.listeners.add(lambda: planned_in_turn.append(turns))
        loop.call_at(9.0, turn)
        await until(9.5)

    assert len(planned_in_turn) == 100
    assert max(Counter(planned_in_turn).values()) <= 8


async def test_a_feed_waits_no_longer_than_the_limit_for_the_one_before_it() -> None:
    feeds = {"slow": FakeFeed(delay_seconds=60), "quick": FakeFeed()}
    async with running(feeds, looks_at_once=1) as site:
        site.ask("slow")
        quick = site.ask("quick")
        await until(10.1)

        assert replicas(quick) == 2


async def test_a_fault_of_ours_is_counted_and_stops_no_other_feed() -> None:
    feeds = {"broken": FakeFeed(failure=RuntimeError("a bug")), "sound": FakeFeed()}
    async with running(feeds) as site:
        broken, sound = site.ask("broken"), site.ask("sound")
        await until(30)

        assert feeds["sound"].looked == [0, 8, 23]
        assert replicas(sound) == 2
        assert site.faults() == 3
        assert "asked for the first time just now" in refusal(broken).message


async def test_a_feed_that_recovers_is_planned_again() -> None:
    feed = FakeFeed(failure=SourceUnavailableError("prometheus 'main' is down"))
    async with running({"a": feed}) as site:
        entry = site.ask("a")
        await until(9)
        assert "prometheus 'main' is down" in refusal(entry).message
        feed.failure = None
        await until(24)

        assert replicas(entry) == 2


# The result of a cycle.


async def test_a_cycle_yields_one_plan_for_each_workload_and_none_that_changes() -> None:
    feeds = {"a": FakeFeed(prompt=1600.0), "b": FakeFeed(failure=SourceUnavailableError("down"))}
    async with running(feeds) as site:
        first, second = site.ask("a"), site.ask("a", name="second", maxReplicas="1")
        failing = site.ask("b")
        await until(1)
        plans = await site.loop.cycle(at_seconds=site.wall())
        made = {plan.reference: plan for plan in plans}

        assert made.keys() == {first.reference, second.reference, failing.reference}
        # 1600 tokens/s at 1000 a replica and utilization 0.8 are two replicas.
        assert [made[one.reference].timed.outcome for one in (first, second, failing)] == [
            Answer(replicas=2, active=True, made_at_seconds=site.wall()),
            Answer(replicas=1, active=True, made_at_seconds=site.wall()),
            Refusal(code=RefusalCode.UNAVAILABLE, message="nothing usable was ever read: down"),
        ]
        with pytest.raises(FrozenInstanceError):
            made[first.reference].timed = made[second.reference].timed  # type: ignore[misc]
        feeds["a"].prompt = 4000.0
        await until(9)
        assert made[first.reference].demand == Demand(
            at_seconds=made[first.reference].poll.at_seconds,
            prompt_tokens=1600.0,
            generated_tokens=0.0,
            requests=None,
            in_flight=1.0,
        )


# Objects that cannot be connected.


async def test_a_source_that_cannot_be_asked_is_a_refusal_that_stands() -> None:
    def connect(reference: Reference, trigger_spec: TriggerSpec) -> Binding:
        raise SourceMisconfiguredError("label 'namespace' is set by the source, not by a trigger")

    async with running({}, connect=connect) as site:
        entry = site.ask("a")
        await until(1)
        assert refusal(entry).code is RefusalCode.MISCONFIGURED
        await until(1000)

        # Not "the planning process sends nothing": it does, and this is its message.
        assert refusal(entry).message == "label 'namespace' is set by the source, not by a trigger"


async def test_a_source_that_can_be_asked_later_is() -> None:
    feed, refused = FakeFeed(), True

    def connect(reference: Reference, trigger_spec: TriggerSpec) -> Binding:
        if refused:
            raise SourceMisconfiguredError("secret file token: No such file or directory")
        return binding("a", feed, trigger_spec)

    async with running({}, connect=connect) as site:
        entry = site.ask("a")
        await until(9)
        refused = False
        await until(24)

        assert replicas(entry) == 2
        assert feed.looked == [23]


async def test_a_fault_of_ours_in_connecting_stops_no_other_object() -> None:
    feeds = {"sound": FakeFeed()}  # the other one is a KeyError
    async with running(feeds) as site:
        site.ask("unheard-of")
        sound = site.ask("sound")
        await until(9)

        assert replicas(sound) == 2
        assert site.faults() == 2


async def test_metadata_that_cannot_be_used_is_not_connected() -> None:
    async with running({}) as site:
        entry = site.board.ask(Reference.of("llm", "a", {"modle": "a", "mode": "act"}))
        await until(9)

        assert refusal(entry).code is RefusalCode.INVALID
        assert site.faults() == 0


# The past.


async def test_forecasts_exist_as_soon_as_the_past_is_read() -> None:
    feed = FakeFeed(past_seconds=600, prompt=1000)
    async with running({"a": feed}, history_seconds=3600) as site:
        entry = site.ask("a")
        await until(1)

        await until(9)

        # Begun at 7 s past the minute: the last whole step of the past is the minute before.
        assert site.prompt_steps(entry) == [(-60.0 * n, 1000.0) for n in range(10, 0, -1)]
        plan = site.status(entry).plan
        assert plan is not None
        assert set(plan.forecasts) == set(PLANNED)


async def test_an_answer_does_not_wait_for_the_past() -> None:
    feed = FakeFeed(past_seconds=3600, past_delay_seconds=5)
    async with running({"a": feed}, history_seconds=3600) as site:
        entry = site.ask("a")
        await until(0.1)

        assert replicas(entry) == 2


async def test_looks_taken_while_the_past_is_read_are_not_lost() -> None:
    feed = FakeFeed(past_seconds=600, past_delay_seconds=20)  # read for 200 s
    async with running({"a": feed}, history_seconds=3600) as site:
        entry = site.ask("a")
        await until(190)
        feed.prompt = 3000
        await until(250)

        steps = dict(site.prompt_steps(entry))
        assert [at for at in steps if at > 0] == [60, 120, 180]
        assert steps[180] == 2000  # 1000 at 173 and 188 s, 3000 at 203 and 218 s


async def test_reading_the_past_leaves_room_for_the_present() -> None:
    feeds = {str(n): FakeFeed(past_seconds=600, past_delay_seconds=10) for n in range(3)}
    async with running(feeds, history_seconds=3600, restores_at_once=2) as site:
        entries = [site.ask(name) for name in feeds]
        await until(150)

        restored = [min(at for at, _ in site.prompt_steps(entry)) < 0 for entry in entries]
        assert restored == [True, True, False]


async def test_no_past_is_read_while_feeds_wait_to_be_planned_for() -> None:
    planned_before: list[int] = []

    class Noted(FakeFeed):
        async def history(self, **span: float) -> AsyncIterator[Observation]:
            answers = [entry.current() for entry in entries]
            planned_before.append(sum(isinstance(one, Answer) for one in answers))
            async for observation in super().history(**span):
                yield observation

    feeds = {str(n): Noted(past_seconds=600) for n in range(5)}
    async with running(feeds, history_seconds=3600, restores_at_once=5) as site:
        entries = [site.ask(name) for name in feeds]
        await until(1)

    assert planned_before == [5] * 5


async def test_the_past_of_the_object_that_keda_asked_about_last_is_read_first() -> None:
    begun: list[str] = []

    class Noted(FakeFeed):
        async def history(self, **span: float) -> AsyncIterator[Observation]:
            begun.append(str(self.prompt))
            async for observation in super().history(**span):
                yield observation

    feeds = {str(n): Noted(prompt=n, past_seconds=600, past_delay_seconds=10) for n in range(5)}
    async with running(feeds, history_seconds=3600, restores_at_once=1) as site:
        for name in feeds:
            site.ask(name)
            await asyncio.sleep(1)
        site.loop.note_asked(site.ask("2").reference, site.wall.steady())
        await until(600)

        # 0 was alone when it came; of the others KEDA asked about 2 last, then about 4.
        assert begun == ["0", "2", "4", "3", "1"]


async def test_a_past_that_cannot_be_read_leaves_the_present() -> None:
    feed = FakeFeed(past_failure=SourceUnavailableError("503"))
    async with running({"a": feed}, history_seconds=3600) as site:
        entry = site.ask("a")
        await until(120)

        assert [at for at, _ in site.prompt_steps(entry)] == [0, 60]
        assert site.faults() == 0


async def test_a_past_that_could_not_be_read_is_asked_for_again() -> None:
    feed = FakeFeed(past_failure=SourceUnavailableError("503"))
    async with running({"a": feed}, history_seconds=3600) as site:
        entry = site.ask("a")
        await until(30)
        feed.past_seconds, feed.past_failure = 600, None
        await until(90)

        steps = [at for at, _ in site.prompt_steps(entry)]
        assert steps[0] < 0
        assert steps == sorted(set(steps))


async def test_a_past_that_takes_too_long_leaves_the_present() -> None:
    feed = FakeFeed(past_seconds=600, past_delay_seconds=500)
    async with running({"a": feed}, history_seconds=3600, restore_seconds_max=90) as site:
        entry = site.ask("a")
        await until(180)

        assert [at for at, _ in site.prompt_steps(entry)] == [0, 60, 120]


async def test_a_past_that_breaks_off_is_asked_for_again_from_there() -> None:
    feed = FakeFeed(past_seconds=600, past_ends_after=4, past_failure=SourceUnavailableError("503"))
    async with running({"a": feed}, history_seconds=3600) as site:
        entry = site.ask("a")
        await until(30)
        assert site.prompt_steps(entry) == []  # a past with a hole up to now counts for nothing
        feed.past_ends_after, feed.past_failure = None, None
        await until(130)

        # What was read is not read again, and what was missing is not a gap.
        assert feed.past_asked_from == [-3600, -360]
        assert site.prompt_steps(entry) == [(60.0 * n, 1000.0) for n in range(-10, 2)]


async def test_a_past_that_its_source_never_tells_is_asked_for_every_hour() -> None:
    feed = FakeFeed(past_failure=SourceUnavailableError("503"))
    async with running({"a": feed}, history_seconds=3600) as site:
        site.ask("a")
        await until(5 * 3600)

        # After 1, 5, 15 and 60 minutes, and then every hour: at 0, 60, 360, 1260, 4860, 8460 ...
        assert len(feed.past_asked_from) == 8


async def test_a_fault_of_ours_in_the_past_leaves_the_present() -> None:
    feed = FakeFeed(past_seconds=300, past_failure=RuntimeError("a bug"))
    async with running({"a": feed}, history_seconds=3600) as site:
        entry = site.ask("a")
        await until(120)

        assert [at for at, _ in site.prompt_steps(entry)] == [0, 60]
        assert site.faults() == 1
        assert replicas(entry) == 2


# Who shares, and who is forgotten.


async def test_two_workloads_on_one_feed_share_its_looks() -> None:
    feed = FakeFeed(prompt=4000)
    async with running({"a": feed}) as site:
        first, second = site.ask("a", name="one"), site.ask("a", name="two", maxReplicas="3")
        await until(10)

        assert feed.looked == [0, 8]
        assert (replicas(first), replicas(second)) == (5, 3)


async def test_an_edit_of_a_trigger_keeps_what_was_learnt_and_is_answered_at_once() -> None:
    feed = FakeFeed(prompt=4000)
    async with running({"a": feed}) as site:
        before = site.ask("a")
        await until(130)
        after = site.ask("a", maxReplicas="3")
        await until(130.01)

        assert replicas(after) == 3
        assert feed.looked[-1] == 128  # nothing was read for it
        assert site.prompt_steps(after) == site.prompt_steps(before)


async def test_what_an_edit_left_behind_is_forgotten_and_its_feed_with_it() -> None:
    feeds = {"a": FakeFeed(), "b": FakeFeed()}
    async with running(feeds) as site:
        old = site.ask("a", name="one")
        await until(30)
        new = site.ask("b", name="one")
        await until(3660)
        site.ask("b", name="one")
        await until(3700)

        assert site.known() == {new.reference}
        assert old.reference != new.reference
        assert feeds["a"].looked[-1] < 3670 < feeds["b"].looked[-1]


async def test_what_a_full_board_drops_is_not_looked_at_any_more() -> None:
    feeds = {"silent": FakeFeed(), "new": FakeFeed()}
    settings = {"look_period_seconds": 3600.0, "step_seconds": 3600.0}
    async with running(feeds, objects_max=1, **settings) as site:
        site.ask("silent")
        await until(86_500)
        new = site.ask("new")
        await until(100_000)

        assert site.known() == {new.reference}
        assert max(feeds["silent"].looked) < 90_500


async def test_an_object_that_is_asked_about_again_after_it_was_dropped_is_planned() -> None:
    feeds = {"one": FakeFeed(), "two": FakeFeed()}
    settings = {"look_period_seconds": 3600.0, "step_seconds": 3600.0}
    async with running(feeds, objects_max=1, **settings) as site:
        site.ask("one")
        await until(86_500)
        site.ask("two")
        await until(2 * 86_500)
        again = site.ask("one")
        await until(2 * 86_500 + 1)

        assert replicas(again) == 2


async def test_sources_that_no_feed_reads_any_more_are_let_go() -> None:
    feeds = {model: FakeFeed() for model in ("here", "there")}

    def connect(reference: Reference, trigger_spec: TriggerSpec) -> Binding:
        model = trigger_spec.model
        return binding(model, feeds[model], trigger_spec, source=model)

    async with running(feeds, connect=connect) as site:
        here, _ = site.ask("here"), site.ask("there")
        await until(1)
        assert site.kept == []

        site.loop.apply(Changes(forgotten=(here.reference,)))

        assert [{key.scope.model for key in in_use} for in_use in site.kept] == [{"there"}]


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(
            lambda: Weakly(past_seconds=600, past_delay_seconds=100), id="waits for its turn"
        ),
        pytest.param(
            lambda: Weakly(past_failure=SourceUnavailableError("503")), id="waits to ask again"
        ),
    ],
)
async def test_feeds_that_edits_left_behind_leave_memory_though_their_past_was_not_read(
    make: Callable[[], "Weakly"],
) -> None:
    left: weakref.WeakSet[Weakly] = weakref.WeakSet()

    def connect(_: Reference, trigger_spec: TriggerSpec) -> Binding:
        feed = make()
        left.add(feed)
        return binding(trigger_spec.model, feed, trigger_spec)

    async with running(
        {}, connect=connect, history_seconds=3600, restores_at_once=1, restore_seconds_max=30
    ) as site:
        for edit in range(50):
            site.ask(str(edit), name="edited")
            await asyncio.sleep(0.1)
        _ = gc.collect()

        # 16 triggers are the most of one object; beside them, one whose past is being read.
        assert len(left) <= OF_OBJECT_MAX + 1
        assert site.faults() == 0


async def test_edits_by_the_second_do_not_go_through_all_sources_each_time() -> None:
    feeds = {str(edit): FakeFeed() for edit in range(60)}

    def connect(_: Reference, trigger_spec: TriggerSpec) -> Binding:
        model = trigger_spec.model
        return binding(model, feeds[model], trigger_spec, source=model)

    async with running(feeds, connect=connect) as site:
        for model in feeds:
            site.ask(model, name="edited")
            await asyncio.sleep(0.05)
        await until(3.1)
        assert 1 <= len(site.kept) <= 4

        await until(8.1)  # the next moment
        assert {key.scope.model for key in site.kept[-1]} == set(map(str, range(44, 60)))


async def test_a_model_on_the_watch_list_is_planned_and_never_forgotten() -> None:
    feed = FakeFeed()
    reference = Reference.of("llm", "seen", {"model": "a"})
    async with running({"a": feed}) as site:
        site.loop.watch(reference, parse({"model": "a"}, ALLOWED))
        site.loop.apply(Changes(forgotten=(reference,)))
        await until(24)

        (status,) = site.loop.statuses()
        assert status.on_watch_list
        assert status.cycle_state.plan is not None
        assert feed.asked_for[-1] == 23


async def test_a_need_beyond_all_bounds_stops_no_feed_and_is_answered_with_the_bound() -> None:
    feeds = {"absurd": FakeFeed(prompt=1e25, delay_seconds=9), "sound": FakeFeed()}
    async with running(feeds, looks_at_once=1) as site:
        absurd, sound = site.ask("absurd", maxReplicas="7"), site.ask("sound")
        await until(100)

        assert replicas(absurd) == 7
        assert replicas(sound) == 2
        assert site.faults() == 0


@pytest.mark.parametrize("seconds", [-3600.0, 3600.0], ids=["back", "forward"])
async def test_a_clock_that_is_set_during_a_look_makes_no_answer_younger_or_older(
    seconds: float,
) -> None:
    feed = FakeFeed(delay_seconds=4)
    async with running({"a": feed}) as site:
        entry = site.ask("a")
        await until(25)  # the look of second 23 is under way
        site.wall.set_by = seconds
        await until(30)
        feed.failure = SourceUnavailableError("down")
        await until(8 + 300)
        assert isinstance(entry.current(), Answer)

        await until(30 + 301)
        assert isinstance(entry.current(), Refusal)


async def test_an_answer_that_stands_is_held_where_its_state_is_lost() -> None:
    # As when the planner is killed just after its clock was set, and its states are refused.
    feed = FakeFeed(prompt=1000)
    reference = Reference.of("llm", "a", {"model": "a", "mode": "act", "hold": "60s"})
    standing = Answer(replicas=20, active=True, made_at_seconds=BEGIN_SECONDS)
    async with running({"a": feed}) as site:
        entry = site.board.ask(reference)
        entry.publish(TimedOutcome(outcome=standing, read_at_seconds=0, valid_until_seconds=300))
        await until(30)
        assert replicas(entry) == 20

        await until(90)
        assert replicas(entry) == 2


# Limits.


@dataclass
class DisbelievedFeed(FakeFeed):
    """A feed with one number beyond its bound, and one that the replicas cannot have served."""

    async def observe(self, *, now_seconds: float) -> Observation:
        absurd = Absent(why="a reports 9e14, over 1e6", limit=Limit.SIGNAL_BOUND)
        readings = {
            Signal.REPLICAS: Value(value=1, at_seconds=now_seconds),
            Signal.PROMPT_TOKENS: Value(value=9e6, at_seconds=now_seconds),
            Signal.WAITING: absurd,
        }
        return Observation(at_seconds=now_seconds, readings=readings)


async def test_numbers_that_are_not_believed_are_counted(
    limits_exceeded: Callable[[], set[Limit]],
) -> None:
    async with running({"a": DisbelievedFeed()}) as site:
        site.ask("a")
        await until(10)

    assert limits_exceeded() == {Limit.SIGNAL_BOUND, Limit.SERVED_RATE}


class Answer64MiB:
    """What a source sent; a weak reference can be made to it."""


class FailingFeed(FakeFeed):
    """A feed that fails with an answer in its hands."""

    answers: ClassVar[weakref.WeakSet[Answer64MiB]] = weakref.WeakSet()

    async def observe(self, *, now_seconds: float) -> Observation:
        answer = Answer64MiB()
        self.answers.add(answer)
        raise SourceUnavailableError("no answer") from ValueError(answer)


async def test_a_failed_look_keeps_its_message_and_nothing_of_the_answer() -> None:
    async with running({"a": FailingFeed()}) as site:
        entry = site.ask("a")
        await until(1)
        gc.collect()

        assert refusal(entry).message.endswith("no answer")
        assert not FailingFeed.answers
