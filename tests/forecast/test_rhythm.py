"""Slots of the hour and of the day are read as a plain walk over them would read them."""

import numpy as np
import pytest

from scaler.forecast.rhythm import NEAR_SLOTS, Reaches, Slots, periods


@pytest.mark.parametrize("step_seconds", [10.0, 60.0, 300.0, 1800.0])
@pytest.mark.parametrize("step", [0, 7, 1439, 50_000])
def test_slots_are_read_as_a_walk_from_now_to_the_horizon_would(step_seconds, step):
    ahead = np.array([1, 5, 31, 70])
    slots, cut = Slots(step_seconds), periods(step_seconds)
    random = np.random.default_rng(2)
    count = len(slots.rise)
    slots.rise, slots.swing, slots.level = random.random((3, count)).astype(np.float32)
    read = slots.read(step, Reaches(step_seconds, ahead))
    for row, first, size, steps in zip(read, cut.firsts, cut.counts, cut.steps, strict=True):
        rise, swing, level = (
            part[first : first + size] for part in (slots.rise, slots.swing, slots.level)
        )
        now = step % steps * size // steps
        for column, horizon in enumerate(ahead):
            then = (step + horizon) % steps * size // steps
            # A horizon within the slot of now is met a period later.
            walk = [(now + 1 + i) % size for i in range((then - now - 1) % size + 1)]
            usual = rise.mean() + 1e-3
            assert row[:, column] == pytest.approx(
                [
                    rise[then] / usual,
                    rise[walk].mean() / usual,
                    rise[walk[-NEAR_SLOTS:]].mean() / usual,
                    swing[then] / (swing.mean() + 1e-3),
                    level[then] - level[now],
                ],
                rel=1e-4,
            )


def test_a_step_of_half_an_hour_has_no_place_in_the_hour():
    assert periods(1800.0).counts == (48,)
    assert periods(60.0).counts == (60, 288)
