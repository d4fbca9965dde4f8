"""How long an HPA needs from its least to its most replicas, look by look."""

import pytest

from policies.lint.rules.behavior import climb_seconds


def pods(value: int, period: int) -> dict[str, object]:
    return {"type": "Pods", "value": value, "periodSeconds": period}


def percent(value: int, period: int) -> dict[str, object]:
    return {"type": "Percent", "value": value, "periodSeconds": period}


@pytest.mark.parametrize(
    ("policies", "more", "least", "most", "seconds"),
    [
        pytest.param([pods(20, 300)], {}, 1, 20, 15, id="all-of-a-period-at-the-first-look"),
        pytest.param([pods(4, 60)], {}, 1, 13, 135, id="the-rest-when-the-period-is-over"),
        pytest.param([pods(4, 20)], {}, 1, 9, 45, id="at-the-next-look-after-the-period"),
        pytest.param([pods(1, 1)], {}, 1, 3, 30, id="once-a-look-in-a-shorter-period"),
        # 21, and then twice as many every 15 s.
        pytest.param([pods(20, 300), percent(100, 15)], {}, 1, 80, 45, id="the-larger-allowance"),
        pytest.param(
            [pods(20, 300), percent(100, 15)],
            {"selectPolicy": "Min"},
            1,
            20,
            75,
            id="the-smaller-allowance",
        ),
        # 15, and 22.5.
        pytest.param([percent(50, 60)], {}, 10, 23, 75, id="a-percentage-is-rounded-up"),
        pytest.param([percent(0, 15)], {}, 1, 2, None, id="never"),
        pytest.param([pods(9, 15)], {"selectPolicy": "Disabled"}, 1, 2, None, id="disabled"),
        pytest.param([pods(1, 15)], {}, 3, 3, 0, id="there-already"),
        pytest.param([], {}, 1, 60, 75, id="the-defaults"),
    ],
)
def test_policies_allow_their_share_of_what_ran_a_period_ago(
    policies: list[object], more: dict[str, object], least: int, most: int, seconds: float | None
) -> None:
    assert climb_seconds({"policies": policies, **more}, least, most) == seconds


def test_a_climb_without_end_is_cut() -> None:
    assert climb_seconds({"policies": [pods(1, 1800)]}, 1, 10**12) == pytest.approx(
        30_000, rel=0.01
    )
