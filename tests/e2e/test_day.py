"""A recorded day through everything that is real."""

import math

import pytest

from replay.traces import read
from tests.e2e.__main__ import TRACE
from tests.e2e.day import LEAD_SECONDS, play
from tests.e2e.site import Site

pytestmark = pytest.mark.looptime(False)  # processes live in real time

SECONDS = 100.0


def test_a_recorded_day_is_followed(site: Site) -> None:
    if not TRACE.exists():
        pytest.skip(f"the recorded trace {TRACE} is missing")
    day = play(site, read(TRACE), day=0, seconds=SECONDS)
    # The HPA sets what Foresail said, and nothing it did not say.
    assert set(day.counts) <= {math.ceil(answer) for answer in day.answers}
    assert len(day.counts) > 10
    assert all(not math.isnan(moment.answered) for moment in day.moments)
    assert any(moment.band is not None for moment in day.moments)
    # Where the answer has been the same for long, it is what serves.
    still = [
        now
        for then, now in zip(day.moments, day.moments[4 * LEAD_SECONDS :], strict=False)
        if then.answered == now.answered == now.hpa
    ]
    assert all(abs(moment.ready - moment.answered) <= 2 for moment in still)
    assert day.delayed_ratio < 0.2
