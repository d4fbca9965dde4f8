"""Each night the constants of tuned pools are chosen by a process apart, and nothing else moves."""

import asyncio
import sys
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Self

import pytest
from prometheus_client import CollectorRegistry

from fleet.cluster.follow.watch import Listed
from fleet.cluster.kinds import Kind
from foresail.controller.metrics import ControllerCollector
from foresail.controller.nightly_tuning import NightlyTuning, last_night
from foresail.controller.pages import shown
from foresail.controller.policies_in_force import policy_object_of
from foresail.controller.rounds import ControllerState
from foresail.controller.tuning_worker import TuningFailedError, choose_apart
from foresail.policy.advice_table import cluster_payload
from policies.planning.node_planning import PlanningState
from policies.planning.tuning import NoChoice, TunedPools, TuningInput, TuningRecord
from policies.rules.constants import RuleConstants
from replay.node_tuning import choose_again
from replay.pool_tuning import choose_for_pool
from tests.foresail.controller.memory_leases import MemoryLeases
from tests.foresail.controller.stage import Stage, acting, clock, stage
from tests.policies.test_assess import NOW, Json
from tests.policies.test_node_planning import two_nodes
from tests.replay.test_pool_tuning import NIGHT, days, given

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
ZONE = "Etc/GMT-2"
"""There the scene begins at 02:53, seven minutes before the night."""
AFTER = "Etc/GMT-3"
"""There it begins an hour after it."""
NIGHT_SECONDS = 15 * MINUTE
NIGHTLY = f", tuning: nightly, timeZone: {ZONE}"


def cheaper_holds(night: TuningInput) -> TuningRecord:
    """As if fewer holds had always been cheaper."""
    return choose_again(
        night.constants, lambda one: one.hold_factor, at_seconds=night.until_seconds
    )


@dataclass
class Chooser:
    """Chooses in this process, in simulated time."""

    answer: Callable[[TuningInput], TuningRecord | NoChoice] = cheaper_holds
    takes_seconds: float = 10.0
    asked: list[TuningInput] = field(default_factory=list)

    async def __call__(self, night: TuningInput) -> TuningRecord | NoChoice:
        self.asked.append(night)
        await asyncio.sleep(self.takes_seconds)
        return self.answer(night)


def fails(_: TuningInput) -> TuningRecord:
    raise TuningFailedError("its process ended with -9")


def tuning_of(one: Stage, chooser: Chooser, wall: Callable[[], float]) -> NightlyTuning:
    return NightlyTuning(one.rounds, chooser, lambda: one.controller.last, wall, one.registry)


def begun(one: Stage, tuning: str = NIGHTLY) -> None:
    one.show_all(two_nodes())
    one.say(acting(tuning))


def hold_factor(one: Stage) -> float:
    assert one.controller.last is not None
    return one.controller.last.decided.constants["h100"].hold_factor


def outcomes(one: Stage) -> dict[str, float]:
    names = ("moved", "kept", "no choice", "failed")
    found = {
        name: one.registry.get_sample_value("foresail_tuning_nights_total", {"outcome": name})
        for name in names
    }
    return {name: count for name, count in found.items() if count}


class Nights:
    """A tuning that goes on while the context is open; its wall clock can jump over days."""

    def __init__(self, one: Stage, chooser: Chooser) -> None:
        self._begin = NOW - clock()
        self._task = asyncio.create_task(tuning_of(one, chooser, self._wall).run())

    async def pass_one(self) -> None:
        """Let the minutes of the night pass, and the rest of the day at once."""
        await asyncio.sleep(NIGHT_SECONDS)
        self._begin += DAY - NIGHT_SECONDS

    def _wall(self) -> float:
        return self._begin + clock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await self._task


@pytest.mark.parametrize(
    ("now", "zone", "night"),
    [
        pytest.param("2026-11-29T03:00:00+00:00", "UTC", "2026-11-29T03:00:00+00:00", id="at it"),
        pytest.param("2026-11-29T02:59:59+00:00", "UTC", "2026-11-28T03:00:00+00:00", id="before"),
        pytest.param(
            "2026-07-01T00:30:00+00:00", "Europe/Berlin", "2026-06-30T01:00:00+00:00", id="summer"
        ),
        pytest.param(
            "2026-07-01T01:30:00+00:00", "Europe/Berlin", "2026-07-01T01:00:00+00:00", id="after"
        ),
        pytest.param(
            "2026-03-29T12:00:00+00:00", "Europe/Berlin", "2026-03-29T01:00:00+00:00", id="changed"
        ),
    ],
)
def test_the_night_is_three_o_clock_of_the_policys_time_zone(
    now: str, zone: str, night: str
) -> None:
    found = last_night(datetime.fromisoformat(now).timestamp(), zone)
    assert datetime.fromtimestamp(found, UTC).isoformat() == night


async def test_each_night_one_factor_moves_by_one_step_and_rounds_go_on() -> None:
    chooser = Chooser(takes_seconds=5 * MINUTE)
    async with stage() as one, Nights(one, chooser) as nights:
        begun(one)
        await asyncio.sleep(10)
        factors, before = [hold_factor(one)], len(one.executor.rounds)
        for _ in range(5):
            await nights.pass_one()
            factors.append(hold_factor(one))
        assert factors == [1.0, 0.7, 0.5, 0.35, 0.25, 0.25]
        assert len(one.executor.rounds) - before == 37  # in 75 minutes
        assert outcomes(one) == {"moved": 4.0, "kept": 1.0}
    moments = [datetime.fromtimestamp(night.until_seconds, UTC) for night in chooser.asked]
    assert [f"{at:%d %H:%M:%S}" for at in moments] == [
        f"{day:02} 01:00:00" for day in (30, 1, 2, 3, 4)
    ]


async def test_pools_are_taken_one_after_the_other() -> None:
    chooser = Chooser(takes_seconds=2 * MINUTE)
    objects = two_nodes()
    other = deepcopy(objects)
    for kind, name in ((Kind.NODE_POOL, "h200"), (Kind.NODE_CLAIM, "h200-c")):
        document = other[kind][0]
        document["metadata"] |= {"name": name, "uid": f"uid-{name}"}
        objects[kind] = [*objects[kind], document]
    claim_ = objects[Kind.NODE_CLAIM][-1]
    claim_["metadata"]["labels"]["karpenter.sh/nodepool"] = "h200"
    claim_["status"].pop("nodeName", None)
    async with stage() as one, Nights(one, chooser):
        one.show_all(objects)
        one.say(acting(NIGHTLY))
        await asyncio.sleep(8 * MINUTE)
        assert len(chooser.asked) == 1
        await asyncio.sleep(3 * MINUTE)
        assert len(chooser.asked) == 2


async def test_after_a_start_the_next_night_is_waited_for_and_the_last_choice_stays() -> None:
    async with stage() as one, Nights(one, Chooser()):
        begun(one)
        await asyncio.sleep(12 * MINUTE)
        assert hold_factor(one) == 0.7
        state: ControllerState = one.rounds.state
    again = Chooser()
    async with stage(state=state) as two, Nights(two, again) as nights:
        begun(two, f", tuning: nightly, timeZone: {AFTER}")
        await asyncio.sleep(12 * MINUTE)
        assert (hold_factor(two), again.asked) == (0.7, [])
        await nights.pass_one()
        await asyncio.sleep(3 * MINUTE)
        assert (hold_factor(two), len(again.asked)) == (0.5, 1)


async def test_a_worker_that_fails_changes_nothing_until_the_next_night() -> None:
    chooser = Chooser(answer=fails)
    async with stage() as one, Nights(one, chooser) as nights:
        begun(one)
        await nights.pass_one()
        assert (len(chooser.asked), hold_factor(one), outcomes(one)) == (1, 1.0, {"failed": 1.0})
        assert one.rounds.state.planning.tuned == TunedPools()
        chooser.answer = cheaper_holds
        await nights.pass_one()
        assert (len(chooser.asked), hold_factor(one)) == (2, 0.7)


@pytest.mark.parametrize("tuning", ["", "tuning: never, "])
async def test_a_pool_whose_policy_does_not_tune_is_left_alone(tuning: str) -> None:
    chooser = Chooser()
    async with stage() as one, Nights(one, chooser) as nights:
        begun(one, f", {tuning}timeZone: {ZONE}")
        await nights.pass_one()
        await nights.pass_one()
        assert (chooser.asked, hold_factor(one), outcomes(one)) == ([], 1.0, {})


async def test_another_time_zone_makes_no_second_night_within_half_a_day() -> None:
    chooser = Chooser()
    async with stage() as one, Nights(one, chooser):
        begun(one)
        await asyncio.sleep(12 * MINUTE)
        assert len(chooser.asked) == 1
        one.say(acting(", tuning: nightly, timeZone: Etc/GMT-1"))  # 03:00 comes an hour later
        await asyncio.sleep(1.5 * HOUR)
        assert len(chooser.asked) == 1


async def test_a_clock_that_was_ahead_for_a_while_costs_no_further_night() -> None:
    chooser, now = Chooser(takes_seconds=0.0), [NOW]
    async with stage() as one:
        begun(one)
        await asyncio.sleep(10)
        tuning = tuning_of(one, chooser, lambda: now[0])
        for now[0] in (NOW, NOW + 400 * DAY, NOW, NOW + DAY):
            await tuning.look()
        assert len(chooser.asked) == 2


async def test_two_replicas_choose_alike() -> None:
    leases, found = MemoryLeases(), []
    async with (
        stage(leases=leases) as one,
        stage(leases=leases, name="b") as two,
        Nights(one, Chooser()),
        Nights(two, Chooser(takes_seconds=60.0)),
    ):
        begun(one)
        begun(two)
        await asyncio.sleep(12 * MINUTE)
        found = [each.rounds.state.planning.tuned for each in (one, two)]
        told = [each.posted.reasons.count(("h100", "Tuned")) for each in (one, two)]
    assert found[0] == found[1]
    assert found[0].records["h100"].after == RuleConstants(hold_factor=0.7)
    assert sorted(told) == [0, 1]


@pytest.mark.parametrize(
    ("answer", "reason", "note"),
    [
        pytest.param(
            cheaper_holds,
            "Tuned",
            "pool h100: hold factor 1 and order factor 0.4 are left for hold 0.7, order 0.4",
            id="moved",
        ),
        pytest.param(
            lambda night: NoChoice(at_seconds=night.until_seconds, why="its past covers 1.0 days"),
            "NotTuned",
            "pool h100: its past covers 1.0 days",
            id="no choice",
        ),
    ],
)
async def test_the_night_is_shown_on_the_policy_once_in_the_plan_and_in_metrics(
    answer: Callable[[TuningInput], TuningRecord | NoChoice], reason: str, note: str
) -> None:
    document: Json = {
        "metadata": {"name": "all", "uid": "u-1"},
        "spec": {"tuning": "nightly", "timeZone": ZONE},
    }
    async with stage() as one, Nights(one, Chooser(answer=answer)):
        one.show_all(two_nodes())
        one.policies.take(Listed((policy_object_of(document),)))  # type: ignore[arg-type]
        await asyncio.sleep(HOUR)
        events = [one for one in one.posted.events if one["regarding"]["kind"] == "CapacityPolicy"]
        (event,) = events
        assert (event["regarding"]["name"], event["regarding"]["uid"]) == ("all", "u-1")
        assert event["reason"] == reason
        assert event["note"].startswith(note)
        last = one.controller.last
        assert last is not None
        found = cluster_payload(shown(last))
        pools = found["pools"]
        assert isinstance(pools, list)
        assert pools[0]["constants"] == {"holdFactor": hold_factor(one), "orderFactor": 0.4}
        if reason == "Tuned":
            assert pools[0]["tuning"]["chosen"]["evidence"][1]["holdFactor"] == 0.7
        else:
            assert pools[0]["tuning"]["noChoice"]["why"] == "its past covers 1.0 days"
        registry = CollectorRegistry()
        registry.register(ControllerCollector(lambda: last, lambda: True))
        labels = {"pool": "h100", "factor": "hold"}
        assert registry.get_sample_value("foresail_pool_rule_factor", labels) == hold_factor(one)


async def test_a_policy_of_a_file_has_the_event_on_the_node_pool_and_an_old_night_none() -> None:
    record = cheaper_holds(given(days(1)))
    for age, reasons in ((HOUR, [("h100", "Tuned")]), (2 * DAY, [])):
        tuned = TunedPools(records={"h100": replace(record, at_seconds=NOW - age)})
        state = ControllerState(planning=PlanningState(tuned=tuned))
        async with stage(state=state) as one:
            begun(one)
            await asyncio.sleep(2 * MINUTE)
            pools = [
                (one["regarding"]["name"], one["reason"])
                for one in one.posted.events
                if one["regarding"]["kind"] == "NodePool"
            ]
            assert [pair for pair in pools if "Tun" in pair[1]] == reasons


@pytest.mark.looptime(False)  # a process lives in real time
async def test_a_process_apart_answers_as_this_one_would() -> None:
    night = given([*days(3, 4.0), *days(0.5, 2.0), *days(0.6, 4.0)])
    assert await choose_apart(night) == choose_for_pool(night)


@pytest.mark.looptime(False)  # processes live in real time
@pytest.mark.parametrize(
    ("code", "why"),
    [
        pytest.param("import sys; sys.exit(3)", "its process ended with 3", id="fails"),
        pytest.param("import time; time.sleep(60)", "it took longer than 1 s", id="hangs"),
        pytest.param("print('[]')", "its answer cannot be read", id="answers nonsense"),
    ],
)
async def test_a_process_that_makes_no_choice_is_a_failure(code: str, why: str) -> None:
    night = replace(given(days(1)), until_seconds=NIGHT)
    with pytest.raises(TuningFailedError, match=why):
        await choose_apart(
            night, [sys.executable, "-c", code], seconds_max=1 if "sleep" in code else 60
        )


async def test_a_program_that_is_not_there_is_a_failure() -> None:
    with pytest.raises(TuningFailedError, match="no process could be started"):
        await choose_apart(given(days(1)), ["/nonexistent/python"])
