"""Durations as people write them."""

import pytest

from scaler.durations import parse_duration
from tests.cpu_time import cpu_seconds


@pytest.mark.parametrize(
    ("text", "expected"), [("90s", 90.0), ("1m30s", 90.0), (" 1d2h ", 93_600.0), ("250ms", 0.25)]
)
def test_a_duration_is_the_sum_of_its_parts(text: str, expected: float) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize("text", ["9" * 16_000, "9" * 16_000 + "s", "1s" * 8000])
def test_no_text_takes_long_to_be_refused(text: str) -> None:
    assert parse_duration(text) == text
    assert cpu_seconds(lambda: parse_duration(text)) < 0.05
