"""What a replay shows of latencies: the counts that an engine's histograms would have."""

from dataclasses import replace

import pytest

from replay.generated_day import DEFAULT, draw
from replay.in_expectation import InExpectation
from replay.served import Served
from replay.world import World
from tests.replay.small import small_input

DAY = replace(DEFAULT, seconds=600, days_before=0)


@pytest.mark.parametrize(
    "served",
    [
        pytest.param(InExpectation(small_input(), seed=1), id="in expectation"),
        pytest.param(World(draw(DAY, seed=1), seed=1), id="request by request"),
    ],
)
def test_the_histograms_of_the_last_minute_are_seen(served: Served) -> None:
    for second in range(300):
        served.serve(second)

    seen = served.seen(300)

    assert seen.itl is not None
    assert seen.ttft is not None
    assert seen.itl.mean_seconds == pytest.approx(seen.itl_seconds, rel=0.2)
    # Every token but a request's first follows another.
    assert seen.itl.count == pytest.approx(seen.output_tokens_per_second * 60, rel=0.05)
    assert seen.ttft.count == pytest.approx(seen.arrived_per_second * 60, rel=0.05)
    assert seen.ttft.share_above(60.0) == 0
