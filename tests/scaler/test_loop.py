"""The cycle in simulated time: when feeds are looked at, and that none holds up another."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry

from scaler.board import Answer, Board, Entry, Reference, Refusal, RefusalCode
from scaler.capacity import Origin, ReplicaCapacity, Together, Work
from scaler.errors import SourceMisconfiguredError, SourceUnavailableError
from scaler.loop import ScalerLoop
from scaler.loop_settings import LoopSettings
from scaler.metadata import Offer, TriggerMetadata, parse
from scaler.metrics import LoopMetrics
from scaler.serving.state_book import NoStates, StateBook
from scaler.signals import Observation, Signal, Value
from scaler.track import PLANNED, Series
from scaler.watched import Connection
from tests.scaler.fakes import NoForecast

BEGIN_SECONDS = 1_800_000_000.0 + 7
"""Seven seconds after a look of the grid: the next ones are 8, 23, 38, ... s from the start."""
OFFER = Offer(engines={"vllm": False}, sources=frozenset({"main"}), default_source="main")


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
        first = max(start_seconds, end_seconds - self.past_seconds)
        at = -(-first // step_seconds) * step_seconds
        while at <= end_seconds and self.past_seconds:
            await asyncio.sleep(self.past_delay_seconds)
            yield observed(at, self.prompt)
            at += step_seconds
        if self.past_failure is not None:
            raise self.past_failure


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
    loop: ScalerLoop
    registry: CollectorRegistry

    def ask(self, model: str, *, name: str | None = None, **metadata: str) -> Entry:
        reference = Reference.of("llm", name or model, {"model": model, **metadata})
        return self.board.ask(reference)

    def prompt_steps(self, entry: Entry) -> list[tuple[float, float | None]]:
        """The steps of the prompt series in the track that the entry's plans are made from."""
        made = self.loop.watched[entry.reference].track._forecasters[Series.PROMPT_TOKENS]
        assert isinstance(made, NoForecast)
        return [(at - BEGIN_SECONDS + 7, value) for at, value in made.steps]

    def faults(self) -> float | None:
        return self.registry.get_sample_value("foresail_cycle_errors_total")


@asynccontextmanager
async def running(
    feeds: Mapping[str, FakeFeed],
    *,
    connect: Callable[[Reference, TriggerMetadata], Connection] | None = None,
    objects_max: int = 100,
    states: StateBook | None = None,
    **settings: float,
) -> AsyncIterator[Site]:
    """A running loop over feeds by model; no history unless the settings say so."""
    clock_loop = asyncio.get_running_loop()
    registry = CollectorRegistry()

    def clock() -> float:
        return BEGIN_SECONDS + clock_loop.time()

    def by_model(reference: Reference, wishes: TriggerMetadata) -> Connection:
        return connection(wishes.model, feeds[wishes.model])

    def forecaster(wishes: TriggerMetadata, series: Series) -> NoForecast:
        return NoForecast(series)

    board = Board(
        lambda metadata: parse(metadata, OFFER),
        clock=clock,
        objects_max=objects_max,
        answer_seconds_max=300,
    )
    loop = ScalerLoop(
        board,
        connect or by_model,
        forecaster,
        LoopSettings(**{"history_seconds": 0.0, **settings}),  # type: ignore[arg-type]
        clock=clock,
        metrics=LoopMetrics(registry),
        states=states or NoStates(),
    )
    task = asyncio.create_task(loop.run())
    try:
        yield Site(board, loop, registry)
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def connection(key: str, feed: FakeFeed) -> Connection:
    capacity = ReplicaCapacity(
        work=Work(
            prompt=1 / 1000, generated=1 / 500, together=Together.SUM, origin=Origin.METADATA
        ),
        requests=50,
    )
    return Connection(key=key, feed=feed, capacity=capacity)


def replicas(entry: Entry) -> int:
    """At utilisation 0.8 and 1000 tokens/s a replica."""
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


async def test_moments_that_a_long_cycle_overran_are_left_out() -> None:
    slow = {name: FakeFeed(delay_seconds=9) for name in ("a", "b", "c")}
    async with running(slow, looks_at_once=1) as site:
        for name in slow:
            site.ask(name)
        await until(100)

    # The first looks end at 27 s and those of second 8 at 54; 23, 38 and 53 went by meanwhile.
    asked_for = sorted({at for feed in slow.values() for at in feed.asked_for})
    assert asked_for[:2] == [0, 8]
    assert all((at - 8) % 15 == 0 for at in asked_for[1:])
    assert 23 not in asked_for


async def test_a_loop_that_keeps_up_is_not_overdue() -> None:
    async with running({}) as site:
        await until(300)

        assert site.loop.overdue_seconds() == 0


# Feeds that fail.


async def test_a_slow_feed_delays_no_other() -> None:
    feeds = {"slow": FakeFeed(delay_seconds=60), "quick": FakeFeed()}
    async with running(feeds) as site:
        slow, _ = site.ask("slow"), site.ask("quick")
        await until(60)

        assert feeds["quick"].looked == [0, 8, 23, 38, 53]
        assert "no answer within 10 s" in refusal(slow).message


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


# Objects that cannot be connected.


async def test_a_source_that_cannot_be_asked_is_a_refusal_that_stands() -> None:
    def connect(reference: Reference, wishes: TriggerMetadata) -> Connection:
        raise SourceMisconfiguredError("label 'namespace' is set by the source, not by a trigger")

    async with running({}, connect=connect) as site:
        entry = site.ask("a")
        await until(1)
        assert refusal(entry).code is RefusalCode.MISCONFIGURED
        await until(1000)

        # Not "the planning process is not heard": it is, and this is what it says.
        assert refusal(entry).message == "label 'namespace' is set by the source, not by a trigger"


async def test_a_source_that_can_be_asked_later_is() -> None:
    feed, refused = FakeFeed(), True

    def connect(reference: Reference, wishes: TriggerMetadata) -> Connection:
        if refused:
            raise SourceMisconfiguredError("secret file token: No such file or directory")
        return connection("a", feed)

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
        entry = site.board.ask(Reference.of("llm", "a", {"modle": "a"}))
        await until(9)

        assert refusal(entry).code is RefusalCode.INVALID
        assert site.faults() == 0


# The past.


async def test_forecasts_exist_as_soon_as_the_past_is_read() -> None:
    feed = FakeFeed(past_seconds=600, prompt=1000)
    async with running({"a": feed}, history_seconds=3600) as site:
        entry = site.ask("a")
        await until(1)

        # Begun at 7 s past the minute: the last whole step of the past is the minute before.
        assert site.prompt_steps(entry) == [(-60.0 * n, 1000.0) for n in range(10, 1, -1)]
        assert set(site.loop.watched[entry.reference].track.forecasts) == set(PLANNED)


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


async def test_a_past_that_breaks_off_counts_as_far_as_it_was_read() -> None:
    feed = FakeFeed(past_seconds=300, past_failure=SourceUnavailableError("503"))
    async with running({"a": feed}, history_seconds=3600) as site:
        entry = site.ask("a")
        await until(60)

        assert [at for at, _ in site.prompt_steps(entry)] == [-300, -240, -180, -120, -60, 0]


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
        assert site.loop.watched[after.reference] is site.loop.watched[before.reference]


async def test_what_an_edit_left_behind_is_forgotten_and_its_feed_with_it() -> None:
    feeds = {"a": FakeFeed(), "b": FakeFeed()}
    async with running(feeds) as site:
        old = site.ask("a", name="one")
        await until(30)
        new = site.ask("b", name="one")
        await until(3660)
        site.ask("b", name="one")
        await until(3700)

        assert set(site.loop.watched) == {new.reference}
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

        assert set(site.loop.watched) == {new.reference}
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
