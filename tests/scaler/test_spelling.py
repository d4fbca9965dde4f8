"""The spelling that a message names for an unknown word."""

import pytest

from scaler.spelling import nearest

KEYS = ("mode", "model", "maxReplicas", "minReplicas", "leadTime")


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        pytest.param("modle", "model", id="two letters swapped"),
        pytest.param("leadTme", "leadTime", id="a letter left out"),
        pytest.param("lead_time", "leadTime", id="another case"),
        pytest.param("colour", None, id="nothing near"),
    ],
)
def test_the_spelling_that_was_meant_is_found(word: str, meant: str | None) -> None:
    assert nearest(word, KEYS) == meant
