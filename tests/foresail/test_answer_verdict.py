"""Which of two rules the answer names, worked out by hand."""

import pytest

from foresail.backtest.answer import Better, Row, better, who_keeps, why_unclear


def row(hours: tuple[float, ...], in_time: tuple[float, ...]) -> Row:
    return Row(name="any", gpu_hours=hours, in_time=in_time)


@pytest.mark.parametrize(
    ("yours", "ours", "expected"),
    [
        pytest.param(
            row((100, 102), (0.995, 0.996)), row((80, 81), (0.992, 0.993)), Better.FORESAIL,
            id="both-keep-it-and-ours-is-cheaper",
        ),
        pytest.param(
            row((80, 81), (0.992, 0.993)), row((100, 102), (0.999, 0.999)), Better.YOURS,
            id="both-keep-it-and-yours-is-cheaper",
        ),
        pytest.param(
            row((100, 100), (0.995, 0.995)), row((98, 103), (0.995, 0.995)), Better.UNCLEAR,
            id="the-seeds-disagree",
        ),
        pytest.param(
            row((100, 100), (0.995, 0.995)), row((99.5, 99.6), (0.995, 0.995)), Better.UNCLEAR,
            id="half-a-per-cent-is-nothing",
        ),
        pytest.param(
            row((50, 50), (0.97, 0.98)), row((100, 100), (0.991, 0.992)), Better.FORESAIL,
            id="only-ours-keeps-it",
        ),
        pytest.param(
            row((120, 120), (0.991, 0.992)), row((60, 60), (0.98, 0.995)), Better.YOURS,
            id="only-yours-keeps-it-on-every-seed",
        ),
        pytest.param(
            row((100, 100), (0.90, 0.91)), row((120, 120), (0.94, 0.95)), Better.UNCLEAR,
            id="neither-keeps-it-and-more-in-time-costs-more",
        ),
        pytest.param(
            row((100, 100), (0.94, 0.95)), row((120, 120), (0.90, 0.91)), Better.YOURS,
            id="neither-keeps-it-and-yours-is-better-in-both",
        ),
        pytest.param(
            row((100, 100), (0.9, 0.9)), row((90, 90), (0.9, 0.9)), Better.FORESAIL,
            id="neither-keeps-it-and-as-often-for-less",
        ),
    ],
)  # fmt: skip
def test_the_better_rule_is_named_and_an_unclear_one_is_not(
    yours: Row, ours: Row, expected: Better
) -> None:
    assert better(yours, ours, 0.99) is expected


@pytest.mark.parametrize(
    ("yours", "ours", "said"),
    [
        pytest.param(
            row((100, 100, 100), (0.995,) * 3), row((92, 100, 115), (0.995,) * 3),
            "The seeds disagree: from -8% to +15% GPU-hours",
            id="seeds-disagree",
        ),
        pytest.param(
            row((100, 100), (0.995,) * 2), row((99.5, 99.6), (0.995,) * 2),
            "The difference is too small to matter.",
            id="too-small",
        ),
        pytest.param(
            row((100, 100), (0.90, 0.91)), row((120, 120), (0.94, 0.95)),
            "One is cheaper and the other more often in time: the choice is yours.",
            id="a-matter-of-taste",
        ),
    ],
)  # fmt: skip
def test_where_no_rule_is_better_the_reason_is_told(yours: Row, ours: Row, said: str) -> None:
    assert why_unclear(yours, ours).startswith(said)


@pytest.mark.parametrize(
    ("yours", "ours", "said"),
    [
        pytest.param((0.99, 0.995), (0.991, 0.99), "Both keep 99% in time.", id="both"),
        pytest.param((0.99, 0.995), (0.98, 0.989), "Only yours keeps 99% in time.", id="yours"),
        pytest.param((0.98, 0.98), (0.991, 0.99), "Only Foresail keeps 99% in time.", id="ours"),
        pytest.param((0.9, 0.9), (0.8, 0.98), "Neither keeps 99% in time.", id="neither"),
        pytest.param(
            (0.993, 0.994, 0.994), (0.988, 0.992, 0.993),
            "Of 3 seeds yours keeps 99% in time with 3, Foresail with 2.",
            id="a-mean-above-the-objective-with-a-seed-below-it-is-told",
        ),
    ],
)  # fmt: skip
def test_it_is_told_who_keeps_the_objective(
    yours: tuple[float, ...], ours: tuple[float, ...], said: str
) -> None:
    hours = (100.0,) * len(yours)
    assert who_keeps(row(hours, yours), row(hours, ours), 0.99) == said
