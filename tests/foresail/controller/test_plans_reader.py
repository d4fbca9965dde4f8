"""Plans as they are heard: of several triggers the largest, while they stand, until silence."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest

from fleet.cluster.owners import Workload
from fleet.cluster.scaled_objects import ScaledObject
from foresail.client import Changed, Plan, Plans, PlansError, Removed, Snapshot
from foresail.controller.known_plans import KnownPlans, TriggerPlan
from foresail.controller.plans_reader import read_plans, trigger_plan_of
from foresail.plans_api.events import Event
from foresail.plans_api.plan import plan_of
from scaler.rpc.foresail.v1 import plans_pb2 as pb
from tests.contracts.plan_readers import PlansSite, named

CHAT = Workload(kind="Deployment", namespace="llm", name="chat")
OBJECTS = [ScaledObject(name="llm/scaler", uid="s", target=CHAT)]


def plan(desired: int | None = 3, trigger: str = "a", **fields: object) -> Plan:
    workload = pb.Workload(namespace="llm", name="scaler", metadata={"model": trigger})
    decided = pb.ReplicaPlan(at_seconds=1.0, planned=9, reactive=1, active=True)
    if desired is not None:
        decided.desired = desired
    return plan_of(
        pb.WorkloadPlan(workload=workload, plan=decided, valid_for_seconds=120.0, **fields)
    )


def known(*plans: Plan, at: float = 0.0) -> KnownPlans:
    found = KnownPlans()
    found.all_are(map(trigger_plan_of, plans), at)
    return found


def test_of_several_triggers_the_largest_counts() -> None:
    both = known(plan(3, "a"), plan(5, "b"))
    assert both.now(OBJECTS, 10.0).replicas == {CHAT: 5.0}


@pytest.mark.parametrize(
    "one",
    [
        pytest.param(plan(None), id="mode-advise"),
        pytest.param(plan(refused=pb.Refused(code="unavailable", message="x")), id="refused"),
        pytest.param(plan(on_watch_list=True), id="of-the-watch-list"),
        pytest.param(replace(plan(), valid_for_seconds=None), id="stands-no-longer"),
    ],
)
def test_a_plan_that_moves_no_replicas_counts_for_nothing(one: Plan) -> None:
    found = known(one).now(OBJECTS, 10.0)
    assert (found.replicas, found.missing) == ({}, None)


def test_a_plan_counts_while_it_stands() -> None:
    one = known(plan(), plan(1, "b"))
    assert one.now(OBJECTS, 119.0).replicas == {CHAT: 3.0}
    assert one.now(OBJECTS, 121.0).replicas == {}


def test_a_workload_that_no_scaled_object_names_is_left_out() -> None:
    assert known(plan()).now([], 10.0).replicas == {}
    assert "ScaledObjects were not read" in (known(plan()).now(None, 10.0).missing or "")


def test_silence_of_a_server_with_plans_is_noticed_and_of_one_without_is_not() -> None:
    assert known(plan()).now(OBJECTS, 299.0).missing is None
    assert (known(plan()).now(OBJECTS, 301.0).missing or "").startswith(
        "no plan was heard for 5m1s"
    )
    assert known().now(OBJECTS, 3000.0).missing is None


async def test_events_of_a_watch_are_learned_and_a_refusal_is_asked_again() -> None:
    found, begun = KnownPlans(), 0

    async def watch() -> AsyncGenerator[Event]:
        nonlocal begun
        begun += 1
        if begun == 1:
            yield Snapshot(plans=(plan(3, "a"), plan(4, "b")), version="1")
            yield Changed(plan=plan(7, "a"), version="2")
            await asyncio.sleep(20)
            raise PlansError("plans of x: PERMISSION_DENIED: no reader")
        yield Removed(workload=plan(7, "a").workload, version="3")
        await asyncio.Event().wait()

    clock = asyncio.get_running_loop().time
    task = asyncio.create_task(read_plans(found, watch, clock))
    await asyncio.sleep(10)
    assert found.now(OBJECTS, clock()).replicas == {CHAT: 7.0}
    await asyncio.sleep(15)
    assert "PERMISSION_DENIED" in (found.now(OBJECTS, clock()).missing or "")
    await asyncio.sleep(60)
    assert found.now(OBJECTS, clock()).replicas == {CHAT: 4.0}
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.looptime(False)  # sockets need real time
async def test_the_running_maximum_of_a_served_plan_counts_where_it_has_shown_skill() -> None:
    site, found = PlansSite(), KnownPlans()
    site.plan(named("a"))  # its forecast is judged at five minutes only
    scaled = [ScaledObject(name="team-a/a", uid="s", target=CHAT)]
    async with site.served(), asyncio.timeout(60):
        plans = Plans(f"127.0.0.1:{site.port}")
        task = asyncio.create_task(read_plans(found, plans.watch, lambda: 0.0))
        while not found.now(scaled, 1.0).replicas:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    maximum = found.now(scaled, 1.0).maxima[CHAT]
    assert (maximum.last_value, maximum.windows_seconds) == (2.0, (300.0,))
    assert maximum.quantiles == ((2.0, 5.0),)


LARGEST = {
    "made_at_seconds": 1.0,
    "last_value": 2.0,
    "windows_seconds": [300.0],
    "levels": [0.5, 0.9],
    "quantiles": [pb.Row(values=[2.0, 5.0])],
}


def forecast(**skill: float) -> pb.SeriesForecast:
    return pb.SeriesForecast(
        series="prompt_tokens",
        horizons_seconds=[300.0],
        levels=[0.5],
        quantiles=[pb.Row(values=[1.0])],
        skill=[pb.SeriesSkill(horizon_seconds=300.0, judged=400, **skill)],
    )


@pytest.mark.parametrize(
    "skill",
    [
        pytest.param({}, id="no-evidence"),
        pytest.param({"day": -0.1, "week": -0.01}, id="worse-than-the-last-value"),
    ],
)
def test_a_running_maximum_without_skill_is_left_out(skill: dict[str, float]) -> None:
    one = plan(running_maximum=pb.RunningMaximum(**LARGEST), forecasts=[forecast(**skill)])
    heard = known(one).now(OBJECTS, 10.0)
    assert (heard.replicas, heard.maxima) == ({CHAT: 3.0}, {})


def test_the_running_maximum_is_of_the_trigger_that_wants_the_most() -> None:
    small, large = (
        plan(
            desired,
            trigger,
            running_maximum=pb.RunningMaximum(**(LARGEST | {"last_value": last})),
            forecasts=[forecast(day=0.0)],
        )
        for desired, trigger, last in ((3, "a", 1.0), (5, "b", 2.0))
    )
    for order in ((small, large), (large, small)):
        assert known(*order).now(OBJECTS, 10.0).maxima[CHAT].last_value == 2.0


def test_what_is_heard_is_of_one_trigger() -> None:
    one = TriggerPlan(trigger="t", scaled_object="llm/scaler", replicas=1.0, valid_for_seconds=9.0)
    found = KnownPlans()
    found.all_are([one], 0.0)
    found.removed("t", 1.0)
    assert found.now(OBJECTS, 2.0).replicas == {}
