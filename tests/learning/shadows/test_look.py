"""What is late, from a look."""

import math
from dataclasses import replace

import pytest

from scaler.learning.shadows.look import late_share
from scaler.signals import LatencyCounts, Observation, Signal, Value
from scaler.trigger import Phase
from tests.scaler.fakes import PARAMETERS


def observed(
    *,
    waiting: float | None = None,
    requests: float | None = None,
    ttft: tuple[float, float] | None = None,
    itl_mean: float | None = None,
) -> Observation:
    """With so many first tokens within 2 s and after it."""
    values = {Signal.WAITING: waiting, Signal.REQUESTS: requests}
    latencies = {}
    if ttft is not None:
        latencies[Signal.TTFT] = LatencyCounts(bounds_seconds=(2.0, math.inf), counts=ttft)
    if itl_mean is not None:
        latencies[Signal.ITL] = LatencyCounts(
            bounds_seconds=(math.inf,), counts=(10,), total_seconds=10 * itl_mean
        )
    return Observation(
        at_seconds=0.0,
        readings={s: Value(value=v, at_seconds=0.0) for s, v in values.items() if v is not None},
        latencies=latencies,
    )


@pytest.mark.parametrize(
    ("observation", "late"),
    [
        pytest.param(observed(ttft=(95, 5), waiting=500, requests=1), 0.05, id="first-tokens"),
        # Paces lie around their mean by 12 % of the limit of 60 ms: 40 ms are 2.8 of it below.
        pytest.param(observed(ttft=(100, 0), itl_mean=0.04), 0.0027, id="pace-kept"),
        pytest.param(observed(ttft=(95, 5), itl_mean=0.04), 0.05, id="pace-kept-by-most"),
        pytest.param(observed(ttft=(100, 0), itl_mean=0.0528), 0.1587, id="pace-near-its-limit"),
        pytest.param(observed(ttft=(95, 5), itl_mean=0.06), 0.5, id="pace-of-half-too-slow"),
        pytest.param(observed(ttft=(95, 5), itl_mean=0.1), 1.0, id="pace-of-all-too-slow"),
        # 50 wait where 20 a second are served: the last one waits 2.5 s.
        pytest.param(observed(waiting=50, requests=20), 1.0, id="long-queue"),
        pytest.param(observed(waiting=30, requests=20), 0.0, id="short-queue"),
        pytest.param(observed(waiting=0), 0.0, id="no-queue"),
        pytest.param(observed(waiting=30), None, id="queue-of-unknown-pace"),
        pytest.param(observed(requests=20), None, id="nothing-measured"),
        pytest.param(observed(ttft=(0, 0), waiting=0), 0.0, id="an-empty-histogram"),
    ],
)
def test_late_is_by_latency_where_it_is_counted_else_by_the_queue(
    observation: Observation, late: float | None
) -> None:
    assert late_share(observation, PARAMETERS) == (
        late if late is None else pytest.approx(late, abs=1e-4)
    )


@pytest.mark.parametrize(
    ("observation", "late"),
    [
        pytest.param(observed(ttft=(0, 100), itl_mean=0.04), 0.0027, id="slow-transfers"),
        pytest.param(observed(ttft=(100, 0), itl_mean=0.06), 0.5, id="pace-of-half-too-slow"),
        pytest.param(observed(ttft=(0, 100), waiting=50, requests=20), 1.0, id="long-queue"),
        pytest.param(observed(ttft=(0, 100), waiting=30, requests=20), 0.0, id="short-queue"),
        pytest.param(observed(ttft=(0, 100)), None, id="nothing-measured"),
    ],
)
def test_of_a_decode_engine_the_pace_counts_and_no_transfer_of_the_cache(
    observation: Observation, late: float | None
) -> None:
    decode = replace(PARAMETERS, phase=Phase.DECODE)
    assert late_share(observation, decode) == (
        late if late is None else pytest.approx(late, abs=1e-4)
    )
