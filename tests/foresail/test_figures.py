"""Figures as text."""

import pytest

from foresail.figures import last


@pytest.mark.parametrize(
    ("days", "shown"),
    [
        (5.2, "the last 5.2 days"),
        (1.0, "the last day"),
        (0.25, "the last 6 hours"),
        (5 / 1440, "the last 5 minutes"),
        (1 / 1440, "the last minute"),
    ],
)
def test_a_span_is_told_in_a_unit_that_does_not_round_it_to_nothing(
    days: float, shown: str
) -> None:
    assert last(days) == shown
