"""The HPA model against vectors worked out from kube-controller-manager's source."""

import pytest

from replay.hpa import (
    AverageValue,
    Behavior,
    HpaSettings,
    HpaState,
    Policy,
    PolicyKind,
    ScalingRules,
    SelectPolicy,
    proposal,
    sync,
)

TO_100 = HpaSettings(replicas_min=1, replicas_max=100)


def asking(replicas: float) -> AverageValue:
    return AverageValue(total=replicas, target=1)


def follow(
    settings: HpaSettings, replicas: int, asked: list[float | None], *, every_seconds: int = 15
) -> list[int]:
    """Replicas after each sync, the fleet following at once."""
    state = HpaState()
    counts: list[int] = []
    for step, wanted in enumerate(asked):
        metric = None if wanted is None else asking(wanted)
        state, decision = sync(
            settings, state, metric, replicas=replicas, now_seconds=step * every_seconds
        )
        replicas = decision.replicas
        counts.append(replicas)
    return counts


@pytest.mark.parametrize(
    ("replicas", "ignored"),
    [
        *(pytest.param(n, [n], id=f"{n}-none") for n in range(1, 10)),
        pytest.param(10, [9, 10, 11], id="10"),
        pytest.param(11, [10, 11, 12], id="11"),
        pytest.param(19, [18, 19, 20], id="19"),
        pytest.param(20, [18, 19, 20, 21, 22], id="20"),
        pytest.param(30, [27, 28, 29, 30, 31, 32, 33], id="30"),
        pytest.param(50, list(range(45, 56)), id="50"),
    ],
)
def test_wishes_inside_the_tolerance_band_change_nothing(replicas: int, ignored: list[int]) -> None:
    unchanged = [
        wish
        for wish in range(1, 3 * replicas)
        if proposal(TO_100, asking(wish), replicas=replicas) == replicas
    ]
    assert unchanged == ignored


@pytest.mark.parametrize(
    ("total", "target", "expected"),
    [
        pytest.param(7, 1, 7, id="whole"),
        pytest.param(7.0004, 1, 7, id="less-than-half-a-milli-is-nothing"),
        pytest.param(7.001, 1, 8, id="a-milli-more-is-a-replica-more"),
        pytest.param(14.2, 5, 3, id="ceil"),
        pytest.param(0, 5, 0, id="zero"),
    ],
)
def test_the_proposal_is_the_total_over_the_target_rounded_up(
    total: float, target: float, expected: int
) -> None:
    assert proposal(TO_100, AverageValue(total=total, target=target), replicas=1) == expected


def test_one_becomes_forty_in_five_syncs_by_default() -> None:
    assert follow(TO_100, 1, [40.0] * 6) == [4, 8, 16, 32, 40, 40]


def test_defaults_written_out_as_behavior_climb_no_slower() -> None:
    # max(100 %, 4 pods) of 1 is 5, where the limit without a behavior is max(2 * 1, 4).
    settings = HpaSettings(replicas_min=1, replicas_max=100, behavior=Behavior())
    assert follow(settings, 1, [40.0] * 6) == [5, 10, 20, 40, 40, 40]


def test_scale_down_waits_until_the_last_high_wish_is_five_minutes_old() -> None:
    counts = follow(TO_100, 10, [10.0, *[2.0] * 22])
    # The wish for ten of second 0 still counts at second 300, which is sync 20.
    assert counts[:21] == [10] * 21
    assert counts[21] == 2


def test_a_window_of_zero_follows_downwards_at_once() -> None:
    at_once = ScalingRules(
        policies=(Policy(kind=PolicyKind.PERCENT, value=100),), stabilization_window_seconds=0
    )
    settings = HpaSettings(replicas_min=1, replicas_max=100, behavior=Behavior(scale_down=at_once))
    assert follow(settings, 10, [2.0]) == [2]


def test_a_pod_a_minute_downwards_is_counted_over_the_minute() -> None:
    slowly = ScalingRules(
        policies=(Policy(kind=PolicyKind.PODS, value=1, period_seconds=60),),
        stabilization_window_seconds=0,
    )
    settings = HpaSettings(replicas_min=1, replicas_max=100, behavior=Behavior(scale_down=slowly))
    assert follow(settings, 10, [2.0] * 9) == [9, 9, 9, 9, 8, 8, 8, 8, 7]


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        pytest.param(SelectPolicy.MAX, 20, id="max-allows-most"),
        pytest.param(SelectPolicy.MIN, 13, id="min-allows-least"),
        pytest.param(SelectPolicy.DISABLED, 10, id="disabled-allows-nothing"),
    ],
)
def test_select_policy_picks_among_policies(select: SelectPolicy, expected: int) -> None:
    rules = ScalingRules(
        policies=(
            Policy(kind=PolicyKind.PERCENT, value=100),
            Policy(kind=PolicyKind.PODS, value=3),
        ),
        stabilization_window_seconds=0,
        select_policy=select,
    )
    settings = HpaSettings(replicas_min=1, replicas_max=100, behavior=Behavior(scale_up=rules))
    assert follow(settings, 10, [50.0]) == [expected]


def test_a_percentage_downwards_is_truncated() -> None:
    rules = ScalingRules(
        policies=(Policy(kind=PolicyKind.PERCENT, value=10),), stabilization_window_seconds=0
    )
    settings = HpaSettings(replicas_min=1, replicas_max=100, behavior=Behavior(scale_down=rules))
    # 15 less a tenth is 13.5: two may go.
    assert follow(settings, 15, [1.0]) == [13]


def test_an_up_window_takes_the_lowest_wish_in_it() -> None:
    rules = ScalingRules(
        policies=(Policy(kind=PolicyKind.PERCENT, value=900),), stabilization_window_seconds=30
    )
    settings = HpaSettings(replicas_min=1, replicas_max=100, behavior=Behavior(scale_up=rules))
    assert follow(settings, 2, [2.0, 8.0, 9.0, 9.0]) == [2, 2, 2, 8]


def test_own_tolerance_of_zero_makes_a_wish_exact() -> None:
    rules = ScalingRules(
        policies=(Policy(kind=PolicyKind.PERCENT, value=100),),
        stabilization_window_seconds=0,
        tolerance_ratio=0,
    )
    settings = HpaSettings(
        replicas_min=1, replicas_max=100, behavior=Behavior(scale_up=rules, scale_down=rules)
    )
    assert follow(settings, 20, [21.0, 20.0]) == [21, 20]


@pytest.mark.parametrize(
    ("replicas", "wanted", "expected"),
    [
        pytest.param(10, None, 10, id="no-metric-holds"),
        pytest.param(0, 5.0, 0, id="zero-is-disabled"),
        pytest.param(1, 1.0, 3, id="minimum-first"),
        pytest.param(30, 30.0, 12, id="maximum-first-past-every-policy"),
        pytest.param(10, 90.0, 12, id="never-above-maximum"),
        pytest.param(3, 0.0, 3, id="never-below-minimum"),
    ],
)
def test_bounds_and_missing_metrics(replicas: int, wanted: float | None, expected: int) -> None:
    settings = HpaSettings(replicas_min=3, replicas_max=12)
    assert follow(settings, replicas, [wanted]) == [expected]


def test_bounds_must_be_possible() -> None:
    with pytest.raises(ValueError, match="replicas_min"):
        HpaSettings(replicas_min=0, replicas_max=3)
