"""What a trigger lets shadows choose."""

import pytest

from scaler.decision.parameters import PlanParameters, Tuning, parameters_of
from scaler.errors import MetadataError
from scaler.trigger_parsing import AllowedOptions, parse
from tests.scaler.fakes import CAPACITY

ALLOWED = AllowedOptions(
    engines={"vllm": False}, sources=frozenset({"main"}), default_source="main"
)


def parameters(**metadata: str) -> PlanParameters:
    return parameters_of(parse({"model": "m", "mode": "act", **metadata}, ALLOWED), CAPACITY)


def test_shadows_choose_all_figures_that_are_not_given() -> None:
    tuning = parameters(tuning="shadows", timezone="Europe/Berlin").tuning

    assert tuning == Tuning(corrects=True, chooses=True, timezone="Europe/Berlin")


def test_by_default_late_requests_correct_the_setting_and_nothing_chooses_another() -> None:
    assert parameters().tuning == Tuning(corrects=True)


def test_a_figure_that_is_given_is_pinned_even_at_its_default() -> None:
    assert parameters(quantile="0.95").tuning.pinned == {"level"}
    assert parameters(utilization="0.7", hold="5m").tuning.pinned == {
        "utilization",
        "hold_seconds",
    }


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param({"tuning": "fixed"}, id="fixed"),
        pytest.param(
            {"mode": "reactive", "tuning": "shadows"},
            id="the-reactive-need-has-no-setting-to-choose",
        ),
    ],
)
def test_shadows_choose_nothing_where_the_trigger_does_not_want_it(
    metadata: dict[str, str],
) -> None:
    tuning = parameters(**metadata).tuning
    assert not tuning.chooses
    assert not tuning.corrects


def test_late_requests_correct_no_plan_that_is_only_shown() -> None:
    assert not parameters(mode="advise").tuning.corrects
    assert parameters(mode="advise", tuning="shadows").tuning.chooses


def test_another_tuning_is_refused_with_what_is_allowed() -> None:
    with pytest.raises(MetadataError, match="'tuning' has the value 'auto': it takes corrected, s"):
        parameters(tuning="auto")
