"""Durations as people write them."""

from time import process_time

import pytest

from scaler.durations import parse_duration


@pytest.mark.parametrize(
    ("text", "expected"), [("90s", 90.0), ("1m30s", 90.0), (" 1d2h ", 93_600.0), ("250ms", 0.25)]
)
def test_a_duration_is_the_sum_of_its_parts(text: str, expected: float) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize("text", ["9" * 16_000, "9" * 16_000 + "s", "1s" * 8000])
def test_no_text_takes_long_to_be_refused(text: str) -> None:
    begun = process_time()

    assert parse_duration(text) == text
    assert process_time() - begun < 0.05
