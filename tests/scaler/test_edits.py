"""An edit of a trigger: what was learned under the metadata before it counts on."""

from dataclasses import dataclass, replace

from typing_extensions import override

from scaler.decision.answers import Reference
from scaler.evaluate import CycleState
from scaler.serving.feeds import Workload
from scaler.serving.object_triggers import ObjectTriggers
from scaler.signals import Observation, Signal, Value
from tests.scaler.test_pools import RequestFeed, Site


@dataclass
class ReadyFeed(RequestFeed):
    """A feed that measures the ready replicas, too."""

    ready: float = 2.0

    @override
    async def observe(self, *, now_seconds: float) -> Observation:
        seen = await super().observe(now_seconds=now_seconds)
        ready = Value(value=self.ready, at_seconds=now_seconds)
        return replace(seen, readings={**seen.readings, Signal.REPLICAS: ready})


def learned(site: Site, reference: Reference) -> CycleState:
    status = site.cycle.status(reference)
    assert status is not None
    return status.cycle_state


async def started() -> tuple[Site, Reference]:
    """A site whose `chat` got 3 replicas more, 90 s after they were ordered."""
    site = Site(8, chat=ReadyFeed(prompt=1000), other=ReadyFeed(prompt=1000))
    reference = await site.arrive("chat")
    await site.look()
    site.feeds["chat"].prompt = 4000
    await site.look()
    assert site.answers == {"chat": 5}
    for _ in range(5):
        await site.look()
    return site, reference


def arrives(site: Site, ready: float) -> None:
    feed = site.feeds["chat"]
    assert isinstance(feed, ReadyFeed)
    feed.ready = ready


async def test_an_edit_keeps_starts_orders_and_books() -> None:
    site, old = await started()
    edited = await site.arrive("chat", maxReplicas="20")
    arrives(site, 5)
    await site.look()

    before, after = learned(site, old), learned(site, edited)
    assert [one.seconds for one in after.lead.starts] == [90.0]
    assert before.shadows is not None
    assert after.shadows is not None
    assert after.shadows.books.all().minutes == before.shadows.books.all().minutes >= 1


async def test_another_objective_begins_the_books_anew_and_keeps_the_lead_time() -> None:
    site, _ = await started()
    arrives(site, 5)
    await site.look()
    edited = await site.arrive("chat", ttft="3s")

    after = learned(site, edited)
    assert [one.seconds for one in after.lead.starts] == [90.0]
    assert after.shadows is not None
    assert after.shadows.books.all().minutes == 0


async def test_other_engines_keep_nothing() -> None:
    site, _ = await started()
    arrives(site, 5)
    await site.look()
    edited = await site.arrive("other", name="chat")

    after = learned(site, edited)
    assert after.lead.starts == ()
    assert after.shadows is not None
    assert after.shadows.books.all().minutes == 0


async def test_from_advise_to_act_the_replicas_that_run_are_held_and_the_books_stay() -> None:
    site = Site(8, chat=ReadyFeed(prompt=1000, ready=10))
    old = await site.arrive("chat", mode="advise")
    for _ in range(9):
        await site.look()
    edited = await site.arrive("chat", mode="act")
    await site.look()
    assert site.answers == {"chat": 10}
    books = [learned(site, one).shadows for one in (old, edited)]
    assert len({one.books.all().minutes for one in books if one is not None}) == 1
    assert all(one is not None and one.books.all().minutes for one in books)


async def test_after_a_pause_the_starts_count_and_the_orders_do_not() -> None:
    site, old = await started()
    arrives(site, 5)
    await site.look()
    site.feeds["chat"].prompt = 6000
    for _ in range(45):
        await site.look()
    edited = await site.arrive("chat", maxReplicas="20")
    before, after = learned(site, old), learned(site, edited)
    assert [one.seconds for one in after.lead.starts] == [90.0]
    orders = [one.lead.awaited for one in (before, after)]
    assert [len(one) > 0 for one in orders] == [True, False]


def asked_about(key: str, at: float) -> Workload:
    reference = Reference.of("llm", "chat", {"model": key})
    return Workload(reference, None, asked_at_seconds=at, cycle_state=CycleState.unread(at))


def test_of_two_triggers_that_a_restart_finds_the_one_asked_about_last_counts() -> None:
    counted: list[Workload] = []
    triggers = ObjectTriggers(counted.append)
    newer, older = asked_about("newer", 3000), asked_about("older", 60)
    for one in (newer, older):
        triggers.add(one)
        triggers.count(one)
    assert counted == [newer]

    older.asked_at_seconds = 3500
    triggers.asked(older)
    assert counted == [newer]
    older.asked_at_seconds = 3601  # more than ten minutes after the other
    triggers.asked(older)
    assert counted == [newer, older]

    triggers.remove(older)
    assert counted == [newer, older, newer]
