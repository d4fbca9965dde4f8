"""The client of the Plans API beside a server that restarts, refuses, or is newer."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from foresail.client import Changed, Plan, Plans, PlansError, Removed, Snapshot
from foresail.plans_api.plan import LearnedLead, plan_of
from scaler.decision.running_maximum import running_maximum
from scaler.errors import ForesailError
from scaler.learning.estimates import LeadEstimate
from scaler.learning.shadows.account import account_of
from scaler.rpc.foresail.v1 import plans_pb2 as pb
from scaler.serving.plan_book import PlanBook
from scaler.serving.plan_message import plan_message
from scaler.signals import Absent, Stale, Value
from scaler.trigger import Mode
from tests.contracts.plan_readers import (
    NOW,
    PARAMETERS,
    PlansSite,
    named,
    status,
    unread,
)
from tests.contracts.served import START
from tests.learning.shadows.test_record import after
from tests.prometheus import free_port

pytestmark = pytest.mark.looptime(False)  # sockets need real time

A, B, C = (named(name) for name in "abc")
QUICK = (0.02,)


def seen(event: Snapshot | Changed | Removed) -> str:
    match event:
        case Snapshot(plans=plans):
            return "all: " + " ".join(f"{one.workload.name} {planned(one)}" for one in plans)
        case Changed(plan=plan):
            return f"+{plan.workload.name} {planned(plan)}"
        case Removed(workload=workload):
            return f"-{workload.name}"


def planned(plan: Plan) -> int:
    assert plan.plan is not None
    return plan.plan.planned


async def next_of(events: AsyncIterator[Snapshot | Changed | Removed], count: int) -> list[str]:
    async with asyncio.timeout(60):
        return [seen(await anext(events)) for _ in range(count)]


def plans_at(port: int, *, namespaces: Sequence[str] = ()) -> Plans:
    return Plans(f"127.0.0.1:{port}", namespaces=namespaces, backoff_seconds=QUICK)


async def test_a_plan_comes_as_the_records_that_the_server_has() -> None:
    made = status(A)
    assert made.plan is not None

    plan = plan_of(plan_message(made, now_seconds=NOW))

    assert plan.workload == A
    assert (plan.model, plan.mode, plan.on_watch_list) == ("llama-70b", Mode.ACT, False)
    assert plan.plan == made.cycle_state.plan
    assert plan.demand == made.plan.demand
    assert plan.parameters == PARAMETERS
    assert plan.forecasts == {str(one): each for one, each in made.plan.forecasts.items()}
    assert plan.running_maximum == running_maximum(made.plan.forecasts, PARAMETERS)
    assert plan.signals == {
        "prompt_tokens": Value(value=1000.0, at_seconds=START - 3),
        "waiting": Value(value=0.0, at_seconds=START - 3),
        "running": Stale(at_seconds=START - 83),
        "kv_use": Absent(why="no series"),
    }
    assert (plan.age_seconds, plan.valid_for_seconds, plan.refused) == (7, 293, None)


async def test_a_plan_brings_its_objective_and_what_was_learned_of_its_lead_time() -> None:
    made = status(A)
    assert made.plan is not None
    lead = LeadEstimate(seconds=330.0, evidence="80% of starts (14 seen)")
    made = replace(made, plan=replace(made.plan, lead=lead))

    plan = plan_of(plan_message(made, now_seconds=NOW))

    assert plan.objective == PARAMETERS.objective
    assert plan.learned_lead == LearnedLead(
        seconds=330.0, evidence="80% of starts (14 seen)", fixed=False, stuck_replicas=0
    )
    assert plan.books is None  # nothing is booked yet


async def test_books_come_as_explain_shows_them() -> None:
    made = status(A)
    assert made.plan is not None
    shadows = after(60, lambda _: 4.0, ready=10.0, requests=None)
    made = replace(made, cycle_state=replace(made.cycle_state, shadows=shadows))

    plan = plan_of(plan_message(made, now_seconds=NOW))

    assert plan.books == account_of(shadows, made.plan.given)
    assert plan.books.days > 0
    assert any(rule.late is None for rule in plan.books.rules)  # the unknown stays unknown


async def test_what_the_server_does_not_know_is_none() -> None:
    plan = plan_of(plan_message(unread(A), now_seconds=NOW))

    assert plan.plan is plan.demand is plan.parameters is plan.replica_forecast is None
    assert plan.age_seconds is plan.valid_for_seconds is plan.looked_at_seconds is None
    assert plan.refused is not None
    assert plan.refused.code == "unavailable"


async def test_a_mode_and_a_state_of_a_newer_server_are_unknown_and_no_guess() -> None:
    message = plan_message(status(A), now_seconds=NOW)
    message.mode = 99  # type: ignore[assignment]
    message.signals[2].state = 99  # type: ignore[assignment]
    message.signals[2].why = "frozen"

    plan = plan_of(message)

    assert plan.mode is plan.parameters is None
    assert plan.signals["running"] == Absent(why="frozen")


async def test_fields_of_a_newer_server_survive_the_client() -> None:
    newer = plan_message(status(A), now_seconds=NOW).SerializeToString() + b"\xa2\x06\x05hello"
    plan = plan_of(pb.WorkloadPlan.FromString(newer))

    again = Plan.from_bytes(plan.received)

    assert again == plan
    assert again.received.endswith(b"\xa2\x06\x05hello")


def test_bytes_that_are_no_plan_are_refused() -> None:
    with pytest.raises(ForesailError, match="3 bytes are no plan of a workload"):
        Plan.from_bytes(b"\xff\xff\xff")


async def test_a_list_has_all_pages() -> None:
    site = PlansSite()
    async with site.served(), plans_at(site.port) as plans:
        names = [f"w-{number}" for number in range(230)]  # three pages
        for name in names:
            site.plan(named(name))

        found = await plans.list(seconds_max=60)

        assert [plan.workload.name for plan in found] == names


async def test_a_list_of_a_namespace_has_no_other() -> None:
    site = PlansSite()
    async with site.served(), plans_at(site.port, namespaces=["team-a"]) as plans:
        site.plan(A)
        site.plan(named("secret", "team-b"))

        assert [plan.workload for plan in await plans.list(seconds_max=60)] == [A]


async def test_a_list_waits_for_a_server_that_starts() -> None:
    site = PlansSite()
    site.plan(A)
    async with site.served(serving=False) as server, plans_at(site.port) as plans:
        listing = asyncio.create_task(plans.list(seconds_max=60))
        await asyncio.sleep(0.05)
        await server.serve()

        assert [plan.workload for plan in await listing] == [A]


async def test_a_list_that_nobody_answers_ends_with_the_address_and_the_reason() -> None:
    port = free_port()
    async with plans_at(port) as plans:
        with pytest.raises(PlansError, match=rf"plans of 127.0.0.1:{port}: UNAVAILABLE: .*refused"):
            await plans.list(seconds_max=0.05)


async def test_a_refusal_is_raised_at_once() -> None:
    site = PlansSite()
    async with site.served(), plans_at(site.port, namespaces=[""]) as plans:
        for asking in (plans.list(), anext(plans.watch())):
            with pytest.raises(PlansError, match=r"INVALID_ARGUMENT: namespaces\[0\] is empty"):
                await asking


async def test_a_watch_gives_all_plans_at_once_and_then_changes() -> None:
    site = PlansSite()
    site.plan(A)
    site.plan(B)
    async with site.served(), plans_at(site.port) as plans, aclosing(plans.watch()) as events:
        begun = await next_of(events, 1)
        site.plan(B, replicas=7)
        site.forget(A)

        assert begun == ["all: a 4 b 4"]
        assert await next_of(events, 2) == ["+b 7", "-a"]


async def test_a_watch_that_broke_goes_on_with_what_changed_meanwhile() -> None:
    """The same process behind it: the connection broke, or a proxy ended it."""
    site, port = PlansSite(), free_port()
    site.plan(A)
    site.plan(B)
    async with plans_at(port) as plans, aclosing(plans.watch()) as events:
        async with site.served(address=f"127.0.0.1:{port}"):
            begun = await next_of(events, 1)
        with capture_logs() as logged:
            site.plan(B, replicas=7)
            site.forget(A)
            async with site.served(address=f"127.0.0.1:{port}"):
                resumed = await next_of(events, 2)

    assert begun == ["all: a 4 b 4"]
    assert resumed == ["+b 7", "-a"]
    assert {line["event"] for line in logged} == {"plans_not_heard"}


async def test_after_a_restart_a_watch_gives_all_plans_again() -> None:
    """Also where another replica answers in place of the first."""
    first, port = PlansSite(), free_port()
    first.plan(A)
    second = PlansSite(book=PlanBook(instance="next life"))
    second.plan(A, replicas=5)
    second.plan(C)
    async with plans_at(port) as plans, aclosing(plans.watch()) as events:
        async with first.served(address=f"127.0.0.1:{port}"):
            begun = await next_of(events, 1)
        async with second.served(address=f"127.0.0.1:{port}"):
            again = await next_of(events, 1)

    assert (begun, again) == (["all: a 4"], ["all: a 5 c 4"])


async def test_a_watch_resumes_from_a_version_that_was_kept() -> None:
    site = PlansSite()
    site.plan(A)
    async with site.served(), plans_at(site.port) as plans:
        async with aclosing(plans.watch()) as events:
            kept = (await anext(events)).version
        site.plan(B, replicas=6)
        async with aclosing(plans.watch(version=kept)) as events:
            assert await next_of(events, 1) == ["+b 6"]


async def test_a_watch_that_is_left_frees_its_place_on_the_server() -> None:
    site = PlansSite()
    async with site.served(), plans_at(site.port) as plans:
        async with aclosing(plans.watch()) as events:
            await next_of(events, 1)
            assert site.book.readers == 1
        async with asyncio.timeout(60):
            while site.book.readers:
                await asyncio.sleep(0)
