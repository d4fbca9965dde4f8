"""The Plans API over a real connection: what a plan says, and what a reader gets and when."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from foresail.serve import planner_process
from scaler.decision.answers import Reference, Refusal, RefusalCode, TimedOutcome
from scaler.decision.series import DemandSeries
from scaler.errors import SourceUnavailableError
from scaler.rpc.foresail.v1 import plans_pb2 as pb
from scaler.rpc.foresail.v1 import plans_pb2_grpc as pb_grpc
from scaler.serving import plans_server, plans_service
from scaler.serving.message_pace import MessagePace
from scaler.serving.plan_book import PlanBook
from scaler.serving.plans_service import PAGE_SIZE_MAX
from scaler.signals import Absent, Observation, Signal
from tests.contracts.plan_readers import (
    NOW,
    PARAMETERS,
    PlansSite,
    forecast,
    named,
    shown,
    status,
    unread,
)
from tests.contracts.served import START

pytestmark = pytest.mark.looptime(False)  # sockets need real time

A, B, C = (named(name) for name in "abc")


@pytest.fixture
async def site() -> AsyncIterator[PlansSite]:
    made = PlansSite()
    async with made.served():
        yield made


async def events(call: "grpc.aio.UnaryStreamCall", count: int) -> list[str]:
    async with asyncio.timeout(60):
        return [shown(await call.read()) for _ in range(count)]


async def refused(call: "grpc.aio.Call") -> tuple[grpc.StatusCode, str]:
    """The status that ends a call, and its message."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await (call.read() if hasattr(call, "read") else call)
    return raised.value.code(), raised.value.details() or ""


# What a plan says.


async def only_plan(site: PlansSite) -> pb.WorkloadPlan:
    (plan,) = (await site.list()).plans
    return plan


async def test_a_plan_says_what_was_measured_forecast_and_decided(site: PlansSite) -> None:
    site.plan(A)

    plan = await only_plan(site)

    assert (plan.workload.namespace, plan.workload.name) == ("team-a", "a")
    assert dict(plan.workload.metadata) == {"model": "llama-70b", "mode": "act"}
    assert (plan.model, plan.mode) == ("llama-70b", pb.MODE_ACT)
    assert plan.demand == pb.DemandRates(prompt_tokens=1000.0, requests=0.0)
    (series,) = plan.forecasts
    assert [list(row.values) for row in series.quantiles] == [[1000, 2000], [1500, 4000]]
    assert list(series.skill) == [pb.SeriesSkill(horizon_seconds=300, week=0.2, judged=400)]
    # At 1,000 prompt tokens/s a replica.
    assert [list(row.values) for row in plan.replica_forecast.quantiles] == [[1, 2], [1.5, 4]]
    assert list(plan.replica_forecast.horizons_seconds) == [60, 300]
    assert plan.settings.lead_seconds == 300
    assert plan.capacity == pb.ReplicaCapacity(
        seconds_per_prompt_token=0.001,
        seconds_per_generated_token=0.002,
        together=pb.TOGETHER_SUM,
        source=pb.CAPACITY_SOURCE_METADATA,
        requests=50,
    )
    assert (plan.plan.desired, plan.plan.planned, plan.plan.reactive) == (4, 4, 2)
    assert plan.plan.steps[0].replicas == 1.6


async def test_a_plan_says_its_age_and_how_long_it_stands(site: PlansSite) -> None:
    site.plan(A)

    plan = await only_plan(site)

    assert (plan.looked_at_seconds, plan.looked_seconds_ago) == (START, 7)
    assert (plan.age_seconds, plan.valid_for_seconds) == (7, 293)
    assert plan.asked_seconds_ago == 30


async def test_each_of_the_four_data_states_is_told_apart(site: PlansSite) -> None:
    site.plan(A)

    found = {one.signal: one for one in (await only_plan(site)).signals}

    assert found["prompt_tokens"].state == pb.DATA_STATE_VALUE
    assert (found["waiting"].state, found["waiting"].value) == (pb.DATA_STATE_ZERO, 0)
    assert found["waiting"].HasField("value")
    stale, absent = found["running"], found["kv_use"]
    assert (stale.state, stale.at_seconds) == (pb.DATA_STATE_STALE, START - 83)
    assert stale.why == "stale, newest sample 1m30s ago"
    assert (absent.state, absent.why) == (pb.DATA_STATE_ABSENT, "no series")
    assert not stale.HasField("value")
    assert not absent.HasField("value")
    assert not absent.HasField("at_seconds")


async def test_what_is_not_known_is_absent_and_not_zero(site: PlansSite) -> None:
    site.statuses[A] = unread(A)
    site.book.changed(A)
    site.plan(B)

    new, planned = (await site.list()).plans

    for field in ("looked_at_seconds", "demand", "replica_forecast", "running_maximum", "plan"):
        assert not new.HasField(field), field
    assert not new.HasField("capacity")
    assert not new.HasField("age_seconds")
    assert not new.HasField("valid_for_seconds")
    assert new.refused.code == "unavailable"
    assert not planned.HasField("refused")
    assert not planned.demand.HasField("generated_tokens")
    assert not planned.plan.steps[1].HasField("replicas")
    assert not planned.forecasts[0].skill[0].HasField("day")


async def test_a_series_that_was_never_measured_has_no_forecast(site: PlansSite) -> None:
    made = status(A)
    assert made.plan is not None
    never = {
        series: replace(one, data_age_seconds=float("inf"))
        for series, one in made.plan.forecasts.items()
    }
    site.statuses[A] = replace(made, plan=replace(made.plan, forecasts=never))
    site.book.changed(A)

    plan = await only_plan(site)

    assert list(plan.forecasts) == []
    assert not plan.HasField("replica_forecast")


async def test_a_plan_that_stands_no_longer_says_why(site: PlansSite) -> None:
    made = status(A)
    assert made.plan is not None
    outcome = Refusal(code=RefusalCode.UNAVAILABLE, message="nothing usable for 6m")
    failed = replace(made.plan.poll, observation=None, failure=SourceUnavailableError("timed out"))
    site.statuses[A] = replace(
        made,
        cycle_state=replace(
            made.cycle_state, timed=TimedOutcome(outcome=outcome, read_at_seconds=NOW)
        ),
        plan=replace(made.plan, poll=failed, demand=None),
    )
    site.book.changed(A)

    plan = await only_plan(site)

    assert plan.failure == "timed out"
    assert (plan.refused.code, plan.refused.message) == ("unavailable", "nothing usable for 6m")
    assert plan.plan.planned == 4
    assert plan.age_seconds == 7
    assert not plan.HasField("valid_for_seconds")
    assert not plan.HasField("demand")


async def test_the_running_maximum_is_of_whole_replicas_with_head_room(site: PlansSite) -> None:
    # 1,000 tokens/s are one replica, of which the present may use 80 %.
    site.plan(A)

    found = (await only_plan(site)).running_maximum

    assert (found.made_at_seconds, found.last_value) == (START - 80, 2)
    assert (list(found.windows_seconds), list(found.levels)) == ([60, 300], [0.5, 0.9])
    assert [list(row.values) for row in found.quantiles] == [[2, 3], [2, 5]]
    assert not found.reach_values


async def test_the_running_maximum_keeps_a_peak_that_ends_within_the_window(
    site: PlansSite,
) -> None:
    made = status(A)
    assert made.plan is not None
    peak = forecast(DemandSeries.PROMPT_TOKENS, (3000.0, 90_000.0), (500.0, 600.0))
    forecasts = {DemandSeries.PROMPT_TOKENS: peak}
    site.statuses[A] = replace(made, plan=replace(made.plan, forecasts=forecasts))
    site.book.changed(A)

    found = (await only_plan(site)).running_maximum

    # 3 ÷ 0.8 is 3.75; 90 ÷ 0.8 is beyond the bound of 50.
    assert [list(row.values) for row in found.quantiles] == [[4, 50], [4, 50]]


async def test_a_plan_that_goes_by_no_forecast_has_no_running_maximum(site: PlansSite) -> None:
    made = status(A)
    assert made.plan is not None
    parameters = replace(PARAMETERS, forecasts=False)
    site.statuses[A] = replace(made, plan=replace(made.plan, parameters=parameters))
    site.book.changed(A)

    assert not (await only_plan(site)).HasField("running_maximum")


# Lists.


async def test_pages_together_hold_each_workload_once(site: PlansSite) -> None:
    names = [f"w-{number}" for number in range(25)]
    for name in names:
        site.plan(named(name))

    first = await site.list(page_size=20)
    site.plan(named("w-3"), replicas=9)  # a change between two pages moves nothing
    second = await site.list(page_size=20, page_token=first.next_page_token)

    assert [plan.workload.name for plan in (*first.plans, *second.plans)] == names
    assert not second.HasField("next_page_token")


async def test_large_metadata_of_a_tenant_make_smaller_pages(site: PlansSite) -> None:
    """A hundred of them in one page would be 6 MB, and no client would take it."""
    names = [f"w-{number:03}" for number in range(100)]
    for name in names:
        site.plan(Reference.of("team-a", name, {"model": "m", "matchLabels": "a=" + "é" * 30_000}))

    listed, token = [], None
    while True:
        page = await site.stub.ListWorkloadPlans(_page(token))
        listed += [plan.workload.name for plan in page.plans]
        if not page.HasField("next_page_token"):
            break
        token = page.next_page_token

    assert listed == names


async def test_a_text_of_a_source_that_is_not_unicode_ends_no_list(site: PlansSite) -> None:
    made = status(A)
    assert made.plan is not None
    poll = replace(made.plan.poll, failure=SourceUnavailableError("said \ud800"))
    site.statuses[A] = replace(made, plan=replace(made.plan, poll=poll))
    site.book.changed(A)

    assert (await only_plan(site)).failure == r"said \ud800"


async def test_long_texts_make_no_plan_that_a_client_would_not_take(site: PlansSite) -> None:
    """GRPC's clients take 4 MiB, and would meet the same plan at each new watch."""
    made = status(A)
    assert made.plan is not None
    assert made.cycle_state.plan is not None
    long = "x" * 2**20
    readings = dict.fromkeys(Signal, Absent(why=long))
    seen = Observation(at_seconds=START, readings=readings)
    poll = replace(made.plan.poll, observation=seen, failure=SourceUnavailableError(long))
    steps = tuple(replace(step, text=long) for step in made.cycle_state.plan.steps)
    cycle = replace(made.cycle_state, plan=replace(made.cycle_state.plan, steps=steps))
    site.statuses[A] = replace(made, plan=replace(made.plan, poll=poll), cycle_state=cycle)
    site.book.changed(A)

    plan = await only_plan(site)

    assert len(plan.signals) == len(Signal)
    assert plan.ByteSize() < 2**16


async def test_a_page_token_of_an_earlier_life_is_aborted(site: PlansSite) -> None:
    site.plan(A)

    code, message = await refused(site.stub.ListWorkloadPlans(_page("earlier.1")))

    assert code is grpc.StatusCode.ABORTED
    assert message == "page_token: the server was started again: begin with the first page"


# Watches.


async def test_a_watch_begins_with_all_plans_and_goes_on_with_changes(site: PlansSite) -> None:
    site.plan(A)
    site.plan(B)
    call = site.watch()
    begun = await events(call, 4)
    site.plan(C, replicas=6)
    site.plan(A, replicas=5)
    site.forget(B)

    assert begun == ["all", "+a 4", "+b 4", "synced"]
    assert await events(call, 3) == ["+c 6", "+a 5", "-b"]


async def test_a_watch_is_resumed_after_the_version_that_was_last_received(
    site: PlansSite,
) -> None:
    for reference in (A, B, C):
        site.plan(reference)
    call = site.watch()
    received = [await call.read() for _ in range(5)]
    call.cancel()
    site.plan(B, replicas=7)
    site.forget(C)

    resumed = await events(site.watch(version=received[-1].version), 4)

    assert shown(received[-1]) == "synced"
    assert resumed == ["since", "+b 7", "-c", "synced"]


async def test_no_version_is_given_before_all_plans_are_sent(site: PlansSite) -> None:
    site.plan(A)
    call = site.watch()

    received = [await call.read() for _ in range(3)]

    assert [shown(one) for one in received] == ["all", "+a 4", "synced"]
    assert [one.HasField("version") for one in received] == [False, False, True]


async def test_after_a_restart_all_plans_are_sent_again(site: PlansSite) -> None:
    site.plan(A)
    call = site.watch()
    version = [await call.read() for _ in range(3)][-1].version
    after = PlansSite(book=PlanBook(instance="next life"))
    async with after.served():
        after.plan(A, replicas=5)

        assert await events(after.watch(version=version), 3) == ["all", "+a 5", "synced"]


async def test_a_version_whose_removals_are_forgotten_begins_anew() -> None:
    site = PlansSite(book=PlanBook(instance="life", removals_max=2))
    async with site.served():
        for reference in (A, B, C, D):
            site.plan(reference)
        call = site.watch()
        version = [await call.read() for _ in range(6)][-1].version
        for reference in (A, B, C):
            site.forget(reference)

        assert await events(site.watch(version=version), 3) == ["all", "+d 4", "synced"]


D = named("d")


async def test_a_server_that_ends_ends_its_streams_with_ok(site: PlansSite) -> None:
    server_ends = PlansSite()
    async with server_ends.served() as server:
        call = server_ends.watch()
        assert await events(call, 2) == ["all", "synced"]
        await server.drain()

        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK


async def test_a_reader_that_reads_nothing_does_not_keep_the_server_from_ending() -> None:
    """The answering process kills a planner that has not ended in five seconds."""
    assert plans_server._SHUTDOWN_SECONDS <= 1.0 < planner_process._END_SECONDS_MAX
    site = PlansSite()
    for number in range(500):  # more than fits the connection
        site.plan(named(f"w-{number}"))
    fixed = [("grpc.http2.bdp_probe", 0)]
    async with (
        site.served() as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{site.port}", fixed) as channel,
    ):
        call = pb_grpc.PlansStub(channel).WatchWorkloadPlans(pb.WatchWorkloadPlansRequest())
        assert await events(call, 1) == ["all"]
        async with asyncio.timeout(60):  # without an end it would wait for the reader for ever
            await server.drain()


async def test_before_all_workloads_are_known_callers_are_put_off() -> None:
    site = PlansSite()
    async with site.served(serving=False) as server:
        calls = site.stub.ListWorkloadPlans(_page(None)), site.watch()
        before = [await refused(call) for call in calls]
        site.plan(A)
        await server.serve()

        assert before == [(grpc.StatusCode.UNAVAILABLE, "starting: ask again in a second")] * 2
        assert await events(site.watch(), 2) == ["all", "+a 4"]


# A slow reader.


async def test_a_reader_that_reads_nothing_holds_one_entry_a_workload_and_costs_nothing(
    site: PlansSite,
) -> None:
    """10,000 changes of 20 workloads; the other reader gets all that it has time for."""
    references = [named(f"w-{number}") for number in range(20)]
    for reference in references:
        site.plan(reference)
    slow = site.book.open(lambda _: True, version=None)
    made_before = site.statuses_read
    for number in range(10_000):
        site.book.changed(references[number % 20])
    made_meanwhile = site.statuses_read - made_before

    assert len(slow.queue) == 20
    assert made_meanwhile == 0  # nothing is made for it before it reads
    call = site.watch()
    assert await events(call, 1) == ["all"]


async def test_a_connection_that_takes_nothing_stops_the_making_of_messages(
    site: PlansSite,
) -> None:
    """Behind the 64 KB of a window and the server's buffer nothing is made and nothing is kept."""
    references = [named(f"w-{number}") for number in range(20)]
    for reference in references:
        site.plan(reference)
    fixed = [("grpc.http2.bdp_probe", 0)]  # else gRPC lets the window grow to 4 MB
    async with grpc.aio.insecure_channel(f"127.0.0.1:{site.port}", fixed) as channel:
        call = pb_grpc.PlansStub(channel).WatchWorkloadPlans(pb.WatchWorkloadPlansRequest())
        assert await events(call, 1) == ["all"]
        for number in range(10_000):
            site.book.changed(references[number % 20])
            if number % 20 == 0:
                await asyncio.sleep(0.001)  # time in which the server sends what it can
        made = site.statuses_read
        for reference in references:
            site.plan(reference, replicas=9)
        newest: dict[str, int] = {}
        async with asyncio.timeout(60):
            while newest != {reference.name: 9 for reference in references}:
                event = await call.read()
                if event.HasField("plan"):
                    newest[event.plan.workload.name] = event.plan.plan.planned

    assert made < 500  # of 662 bytes each, for 10,000 changes


async def test_a_slow_reader_gets_every_workload_in_turn_and_its_newest_plan() -> None:
    book = PlanBook(instance="life")
    references = [named(f"w-{number}") for number in range(6)]
    reader = book.open(lambda _: True, version=None)
    taken = []
    for _ in range(6):
        for reference in references:  # all change, and the reader takes two
            book.changed(reference)
        taken += [reader.take(), reader.take()]

    assert taken == [*references, *references]


async def test_a_version_never_passes_over_a_change_that_was_not_taken() -> None:
    book = PlanBook(instance="life")
    for reference in (A, B, C):
        book.changed(reference)
    reader = book.open(lambda _: True, version=None)
    assert reader.take() == A
    book.changed(A)
    assert reader.take() == B
    position = book.position(reader)

    resumed = book.open(lambda _: True, version=position)

    assert [resumed.take() for _ in range(3)] == [C, A, None]


async def test_workloads_that_come_and_go_unread_do_not_fill_a_queue() -> None:
    book = PlanBook(instance="life", removals_max=10)
    book.changed(A)
    reader = book.open(lambda _: True, version=None)
    assert reader.take_begin()
    longest = 0
    for number in range(1000):  # such as an edit of a trigger's metadata, each a new workload
        edited = Reference.of("team-a", "a", {"model": f"m-{number}"})
        book.changed(edited)
        book.removed(edited)
        longest = max(longest, len(reader.queue))

    assert longest <= 12
    assert reader.take_begin()  # what it missed is too much: it gets all again
    assert reader.take() == A


async def test_more_readers_than_are_served_are_put_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans_service, "READERS_MAX", 2)
    site = PlansSite()
    async with site.served():
        calls = [site.watch(), site.watch()]
        for call in calls:
            await events(call, 2)

        code, message = await refused(site.watch())

        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert message == "2 watches are open, the limit: ask again later"
        calls[0].cancel()
        while site.book.readers == 2:
            await asyncio.sleep(0)
        assert await events(site.watch(), 2) == ["all", "synced"]


async def test_lists_that_wait_for_their_turn_do_not_pile_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    turns = asyncio.Event()
    monkeypatch.setattr(plans_service, "LISTS_MAX", 3)
    monkeypatch.setattr(MessagePace, "turn", lambda _: turns.wait())
    site = PlansSite()
    site.plan(A)
    async with site.served():
        lists = [asyncio.create_task(site.list()) for _ in range(5)]
        async with asyncio.timeout(60):
            while sum(one.done() for one in lists) < 2:
                await asyncio.sleep(0)
        refusals = [one.exception() for one in lists if one.done()]
        turns.set()

        found = await asyncio.gather(*lists, return_exceptions=True)

        codes = [one.code() for one in refusals if isinstance(one, grpc.aio.AioRpcError)]
        assert codes == [grpc.StatusCode.RESOURCE_EXHAUSTED] * 2
        assert sum(isinstance(one, pb.ListWorkloadPlansResponse) for one in found) == 3
        assert len((await site.list()).plans) == 1


# Namespaces.


async def test_a_reader_of_one_namespace_gets_nothing_of_another(site: PlansSite) -> None:
    other = named("secret", "team-b")
    site.plan(A)
    site.plan(other)
    listed = await site.list(namespaces=["team-a"])
    call = site.watch(namespaces=["team-a"])
    begun = await events(call, 3)
    site.plan(other, replicas=9)
    site.forget(other)
    site.plan(B)
    version = (await call.read()).version
    site.plan(named("later", "team-b"))
    site.plan(C)

    assert [plan.workload.name for plan in listed.plans] == ["a"]
    assert begun == ["all", "+a 4", "synced"]
    resumed = site.watch(namespaces=["team-a"], version=version)
    assert await events(resumed, 3) == ["since", "+c 4", "synced"]


async def test_pages_of_one_namespace_pass_over_the_others(site: PlansSite) -> None:
    for number in range(6):
        site.plan(named(f"w-{number}", "team-a" if number % 2 else "team-b"))

    first = await site.list(namespaces=["team-a"], page_size=2)
    second = await site.list(namespaces=["team-a"], page_size=2, page_token=first.next_page_token)

    assert [plan.workload.name for plan in first.plans] == ["w-1", "w-3"]
    assert [plan.workload.name for plan in second.plans] == ["w-5"]


# Requests that cannot be read.


def _page(token: str | None, **fields: object) -> pb.ListWorkloadPlansRequest:
    return pb.ListWorkloadPlansRequest(page_token=token, **fields)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        pytest.param(
            _page(None, page_size=0),
            f"page_size has the value 0: it takes 1 to {PAGE_SIZE_MAX}",
            id="no-page-size",
        ),
        pytest.param(
            _page("x"), "page_token: 'x' was never given out here", id="token-without-number"
        ),
        pytest.param(
            _page("life.-1"),
            "page_token: 'life.-1' was never given out here",
            id="token-below-zero",
        ),
        pytest.param(
            _page(None, namespaces=["team-a", ""]),
            "namespaces[1] is empty: name a namespace, or none",
            id="empty-namespace",
        ),
        pytest.param(
            _page(None, namespaces=["n"] * 1001),
            "namespaces has 1001 names, the limit is 1000",
            id="too-many-namespaces",
        ),
    ],
)
async def test_a_request_that_cannot_be_read_is_told_which_field(
    site: PlansSite, request_: pb.ListWorkloadPlansRequest, message: str
) -> None:
    refusal = await refused(site.stub.ListWorkloadPlans(request_))

    assert refusal == (grpc.StatusCode.INVALID_ARGUMENT, message)


async def test_a_version_that_was_never_given_out_is_refused(site: PlansSite) -> None:
    code, message = await refused(site.watch(version="42"))

    assert (code, message) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "version: '42' was never given out here",
    )


async def test_bytes_that_are_no_request_are_refused_and_the_server_goes_on(
    site: PlansSite,
) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{site.port}") as channel:
        garbage = channel.unary_unary("/foresail.v1.Plans/ListWorkloadPlans")(b"\xff\xff\xff")
        _, message = await refused(garbage)
    site.plan(A)

    assert "Error parsing message with type 'foresail.v1.ListWorkloadPlansRequest'" in message
    assert (await only_plan(site)).workload.name == "a"


# Unknown fields.


async def test_fields_and_states_of_a_newer_reader_or_server_are_passed_over(
    site: PlansSite,
) -> None:
    site.plan(A)
    newer = pb.ListWorkloadPlansRequest.FromString(b"\xa2\x06\x05hello")

    assert len((await site.stub.ListWorkloadPlans(newer)).plans) == 1


async def test_unknown_fields_of_a_plan_survive_a_round_trip() -> None:
    sent = pb.WorkloadPlan(model="m").SerializeToString() + b"\xa2\x06\x05hello"

    assert pb.WorkloadPlan.FromString(sent).SerializeToString() == sent


# Health and reflection.


async def test_health_follows_whether_plans_are_served() -> None:
    site = PlansSite()
    async with site.served(serving=False) as server:
        assert site.channel is not None
        check = health_pb2_grpc.HealthStub(site.channel).Check
        request = health_pb2.HealthCheckRequest(service="foresail.v1.Plans")
        before = (await check(request)).status
        await server.serve()

        assert before == health_pb2.HealthCheckResponse.NOT_SERVING
        assert (await check(request)).status == health_pb2.HealthCheckResponse.SERVING


async def test_reflection_names_the_service_and_gives_its_file(site: PlansSite) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{site.port}") as channel:
        call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo()
        await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        listed = await call.read()
        symbol = "foresail.v1.Plans"
        await call.write(reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol))
        file = await call.read()
        await call.done_writing()

    names = [one.name for one in listed.list_services_response.service]
    assert "foresail.v1.Plans" in names
    assert b"WatchWorkloadPlans" in file.file_descriptor_response.file_descriptor_proto[0]
