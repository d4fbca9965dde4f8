"""What a trigger lets shadows choose."""

import pytest

from scaler.decision.parameters import PlanParameters, Tuning, parameters_of
from scaler.errors import MetadataError
from scaler.trigger import AllowedOptions, parse
from tests.scaler.fakes import CAPACITY

ALLOWED = AllowedOptions(
    engines={"vllm": False}, sources=frozenset({"main"}), default_source="main"
)


def parameters(**metadata: str) -> PlanParameters:
    return parameters_of(parse({"model": "m", "mode": "act", **metadata}, ALLOWED), CAPACITY)


def test_without_figures_shadows_choose_all_of_them() -> None:
    tuning = parameters(timezone="Europe/Berlin").tuning

    assert tuning == Tuning(chooses=True, timezone="Europe/Berlin")


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
        pytest.param({"mode": "reactive"}, id="the-reactive-need-has-no-setting-to-choose"),
    ],
)
def test_shadows_choose_nothing_where_the_trigger_does_not_want_it(
    metadata: dict[str, str],
) -> None:
    assert not parameters(**metadata).tuning.chooses


def test_another_tuning_is_refused_with_what_is_allowed() -> None:
    with pytest.raises(MetadataError, match="'tuning' has the value 'auto': it takes shadows or f"):
        parameters(tuning="auto")
