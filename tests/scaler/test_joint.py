"""The whole demand of a model, added up by hand from what two variants show."""

from dataclasses import replace

import pytest

from scaler.decision.demand import Demand
from scaler.decision.joint import Part, joint_demand, joint_forecasts, joint_observation
from scaler.decision.series import DemandSeries
from scaler.forecast.record import DemandForecast, Skill
from scaler.signals import Absent, Observation, Reading, Signal, Value

PROMPT = DemandSeries.PROMPT_TOKENS


def demand(prompt: float | None, requests: float | None = 2.0) -> Demand:
    return Demand(
        at_seconds=60.0, prompt_tokens=prompt, generated_tokens=10.0, requests=requests,
        in_flight=5.0,
    )  # fmt: skip


def forecast(last: float, *, day: float | None = 0.1, judged: int = 90) -> DemandForecast:
    """Of `last`: as much again at level .9, five minutes ahead."""
    return DemandForecast(
        signal=PROMPT,
        made_at_seconds=0.0,
        data_age_seconds=0.0,
        horizons_seconds=(300.0,),
        levels=(0.5, 0.9),
        quantiles=((last, 2 * last),),
        last_value=last,
        skill=(Skill(horizon_seconds=300.0, day=day, week=None, judged=judged),),
        experts=(),
    )


def part(
    name: str, forecast_made: DemandForecast | None = None, *, worth: float = 1.0, **values: float
) -> Part:
    readings: dict[Signal, Reading] = {
        Signal(signal): Value(value=value, at_seconds=60.0) for signal, value in values.items()
    }
    return Part(
        name=name,
        observation=Observation(at_seconds=60.0, readings=readings),
        demand=demand(100.0),
        forecasts={} if forecast_made is None else {PROMPT: forecast_made},
        worth=worth,
        slots_worth=worth / 2,
    )


def test_demands_add_up_and_one_that_is_not_measured_leaves_the_sum_unknown() -> None:
    both = joint_demand([demand(100.0), demand(300.0, requests=None)])
    assert (both.prompt_tokens, both.generated_tokens, both.in_flight) == (400.0, 20.0, 10.0)
    assert both.requests is None


def test_replicas_and_what_runs_on_them_count_by_what_they_are_worth() -> None:
    seen = joint_observation(
        [
            part("a", replicas=3, running=30, waiting=2, kv_use=0.2),
            part("b", worth=2.0, replicas=2, running=10, waiting=4, kv_use=0.9),
        ]
    )
    # Running of `a` count half a slot, of `b` one; a cache of 3 of 7 is .2 full, of 4 of 7 .9.
    assert seen.value(Signal.REPLICAS) == 7
    assert seen.value(Signal.RUNNING) == 25
    assert seen.value(Signal.WAITING) == 6
    assert seen.value(Signal.KV_USE) == pytest.approx(0.6)


def test_what_one_does_not_measure_is_absent_and_named() -> None:
    seen = joint_observation([part("a", replicas=3, waiting=2), part("b", replicas=1)])
    assert seen.readings[Signal.WAITING] == Absent(why="not measured at b")


def test_forecasts_of_shares_of_one_demand_add_up_quantile_by_quantile() -> None:
    made = joint_forecasts([part("a", forecast(100.0)), part("b", forecast(300.0, day=0.3))])
    joint = made[PROMPT]
    assert (joint.last_value, joint.quantiles) == (400.0, ((400.0, 800.0),))
    # .1 of a quarter and .3 of three quarters.
    assert joint.skill[0].day == pytest.approx(0.25)


def test_the_evidence_is_the_least_and_without_any_the_skill_is_unknown() -> None:
    parts = [part("a", forecast(1.0, day=None, judged=7)), part("b", forecast(1.0))]
    (skill,) = joint_forecasts(parts)[PROMPT].skill
    assert (skill.day, skill.judged) == (None, 7)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(None, id="none"),
        pytest.param(replace(forecast(1.0), data_age_seconds=float("inf")), id="never-measured"),
        pytest.param(replace(forecast(1.0), horizons_seconds=(600.0,)), id="another-grid"),
    ],
)
def test_a_series_that_one_does_not_forecast_is_left_out(other: DemandForecast | None) -> None:
    assert joint_forecasts([part("a", forecast(1.0)), part("b", other)]) == {}
