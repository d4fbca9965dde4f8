"""A verdict agrees with the table above which it stands, and names cost with attainment."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foresail.replaying.report import Report
from foresail.replaying.verdict import verdict
from replay.limits import Limit
from replay.simulate import Result
from tests.replay.small import small_input

COURSE = small_input()


def result(policy: str, attainment: float, gpu_hours: float, knob: float = 1.0) -> Result:
    return Result(
        policy=policy, knob=knob, requests=100, attainment=attainment, gpu_hours=gpu_hours,
        ttft_p50=0, ttft_p95=0, ttft_p99=0, itl_p99=0, errors=0, cold_start_affected=0,
        actions=0, flips=0, days=(),
    )  # fmt: skip


def report(
    *rows: Result,
    oracle: tuple[Result, ...] = (),
    sweeps: tuple[Result, ...] = (),
    limits: tuple[Limit, ...] = (),
) -> Report:
    return Report(
        replay_input=COURSE,
        attainment=0.99,
        limits=limits,
        usual={row.policy: row for row in rows},
        oracle=list(oracle),
        sweeps={
            name: [one for one in sweeps if one.policy == name]
            for name in dict.fromkeys(one.policy for one in sweeps)
        },
        gpu_usd_hour=None,
    )


def test_a_rule_that_was_in_time_as_often_is_named_with_its_cost_though_it_is_static() -> None:
    said = list(
        verdict(
            report(
                result("foresail", 0.9965, 200),
                result("static-peak", 1.0, 300),
                result("keda-waiting", 0.45, 500),
            )
        )
    )
    own, beside = said
    assert own == "Foresail as it ships: 99.65% in time for 200.0 GPU-hours."
    assert beside == (
        "1 of 2 other rules shown was in time at least as often, static-peak"
        " (100.00% in time for 300.0 GPU-hours, 50% more than Foresail, sized with the traffic"
        " known)."
    )


def test_of_rules_as_good_the_cheapest_that_acts_is_named_beside_the_one_that_knows() -> None:
    *_, said = verdict(
        report(
            result("foresail", 0.99, 200),
            result("static-mean", 0.995, 100),
            result("wva-queueing", 0.992, 150),
            result("ray-ongoing", 1.0, 900),
        )
    )
    assert said == (
        "3 of 3 other rules shown were in time at least as often, the cheapest of them static-mean"
        " (99.50% in time for 100.0 GPU-hours, 50% less than Foresail, sized with the traffic"
        " known), and of those that act as they go wva-queueing (99.20% in time for 150.0"
        " GPU-hours, 25% less than Foresail)."
    )


def test_where_nobody_was_in_time_as_often_the_nearest_is_named() -> None:
    _, said = verdict(
        report(
            result("foresail", 0.9965, 200),
            result("hpa-kv", 0.5, 100),
            result("hpa-inflight", 0.98, 250),
        )
    )
    assert said == (
        "None of 2 other rules shown was in time as often; the nearest was hpa-inflight (98.00% in"
        " time for 250.0 GPU-hours, 25% more than Foresail)."
    )


def test_a_rule_that_keeps_what_is_asked_for_less_is_named_though_it_is_behind() -> None:
    *_, said = verdict(report(result("foresail", 0.9965, 200), result("wva-queueing", 0.991, 180)))
    assert said == (
        "Less often in time, but still the 99% asked, and cheaper: wva-queueing (99.10% in time"
        " for 180.0 GPU-hours, 10% less than Foresail)."
    )


def test_a_difference_that_the_table_does_not_show_is_none() -> None:
    _, said = verdict(
        report(result("foresail", 0.996541, 200), result("hpa-inflight", 0.996538, 200.4))
    )
    assert said.startswith("1 of 1 other rules shown was in time at least as often")
    assert "as much as Foresail" in said


def test_what_was_missed_is_said_with_what_was_asked() -> None:
    (said,) = verdict(report(result("foresail", 0.97, 240), oracle=(result("oracle", 0.97, 120),)))
    assert said == (
        "Foresail as it ships: 97.00% in time for 240.0 GPU-hours, 2.00 times the cheapest schedule"
        " found for that share, where 99% in time was asked."
    )


@pytest.mark.parametrize(
    ("ours", "own"),
    [
        pytest.param(0.99, "Foresail took 210.0 GPU-hours (99.00%)", id="reached"),
        pytest.param(0.9, "no setting of Foresail got there", id="not-reached"),
    ],
)
def test_in_hindsight_the_cheapest_settings_stand_side_by_side(ours: float, own: str) -> None:
    *_, said = verdict(
        report(
            result("foresail", 0.9, 200),
            sweeps=(
                result("foresail", ours, 210),
                result("wva-queueing", 0.99, 190),
                result("hpa-kv", 0.5, 20),
            ),
        )
    )
    assert said == (
        f"With each rule's setting chosen in hindsight for 99% in time {own};"
        " the cheapest other rule, wva-queueing, 190.0 GPU-hours (99.00%)."
    )


def test_a_run_that_is_not_valid_has_no_verdict() -> None:
    limit = Limit(attainable=0.476, what="too few replicas", remedy="more")
    assert not list(verdict(report(result("foresail", 0.4759, 1393), limits=(limit,))))


def test_a_limit_that_leaves_what_is_asked_leaves_the_verdict() -> None:
    limit = Limit(attainable=0.998, what="a tight bound", remedy="more")
    assert list(verdict(report(result("foresail", 0.995, 100), limits=(limit,))))


rows = st.lists(
    st.builds(
        result,
        st.sampled_from(["static-peak", "hpa-kv", "wva-queueing", "ray-ongoing"]),
        st.floats(0, 1),
        st.floats(1, 9000),
    ),
    min_size=1,
    unique_by=lambda row: row.policy,
)


@given(others=rows, attainment=st.floats(0, 1), gpu_hours=st.floats(1, 9000))
def test_no_sentence_contradicts_a_row(
    others: list[Result], attainment: float, gpu_hours: float
) -> None:
    said = " ".join(verdict(report(result("foresail", attainment, gpu_hours), *others)))
    as_good = [row for row in others if f"{row.attainment:.2%}" == f"{attainment:.2%}"
               or row.attainment > attainment]  # fmt: skip
    nobody = "None of" if len(others) > 1 else "The other rule shown was not"
    assert (nobody in said) == (not as_good)
    for row in others:
        if row.policy in said:
            assert f"{row.policy} ({row.attainment:.2%} in time for {row.gpu_hours:,.1f}" in said


@given(others=rows, oracle=rows, asked=st.floats(0, 1), gpu_hours=st.floats(1, 9000))
def test_no_row_costs_less_than_what_it_is_compared_with(
    others: list[Result], oracle: list[Result], asked: float, gpu_hours: float
) -> None:
    shown = report(result("foresail", asked, gpu_hours), *others, oracle=tuple(oracle))
    for row in shown.usual.values():
        ratio = shown.ratio(row)
        assert ratio is not None
        assert ratio >= 1
