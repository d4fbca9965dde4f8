"""The forecast of a running maximum answers with what probability a value is reached."""

import pytest

from scaler.forecast.running_maximum import MaximumForecast

FORECAST = MaximumForecast(
    made_at_seconds=0.0,
    last_value=4.0,
    windows_seconds=(600.0,),
    levels=(0.5, 0.9, 0.99),
    quantiles=((6.0, 10.0, 12.0),),
)


@pytest.mark.parametrize(
    ("value", "probability"),
    [
        (3.0, 1.0),
        (4.0, 1.0),  # it is there now
        (5.0, 0.75),  # half of the way from 4 (all) to the median
        (6.0, 0.5),
        (8.0, 0.3),
        (10.0, 0.1),
        (12.0, 0.01),
        (14.0, 0.001),  # from .9 to .99 the tail took a factor of ten over 2
    ],
)
def test_a_value_between_the_quantiles_is_reached_with_a_probability_between_theirs(
    value: float, probability: float
) -> None:
    assert FORECAST.probability_of_reaching(value, 0) == pytest.approx(probability)


def test_a_maximum_that_is_certain_is_not_exceeded() -> None:
    certain = MaximumForecast(
        made_at_seconds=0.0,
        last_value=4.0,
        windows_seconds=(600.0,),
        levels=(0.5, 0.9),
        quantiles=((4.0, 4.0),),
    )
    assert certain.probability_of_reaching(4.0, 0) == 1.0
    assert certain.probability_of_reaching(4.5, 0) == 0.0


MASSES = MaximumForecast(
    made_at_seconds=0.0,
    last_value=4.0,
    windows_seconds=(600.0,),
    levels=(0.5, 0.9),
    quantiles=((4.0, 6.0),),
    reach_values=(5.0, 6.0, 8.0),
    reach_probabilities=((0.4, 0.16, 0.04),),
)


@pytest.mark.parametrize(
    ("value", "probability"),
    [
        (4.0, 1.0),
        (4.5, 0.4),  # one more GPU reaches it as well
        (5.0, 0.4),
        (6.0, 0.16),
        (7.0, 0.08),  # half of the way from .16 to .04 in factors
        (8.0, 0.04),
        (10.0, 0.01),  # a quarter for two more, as from 6 to 8
    ],
)
def test_probabilities_at_values_answer_before_quantiles(value: float, probability: float) -> None:
    assert MASSES.probability_of_reaching(value, 0) == pytest.approx(probability)


def test_beyond_two_values_of_one_probability_the_tail_still_falls() -> None:
    flat = MaximumForecast(
        made_at_seconds=0.0,
        last_value=4.0,
        windows_seconds=(600.0,),
        levels=(0.5, 0.9),
        quantiles=((4.0, 8.0),),
        reach_values=(6.0, 8.0),
        reach_probabilities=((0.2, 0.2),),
    )
    assert flat.probability_of_reaching(10.0, 0) == pytest.approx(0.2 / 2.718281828)
