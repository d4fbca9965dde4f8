"""A pool's constants are chosen from the demand that its forecaster keeps, or a reason is given."""

from dataclasses import replace

import numpy as np
import pytest

from policies.planning.demand import PastDemand
from policies.planning.tuning import NoChoice, TuningInput, TuningRecord
from policies.rules.constants import RuleConstants
from policies.situation import LeadTime
from replay.cluster.settings import NodeStartUp
from replay.node_tuning import HOLD_FACTORS, ORDER_FACTORS
from replay.pool_tuning import changes_of, choose_for_pool, start_up_of

STEP, DAY = 120, 86_400
NIGHT = 1_767_668_400.0
"""2026-01-06, 03:00 UTC."""
SHIPPED = RuleConstants()


def past(gpus: list[float | None], *, end: float = NIGHT) -> PastDemand:
    """Its newest step is the last before the night."""
    times = tuple(end - (len(gpus) - place) * STEP for place in range(len(gpus)))
    return PastDemand(times_seconds=times, gpus=tuple(gpus))


def days(count: float, gpus: float | None = 4.0) -> list[float | None]:
    return [gpus] * round(count * DAY / STEP)


def given(gpus: list[float | None], **values: object) -> TuningInput:
    usual = TuningInput(
        past=past(gpus),
        until_seconds=NIGHT,
        gpus_per_node=1,
        gpus_per_pod=1,
        lead_time=NodeStartUp().lead_time(),
        consolidate_after_seconds=600.0,
        static=False,
        rho=10.0,
        trust=1.0,
        constants=SHIPPED,
    )
    return replace(usual, **values)  # type: ignore[arg-type]


def bursts(seed: int) -> list[float | None]:
    """Four days of 2 GPUs, with bursts of 3 GPUs more at moments that nothing tells of."""
    draw = np.random.default_rng(seed)
    gpus = np.full(round(4 * DAY / STEP), 2.0)
    for begin in draw.integers(0, len(gpus), 60):
        gpus[begin : begin + 8] = 5.0
    return list(gpus.tolist())


@pytest.mark.parametrize(
    ("gpus", "why"),
    [
        pytest.param([], "its past covers 0.0 days; 4 are needed", id="no past"),
        pytest.param(days(3.5), "its past covers 3.5 days; 4 are needed", id="too short"),
        pytest.param(days(5, None) + days(3), "its past covers 3.0 days", id="unknown before"),
        pytest.param(
            days(3) + days(0.75, None) + days(2.25), "25% of the last 3 days", id="unknown inside"
        ),
        pytest.param(days(3, 8.0) + days(3, 0.0), "no GPU of it was wanted", id="no node"),
    ],
)
def test_without_enough_to_go_by_there_is_no_choice(gpus: list[float | None], why: str) -> None:
    found = choose_for_pool(given(gpus))
    assert isinstance(found, NoChoice)
    assert found.at_seconds == NIGHT
    assert why in found.why


def test_demand_changes_between_two_rounds_so_that_a_node_is_empty_before_a_forecast_knows() -> (
    None
):
    changes = changes_of(np.array([2.0, 2.0, 5.0, 1.0]), 1200.0)
    assert changes == ((1200.0, 2), (1260.0, 2), (1380.0, 5), (1500.0, 1))


def test_a_demand_that_never_changes_moves_nothing() -> None:
    found = choose_for_pool(given(days(4, 4.0)))
    assert isinstance(found, TuningRecord)
    assert (found.after, found.at_seconds, found.evidence[0].cost) == (SHIPPED, NIGHT, 0.0)


@pytest.mark.parametrize(("rho", "seed"), [(3.0, 1), (30.0, 2)])
def test_a_night_stays_within_one_step_of_the_grid(rho: float, seed: int) -> None:
    found = choose_for_pool(given(bursts(seed), rho=rho))
    assert isinstance(found, TuningRecord)
    assert found.evidence[0].cost > 0
    after = found.after
    places = HOLD_FACTORS.index(after.hold_factor), ORDER_FACTORS.index(after.order_factor)
    assert sum(abs(a - b) for a, b in zip(places, (4, 3), strict=True)) <= 1
    least = min(found.evidence, key=lambda one: one.cost)
    if found.moved:
        assert (after.hold_factor, after.order_factor) == (least.hold_factor, least.order_factor)


def test_nothing_after_the_night_counts() -> None:
    before = bursts(3)
    later = before + [float(100 + place) for place in range(30)]
    night = given(before)
    assert choose_for_pool(night) == choose_for_pool(
        replace(night, past=past(later, end=NIGHT + 30 * STEP))
    )


@pytest.mark.parametrize(
    "start_up",
    [
        pytest.param(NodeStartUp(), id="as they ship"),
        pytest.param(NodeStartUp(boot_seconds=(600.0, 900.0), failure_share=0.0), id="sure"),
        pytest.param(NodeStartUp(failure_share=0.3, pull_seconds=30.0), id="often refused"),
    ],
)
def test_a_learned_lead_time_is_replayed_as_it_was_learned(start_up: NodeStartUp) -> None:
    learned = start_up.lead_time()
    again = start_up_of(learned).lead_time()
    assert again.boot_seconds == pytest.approx(learned.boot_seconds)
    assert again.pull_seconds == learned.pull_seconds
    if start_up.failure_share <= 0.1:
        assert again.boot_seconds_p90 == pytest.approx(learned.boot_seconds_p90)


def test_a_lead_time_of_nothing_but_failures_still_starts_nodes() -> None:
    found = start_up_of(
        LeadTime(
            boot_seconds=900.0, boot_seconds_p90=7200.0, pull_seconds=0.0, launch_failure_share=1.0
        )
    )
    assert found.failure_share == 0.9
    assert 0 <= found.boot_seconds[0] <= found.boot_seconds[1]
    assert sum(found.boot_seconds) / 2 == 450.0
