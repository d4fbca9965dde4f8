"""The replicas of a recorded fleet, minute by minute, where some minutes are unknown."""

import numpy as np
import pytest

from foresail.backtest.answer import _joined

NAN = float("nan")


@pytest.mark.parametrize(
    ("recorded", "joined"),
    [
        pytest.param([2, NAN, NAN, 8], [2, 4, 6, 8], id="a-short-gap-is-joined"),
        pytest.param([NAN, 3, 3, NAN], [3, 3, 3, 3], id="ends-are-as-what-is-beside-them"),
        pytest.param([NAN, NAN], [0, 0], id="nothing-is-known"),
    ],
)
def test_short_gaps_are_as_what_is_beside_them(recorded: list[float], joined: list[float]) -> None:
    np.testing.assert_allclose(_joined(np.array(recorded)), joined)


def test_a_fleet_that_rests_at_zero_has_no_series_and_takes_no_hours() -> None:
    night, day = [NAN] * 960, [4.0] * 480
    replicas = _joined(np.array(day + night + day))

    assert replicas.sum() == 2 * 480 * 4
