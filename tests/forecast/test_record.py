"""Reading a forecast between and beyond its horizons and levels."""

import json
import math
from dataclasses import replace

import pytest

from scaler.forecast.record import DemandForecast, ExpertWeight, Skill

FORECAST = DemandForecast(
    signal="requests",
    made_at_seconds=1000.0,
    data_age_seconds=0.0,
    horizons_seconds=(60.0, 120.0),
    levels=(0.5, 0.9, 0.99),
    quantiles=((10.0, 20.0, 30.0), (20.0, 40.0, 60.0)),
    last_value=8.0,
    skill=(Skill(horizon_seconds=60.0, day=0.2, week=None, judged=40),),
    experts=(ExpertWeight(name="last", weight=1.0),),
)


@pytest.mark.parametrize(
    ("horizon_seconds", "level", "expected"),
    [
        pytest.param(60, 0.5, 10.0, id="on-the-grid"),
        pytest.param(90, 0.5, 15.0, id="halfway-between-horizons"),
        pytest.param(60, 0.7, 15.0, id="halfway-between-levels"),
        pytest.param(0, 0.9, 8.0, id="now-is-the-last-value"),
        pytest.param(30, 0.9, 14.0, id="halfway-to-the-first-horizon"),
        pytest.param(600, 0.9, 40.0, id="flat-beyond-the-last-horizon"),
        pytest.param(60, 0.25, 5.0, id="towards-zero-below-the-lowest-level"),
        # One decade of rarity is 10 from .9 to .99, so it is 10 more from .99 to .999.
        pytest.param(60, 0.999, 40.0, id="exponential-beyond-the-top-level"),
    ],
)
def test_reading_anywhere(horizon_seconds, level, expected):
    assert FORECAST.at(horizon_seconds=horizon_seconds, level=level) == pytest.approx(expected)


@pytest.mark.parametrize(("horizon_seconds", "level"), [(60, 0.0), (60, 1.0), (-1, 0.5)])
def test_impossible_questions_are_refused(horizon_seconds, level):
    with pytest.raises(ValueError, match="no quantile"):
        FORECAST.at(horizon_seconds=horizon_seconds, level=level)


def test_json_holds_every_field_and_no_infinity():
    unmeasured = DemandForecast(
        signal="requests", made_at_seconds=0.0, data_age_seconds=math.inf,
        horizons_seconds=(60.0,), levels=(0.5,), quantiles=((0.0,),), last_value=0.0,
        skill=(), experts=(),
    )  # fmt: skip
    assert json.loads(json.dumps(unmeasured.to_json(), allow_nan=False)) == {
        "signal": "requests", "made_at_seconds": 0.0, "data_age_seconds": None,
        "horizons_seconds": [60.0], "levels": [0.5], "quantiles": [[0.0]], "last_value": 0.0,
        "skill": [], "experts": [],
    }  # fmt: skip


@pytest.mark.parametrize("level", [0.25, 0.5, 0.7, 0.99, 0.999])
def test_a_level_at_each_horizon_is_as_each_horizon_alone(level):
    alone = [FORECAST.at(horizon_seconds=one, level=level) for one in FORECAST.horizons_seconds]
    assert FORECAST.by_horizon(level) == pytest.approx(alone)


def test_the_skill_at_a_lead_time_is_that_of_the_first_horizon_which_reaches_it() -> None:
    skills = [Skill(horizon_seconds=h, day=None, week=None, judged=0) for h in (60.0, 300.0)]
    forecast = replace(FORECAST, skill=tuple(skills))
    reached = [forecast.skill_at(horizon_seconds=lead) for lead in (30.0, 60.0, 61.0, 900.0)]
    assert reached == [skills[0], skills[0], skills[1], skills[1]]
    assert replace(FORECAST, skill=()).skill_at(horizon_seconds=60.0) is None


def test_the_better_of_a_day_and_a_week_counts() -> None:
    spans = [(-0.3, 0.2), (0.4, 0.2), (None, 0.1), (None, None)]
    skills = [Skill(horizon_seconds=60.0, day=d, week=w, judged=40) for d, w in spans]
    assert [one.better for one in skills] == [0.2, 0.4, 0.1, None]
