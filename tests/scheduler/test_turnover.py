"""After a restart the ages of the pods that run say whether pods leave as others come."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from fleet.cluster.kinds import Kind
from scheduler.history import USUAL, History
from scheduler.intake import Intake
from scheduler.mix import Mix
from scheduler.placement_state import PlacementState
from scheduler.score.constants import SHIPPED
from scheduler.turnover import Start, Turnover, turnover_of
from tests.scheduler.objects import Json, drop, node, pod, put

NODES = 50
CAPACITY = NODES * 8000
HOUR = 3600.0


def test_ages_that_are_equally_frequent_say_that_nothing_left() -> None:
    ages = [Start(at * HOUR, 1000) for at in range(1, 401)]
    assert turnover_of(ages, capacity_milli=CAPACITY).left_milli == 0


def test_missing_old_pods_have_left() -> None:
    # A hundred came within the last hour and three hundred in the 99 before: at the rate of the
    # last hour, less 20 % for chance, 80 pods an hour came for 93 hours. Of those 380 still run.
    young = [Start((at + 1) / 100 * HOUR, 1000) for at in range(100)]
    old = [Start((1 + 99 * (at + 1) / 300) * HOUR, 1000) for at in range(300)]
    read = turnover_of(young + old, capacity_milli=1e9)
    hours = 1 + 99 * 280 / 300
    assert read.came_milli == pytest.approx(80_000 * hours)
    assert read.left_milli == pytest.approx(80_000 * hours - 380_000)


@pytest.mark.parametrize(
    "starts",
    [
        pytest.param([], id="none"),
        pytest.param([Start(60.0 * 2**at, 1000) for at in range(12)], id="too-few"),
        pytest.param([Start(50.0, 1000)] * 400, id="all-at-once"),
        pytest.param([Start(0.0, 1000)] * 400, id="just-now"),
    ],
)
def test_too_little_says_nothing(starts: list[Start]) -> None:
    assert turnover_of(starts, capacity_milli=CAPACITY).left_milli == 0


def test_no_more_is_remembered_than_the_nodes_have() -> None:
    ages = [Start(1.3**at, 1000) for at in range(100)]
    read = turnover_of(ages, capacity_milli=8000)
    assert isinstance(read, Turnover)
    assert read.came_milli == 8000
    assert 0 < read.left_milli < 8000


def intake() -> Intake:
    made = Intake(PlacementState((), Mix(dict(USUAL))), History())
    for at in range(NODES):
        put(made, Kind.NODE, node(f"n{at}", gpus=8))
    return made


def started(uid: str, at: int, came_seconds: float) -> Json:
    document = pod(uid, gpus=1, on=f"n{at % NODES}")
    when = datetime.fromtimestamp(0, UTC) + timedelta(seconds=came_seconds)
    document["metadata"]["creationTimestamp"] = when.strftime("%Y-%m-%dT%H:%M:%SZ")
    return document


def test_a_restart_goes_on_where_pods_come_and_go() -> None:
    random = np.random.default_rng(1)
    live, now, running = intake(), 0.0, dict[str, tuple[float, Json]]()
    live.read_turnover(0)
    for at in range(1500):
        now += random.exponential(HOUR / 10)
        for uid in [uid for uid, (ends, _) in running.items() if ends <= now]:
            drop(live, Kind.POD, running.pop(uid)[1])
        document = started(f"p{at}", at, now)
        running[f"p{at}"] = now + random.exponential(20 * HOUR), document
        put(live, Kind.POD, document, now)
    assert live.placement.nodes.turnover > SHIPPED.leaving_from
    again = intake()
    for _, document in running.values():
        put(again, Kind.POD, document, now)
    assert again.placement.nodes.turnover == 0  # as it was before the ages were read
    again.read_turnover(now)
    assert again.placement.nodes.turnover > SHIPPED.leaving_from


def test_a_restart_goes_on_where_the_cluster_fills_up() -> None:
    random = np.random.default_rng(1)
    made, now = intake(), 0.0
    for at in range(350):
        now += random.exponential(HOUR / 10)
        put(made, Kind.POD, started(f"p{at}", at, now), 350 * HOUR)
    made.read_turnover(now)
    assert made.placement.nodes.turnover < SHIPPED.leaving_from


def test_the_mix_that_is_expected_counts_pods_by_when_they_came() -> None:
    history, week = History(), 7 * 86_400.0
    made = Intake(PlacementState((), Mix(dict(USUAL))), history)
    for at, came in enumerate((2 * week, 0.0)):
        document = started(f"p{at}", 0, came)
        document["spec"]["containers"][0]["resources"]["requests"]["nvidia.com/gpu"] = str(
            3 + 2 * at
        )
        put(made, Kind.POD, document, 2 * week)
    weights = {shape.gpus: weight for shape, weight in history.mix(2 * week).weights.items()}
    # Three GPUs now, and five two half-lives ago.
    assert (weights[3], weights[5]) == (1.0, 0.25)
