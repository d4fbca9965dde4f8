"""A recorded day through everything that is real."""

import math

import pytest

from replay.traces import Trace, read
from tests.e2e.__main__ import TRACE
from tests.e2e.day import MODEL, REPLICAS_MEAN, asked_in, play
from tests.e2e.engines import Engines
from tests.e2e.site import Site

pytestmark = pytest.mark.looptime(False)  # processes live in real time

SECONDS = 100.0


def test_a_recorded_day_is_followed(site: Site) -> None:
    if not TRACE.exists():
        pytest.skip(f"the recorded trace {TRACE} is missing")
    trace = read(TRACE)
    day = play(site, trace, day=0, seconds=SECONDS)
    # The HPA sets what Foresail said, and nothing it did not say.
    assert set(day.counts) <= {math.ceil(answer) for answer in day.answers}
    assert len(day.counts) > 10
    assert all(not math.isnan(moment.answered) for moment in day.moments)
    assert any(moment.band is not None for moment in day.moments)
    # The same requests on a quarter more replicas than the day needs on average, all of the time.
    assert day.delayed_ratio < delayed_ratio_of_fixed(trace, math.ceil(1.25 * REPLICAS_MEAN))


def delayed_ratio_of_fixed(trace: Trace, replicas: int) -> float:
    asked, means = asked_in(trace, 0, SECONDS)
    now = 0.0
    engines = Engines(
        model=MODEL,
        asked=asked,
        pods=lambda: [f"pod-{at}" for at in range(replicas)],
        clock=lambda: now,
        prompt_tokens_per_second=means.prompt_tokens / REPLICAS_MEAN,
        generated_tokens_per_second=means.generated_tokens / REPLICAS_MEAN,
    )
    for now in range(round(SECONDS)):  # noqa: B007 - the clock
        engines.page()
    return engines.delayed / engines.offered
