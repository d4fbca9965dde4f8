"""What the planning cycle tells readers of plans, and that none of them slows it."""

from collections.abc import Iterable

import pytest

from foresail.serve.pace import planning_settings
from foresail.settings.cycle import CycleSettings
from scaler.decision.answers import Reference
from scaler.errors import SourceMisconfiguredError
from scaler.evaluate import CycleState
from scaler.serving.changes import Arrival, Changes
from scaler.serving.cycle import PlanningCycle
from scaler.serving.feeds import Binding
from scaler.serving.metrics import PlanningMetrics
from scaler.serving.plan_book import PlanBook, Reader
from scaler.serving.plan_message import plan_message
from scaler.serving.state_book import NoStates
from scaler.trigger import TriggerSpec
from scaler.trigger_parsing import parse
from tests.scaler.fakes import binding
from tests.scaler.test_cycle import ALLOWED, BEGIN_SECONDS, CollectorRegistry, FakeFeed


class Site:
    """A cycle over one feed a model that tests step through, and the book that it tells."""

    def __init__(self, *, refused: Iterable[str] = ()) -> None:
        self.now = 0.0
        self.feeds: dict[str, FakeFeed] = {}
        self.refused = frozenset(refused)
        self.book = PlanBook(instance="life")
        self.cycle = PlanningCycle(
            self.connect,
            planning_settings(CycleSettings(history=0)),
            publish=lambda *_: None,
            wall=lambda: BEGIN_SECONDS + self.now,
            steady=lambda: self.now,
            metrics=PlanningMetrics(CollectorRegistry()),
            states=NoStates(),
            readers=self.book,
        )

    def connect(self, reference: Reference, spec: TriggerSpec) -> Binding:
        if spec.model in self.refused:
            raise SourceMisconfiguredError("no such source")
        return binding(spec.model, self.feeds.setdefault(spec.model, FakeFeed()), spec)

    def arrive(self, *models: str) -> list[Reference]:
        references = [Reference.of("llm", one, {"model": one, "mode": "act"}) for one in models]
        arrivals = [
            Arrival(
                reference=one,
                trigger_spec=parse(dict(one.metadata), ALLOWED),
                timed=CycleState.unread(self.now).timed,
                asked_at_seconds=self.now,
            )
            for one in references
        ]
        self.cycle.apply(Changes(arrived=tuple(arrivals)))
        return references

    async def look(self) -> None:
        self.now += 15.0
        await self.cycle.cycle(at_seconds=BEGIN_SECONDS + self.now)

    def reader(self) -> Reader:
        return self.book.open(lambda _: True, version=None)


def taken(reader: Reader) -> list[str]:
    found = []
    while (reference := reader.take()) is not None:
        found.append(reference.name)
    return found


async def test_a_reader_is_told_of_arrivals_looks_and_removals() -> None:
    site = Site()
    reader = site.reader()
    a, _ = site.arrive("a", "b")
    arrived = taken(reader)
    await site.cycle.begin()
    await site.look()
    looked = taken(reader)
    site.cycle.apply(Changes(forgotten=(a,)))

    assert arrived == ["a", "b"]
    assert sorted(looked) == ["a", "b"]
    assert taken(reader) == ["a"]
    assert site.cycle.status(a) is None


async def test_a_look_that_failed_is_told_too() -> None:
    site = Site()
    site.arrive("a")
    await site.cycle.begin()
    reader = site.reader()
    taken(reader)
    site.feeds["a"].failure = SourceMisconfiguredError("no such label")
    await site.look()

    assert taken(reader) == ["a"]


async def test_a_workload_that_its_source_refuses_is_told_with_the_reason() -> None:
    site = Site(refused=["a"])
    (a,) = site.arrive("a")
    status = site.cycle.status(a)
    assert status is not None

    assert taken(site.reader()) == ["a"]
    message = plan_message(status, now_seconds=site.now)
    assert (message.refused.code, message.refused.message) == ("misconfigured", "no such source")
    assert not message.HasField("plan")


@pytest.mark.parametrize("readers", [0, 1, 20])
async def test_readers_that_take_nothing_change_nothing_in_the_cycle(readers: int) -> None:
    """Counted: the looks that are made, and the entries that are kept."""
    site = Site()
    site.arrive(*(f"m-{number}" for number in range(10)))
    await site.cycle.begin()
    slow = [site.reader() for _ in range(readers)]
    for _ in range(100):
        await site.look()

    assert [len(feed.looked) for feed in site.feeds.values()] == [101] * 10
    assert [len(reader.queue) for reader in slow] == [10] * readers


async def test_two_replicas_that_read_the_same_answer_alike() -> None:
    """The second one looks later; only ages differ."""
    answers = []
    for later in (0.0, 7.0):
        site = Site()
        (a,) = site.arrive("a")
        await site.cycle.begin()
        await site.look()
        site.now += later
        status = site.cycle.status(a)
        assert status is not None
        message = plan_message(status, now_seconds=site.now)
        for age in ("looked_seconds_ago", "age_seconds", "asked_seconds_ago", "valid_for_seconds"):
            message.ClearField(age)
        answers.append(message)

    assert answers[0].plan.planned == 2
    assert answers[0] == answers[1]
