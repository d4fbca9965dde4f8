"""Feeds of one group are looked at by one read, and stay apart in all else."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from scaler.decision.answers import Answer, Reference
from scaler.errors import SourceUnavailableError
from scaler.serving.changes import Changes
from scaler.serving.feeds import Binding
from scaler.signals import Feed, Observation
from scaler.trigger import TriggerSpec
from tests.scaler.fakes import binding
from tests.scaler.test_cycle import FakeFeed, Site, observed, refusal, replicas, running, until


@dataclass(eq=False)
class FakeGroup:
    """Reads all its feeds at once, after `delay_seconds`."""

    delay_seconds: float = 0.0
    failure: Exception | None = None
    """Of the whole read."""
    asked: list[tuple[float, list[float]]] = field(default_factory=list)
    """Loop time, and the prompt tokens of each feed of the read."""
    on_turn: Callable[[], object] = lambda: None
    turns_of_feed: int = 4
    """So many of the loop's turns after a read `on_turn` is called, for each feed."""

    def parts(self, feeds: Sequence[Feed]) -> Sequence[Sequence[int]]:
        return [range(len(feeds))]

    async def observe(
        self, feeds: Sequence[Feed], *, now_seconds: float
    ) -> Sequence[Observation | Exception]:
        fakes = [feed for feed in feeds if isinstance(feed, FakeFeed)]
        self.asked.append((asyncio.get_running_loop().time(), [one.prompt for one in fakes]))
        await asyncio.sleep(self.delay_seconds)
        if self.failure is not None:
            raise self.failure
        _ = asyncio.get_running_loop().call_soon(self.each_turn, self.turns_of_feed * len(feeds))
        return [one.failure or observed(now_seconds, one.prompt) for one in fakes]

    def each_turn(self, turns: int) -> None:
        """At each of the loop's next turns, call `on_turn`."""
        self.on_turn()
        if turns > 1:
            _ = asyncio.get_running_loop().call_soon(self.each_turn, turns - 1)

    def moments(self) -> list[tuple[float, int]]:
        """Loop time and number of feeds, of the reads on the grid."""
        return [(at, len(prompts)) for at, prompts in self.asked if at]


@asynccontextmanager
async def together(
    feeds: Mapping[str, FakeFeed], group: FakeGroup, **settings: float
) -> AsyncIterator[Site]:
    def connect(_: Reference, trigger_spec: TriggerSpec) -> Binding:
        model = trigger_spec.model
        return replace(binding(model, feeds[model], trigger_spec), group=group)

    async with running(feeds, connect=connect, **settings) as site:
        yield site


async def test_feeds_of_a_group_are_read_at_once_from_their_first_moment_on() -> None:
    feeds, group = {"a": FakeFeed(prompt=1000), "b": FakeFeed(prompt=1600)}, FakeGroup()
    async with together(feeds, group) as site:
        a, b = site.ask("a"), site.ask("b")
        await until(24)

        assert group.asked[:2] == [(0, [1000]), (0, [1600])]  # a new one is looked at at once
        assert group.moments() == [(8, 2), (23, 2)]
        assert (replicas(a), replicas(b)) == (2, 2)
        assert site.counted("foresail_look_duration_seconds_count", source="main") == 2 + 2 * 2


async def test_a_feed_that_fails_in_a_common_read_fails_alone() -> None:
    feeds = {
        "sound": FakeFeed(),
        "down": FakeFeed(failure=SourceUnavailableError("its newest sample is old")),
        "broken": FakeFeed(failure=ZeroDivisionError("a bug")),
        "last": FakeFeed(),
    }
    async with together(feeds, FakeGroup()) as site:
        entries = [site.ask(model) for model in feeds]
        await until(9)

        assert [replicas(entries[at]) for at in (0, 3)] == [2, 2]
        assert "its newest sample is old" in refusal(entries[1]).message
        assert site.faults() == 2  # at once, and at the first moment


async def test_a_fault_of_ours_in_a_common_read_stops_none_of_the_next() -> None:
    group = FakeGroup()
    async with together({"a": FakeFeed(), "b": FakeFeed()}, group) as site:
        a, _ = site.ask("a"), site.ask("b")
        await until(1)
        group.failure = RuntimeError("a bug")
        await until(9)
        assert site.faults() == 1
        group.failure = None
        await until(24)

        assert group.moments() == [(8, 2), (23, 2)]
        assert replicas(a) == 2


async def test_a_common_read_ends_in_time_and_each_feed_says_why() -> None:
    group = FakeGroup(delay_seconds=1e9)
    async with together({"a": FakeFeed(), "b": FakeFeed()}, group) as site:
        entries = [site.ask("a"), site.ask("b")]
        await until(19)

        assert ["no answer within 10 s" in refusal(one).message for one in entries] == [True] * 2


async def test_feeds_are_read_together_again_as_soon_as_a_common_read_ends_late() -> None:
    group = FakeGroup()
    async with together({"a": FakeFeed(), "b": FakeFeed()}, group, look_seconds_max=60) as site:
        _ = site.ask("a"), site.ask("b")
        await until(1)
        group.delay_seconds = 20
        await until(40)
        assert group.moments() == [(8, 2), (28, 2)]
        assert site.counted("foresail_looks_missed_total", source="main") == 0
        group.delay_seconds = 40
        await until(85)

        # 28 to 48 s is of the moment 23, 48 to 88 of 38: 53 is not begun before 68.
        assert group.moments() == [(8, 2), (28, 2), (48, 2)]
        assert site.counted("foresail_looks_missed_total", source="main") == 2 * 2


async def test_a_group_takes_one_slot_and_is_read_for_the_newest_moment_without_the_forgotten() -> (
    None
):
    feeds = {model: FakeFeed() for model in ("slow", "a", "b")}
    group = FakeGroup()

    def connect(_: Reference, trigger_spec: TriggerSpec) -> Binding:
        found = binding(trigger_spec.model, feeds[trigger_spec.model], trigger_spec)
        return found if trigger_spec.model == "slow" else replace(found, group=group)

    async with running(feeds, connect=connect, looks_at_once=1, look_seconds_max=60) as site:
        entries = {model: site.ask(model) for model in feeds}
        await until(1)
        feeds["slow"].delay_seconds = 20
        await until(9)  # the slow one has the only slot
        site.loop.apply(Changes(forgotten=(entries["b"].reference,)))
        await until(29)

        (first, *_) = group.moments()
        assert first == (28, 1)
        assert replicas(entries["a"]) == 2


@pytest.mark.parametrize("set_by", [-3600.0, 3600.0])
async def test_a_common_read_under_way_when_the_clock_was_set_is_dropped(set_by: float) -> None:
    feeds, group = {"a": FakeFeed(), "b": FakeFeed()}, FakeGroup()
    async with together(feeds, group) as site:
        a = site.ask("a")
        _ = site.ask("b")
        await until(1)
        group.delay_seconds = 5
        await until(9)
        for feed in feeds.values():
            feed.prompt = 8000
        site.wall.set_by = set_by
        await until(14)
        before = replicas(a)
        await until(40)

        assert (before, replicas(a)) == (2, 10)


async def test_the_loop_turns_between_the_plans_of_a_group() -> None:
    feeds, group = {f"m{n}": FakeFeed() for n in range(5)}, FakeGroup()
    async with together(feeds, group) as site:
        entries = [site.ask(model) for model in feeds]
        await until(1)
        for feed in feeds.values():
            feed.prompt = 8000
        planned: list[int] = []
        group.on_turn = lambda: planned.append([replicas(one) for one in entries].count(10))
        await until(9)

    assert {1, 2, 3, 4, 5} <= set(planned)


async def test_a_group_is_planned_for_to_its_end_before_others_begin() -> None:
    feeds = {name: FakeFeed() for name in ("a1", "a2", "b1", "b2", "c1", "c2")}
    groups = {name: FakeGroup(turns_of_feed=20) for name in "abc"}

    def connect(_: Reference, trigger_spec: TriggerSpec) -> Binding:
        model = trigger_spec.model
        return replace(binding(model, feeds[model], trigger_spec), group=groups[model[0]])

    async with running(feeds, connect=connect) as site:
        entries = {model: site.ask(model) for model in feeds}
        await until(1)
        for feed in feeds.values():
            feed.prompt = 8000
        planned: list[str] = []

        def note_planned() -> None:
            done = [model for model, entry in entries.items() if replicas(entry) == 10]
            planned.extend(model for model in done if model not in planned)

        for group in groups.values():
            group.on_turn = note_planned
        await until(9)

    # The turn is given on before it is asked for again, so two of them go on side by side.
    assert planned == ["a1", "b1", "a2", "b2", "c1", "c2"]


async def test_a_new_feed_is_planned_for_before_the_groups_that_have_not_begun() -> None:
    feeds = {name: FakeFeed() for name in ("a", "b", "c", "new")}

    def connect(_: Reference, trigger_spec: TriggerSpec) -> Binding:
        model = trigger_spec.model
        return binding(model, feeds[model], trigger_spec)

    async with running(feeds, connect=connect) as site:
        known = [site.ask(model) for model in "abc"]
        await until(1)
        for feed in feeds.values():
            feed.prompt = 8000
            feed.delay_seconds = 4  # those on the grid are read at 12 s
        await until(8.5)
        feeds["new"].delay_seconds = 3.5  # it is read at 12 s too, after the others
        new, planned_before = site.ask("new"), list[int]()

        def note(turns: int) -> None:
            if not planned_before and isinstance(new.current(), Answer):
                planned_before.append([replicas(one) for one in known].count(10))
            if turns:
                _ = asyncio.get_running_loop().call_soon(note, turns - 1)

        _ = asyncio.get_running_loop().call_at(12, note, 40)
        await until(13)

    assert planned_before == [1]
