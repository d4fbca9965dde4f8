"""What no rule can get past is known before anything is compared."""

from dataclasses import replace

import numpy as np
import pytest

from replay.limits import limits_of, replicas_max_for
from replay.replay_input import Platform, ReplayInput, draw_input
from replay.traces import Trace
from tests.replay.small import small_input


def allowed(most: int) -> ReplayInput:
    """The small input: seven replicas are needed for 50 of its 180 minutes, three else."""
    small = small_input()
    return replace(small, platform=replace(small.platform, replicas_max=most))


def requests_of(prompt_tokens: float) -> ReplayInput:
    steps = 30
    trace = Trace(
        name="even",
        step_seconds=60.0,
        requests_per_second=np.ones(steps),
        prompt_tokens=np.full(steps, prompt_tokens),
        output_tokens=np.full(steps, 100.0),
    )
    return draw_input(trace, Platform(), seed=1)


def test_a_fleet_that_holds_the_demand_is_no_limit() -> None:
    assert limits_of(allowed(24)) == ()


def test_a_bound_below_the_need_says_what_is_needed_and_what_can_be_had() -> None:
    (limit,) = limits_of(allowed(5))
    assert "The busiest minute needs 8 replicas, and 5 are allowed" in limit.what
    assert "or set it to 64" in limit.remedy
    # 125 of 255 parts of the requests come in the jump, where five replicas fall behind at once.
    assert limit.attainable == pytest.approx(130 / 255, abs=0.04)


def test_a_bound_that_serves_in_time_all_the_same_is_no_limit() -> None:
    # Eight are needed with the usual margin of 15 %, which seven have used up.
    assert limits_of(allowed(7)) == ()


def test_prompts_that_one_replica_cannot_take_in_time_are_said() -> None:
    # 40,000 tokens at 75 us are 3 s; another 0.28 s go by between their chunks.
    (limit,) = limits_of(requests_of(40_000))
    assert limit.attainable == 0.0
    assert "prompts of 40,000 tokens alone take 3.28 s of the ttft of 2 s" in limit.what
    assert "No number of replicas helps" in limit.what


def test_a_request_that_fits_no_cache_is_said() -> None:
    large = requests_of(200_000)
    patient = replace(large.platform.objective, ttft_seconds=60.0)
    (limit,) = limits_of(replace(large, platform=replace(large.platform, objective=patient)))
    assert "200,050 tokens do not fit a KV cache of 150,000" in limit.what


@pytest.mark.parametrize(
    ("mean", "most"),
    [
        pytest.param(8, 64, id="small-traffic-keeps-the-usual-bound"),
        # Even traffic: the mean is the peak but for the noise of a minute's arrivals.
        pytest.param(100, 200, id="large-traffic-gets-twice-its-peak"),
    ],
)
def test_the_bound_that_nobody_named_holds_the_traffic(mean: float, most: int) -> None:
    steps = 60
    trace = Trace(
        name="even",
        step_seconds=60.0,
        requests_per_second=np.ones(steps),
        prompt_tokens=np.full(steps, 800.0),
        output_tokens=np.full(steps, 200.0),
    )
    drawn = draw_input(trace, Platform(), seed=1, replicas_mean=mean)
    assert replicas_max_for(drawn) == pytest.approx(most, rel=0.05)
