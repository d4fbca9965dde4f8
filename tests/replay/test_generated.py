"""Each shape has what it is named after, and a seed is a trace."""

import numpy as np
import pytest

from replay.generated import SHAPES, generated


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_a_seed_gives_the_same_trace_and_another_seed_does_not(shape: str) -> None:
    one, same = (generated(seed=3, days=1, shape=shape) for _ in range(2))
    assert one.requests_per_second.tobytes() == same.requests_per_second.tobytes()
    assert (one.requests_per_second > 0).all()
    assert len(one.requests_per_second) == len(one.prompt_tokens) == 8640
    assert one.prompt_tokens[4320] != one.prompt_tokens[0]


def test_a_step_doubles_in_the_middle() -> None:
    rate = generated(seed=1, days=1, shape="step").requests_per_second
    assert rate[:4320].tolist() == [1.0] * 4320
    assert rate[4321:].tolist() == [2.0] * 4319


def test_on_off_is_on_for_a_third_of_the_hour() -> None:
    rate = generated(seed=1, days=1, shape="on-off").requests_per_second
    assert (rate == 1.0).mean() == pytest.approx(1 / 3)


def test_a_flash_crowd_comes_on_the_last_day_only() -> None:
    plain = generated(seed=1, days=2, shape="diurnal").requests_per_second
    crowded = generated(seed=1, days=2, shape="flash-crowd").requests_per_second
    ratio = crowded / plain
    assert ratio[:8640].max() == pytest.approx(1.0)
    assert ratio[8640:].max() == pytest.approx(1.7)


def test_agents_are_more_uneven_than_people() -> None:
    def unevenness(shape: str) -> float:
        rate = generated(seed=1, days=1, shape=shape).requests_per_second
        hours = rate.reshape(24, -1)
        return float(np.mean(hours.std(axis=1) / hours.mean(axis=1)))

    assert unevenness("agentic") > 3 * unevenness("diurnal")
