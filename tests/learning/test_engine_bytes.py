"""What was learned of an engine outlives a process, or is refused."""

import math
import struct
from dataclasses import replace

import pytest

from scaler.learning.engine import EngineLearner
from scaler.learning.engine_bytes import VERSION, encode, resume
from scaler.learning.engine_prior import prior_of
from tests.learning.engine_stage import OBJECTIVE, Engine, Stage, given

FIGURES = given(9000, 4500)


def taught() -> Stage:
    learner = EngineLearner(objective=OBJECTIVE, given=FIGURES)
    stage = Stage(learner=learner, engine=Engine())
    stage.minutes(120, 2.0, 3.5, 4.9)
    return stage


def resumed(payload: bytes, *, now: float, version: int = VERSION) -> EngineLearner:
    learner = EngineLearner(objective=OBJECTIVE, given=FIGURES)
    resume(learner, payload, version=version, now_seconds=now)
    return learner


def test_a_process_continues_with_the_same_estimate() -> None:
    stage = taught()
    learner = resumed(encode(stage.learner), now=stage.at)
    assert learner.estimate(FIGURES, OBJECTIVE) == stage.learner.estimate(FIGURES, OBJECTIVE)


def test_it_takes_less_than_a_kibibyte() -> None:
    assert len(encode(taught().learner)) < 1024


def test_the_tail_of_another_objective_is_left_out() -> None:
    stage = taught()
    other = EngineLearner(objective=replace(OBJECTIVE, ttft_seconds=9.0), given=FIGURES)
    resume(other, encode(stage.learner), version=VERSION, now_seconds=stage.at)

    assert sum(other.tail.minutes) == 0
    assert other.fit.minutes == stage.learner.fit.minutes


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda payload: payload[:-1], id="short"),
        pytest.param(lambda payload: struct.pack("<d", math.nan) + payload[8:], id="NaN"),
        pytest.param(lambda payload: struct.pack("<d", -5.0) + payload[8:], id="below zero"),
        pytest.param(lambda payload: struct.pack("<d", 1e300) + payload[8:], id="absurd"),
    ],
)
def test_doubtful_bytes_are_refused(spoil) -> None:  # type: ignore[no-untyped-def]
    stage = taught()
    with pytest.raises(ValueError, match=r"bytes|amount|finite|more minutes"):
        resumed(spoil(encode(stage.learner)), now=stage.at)


def test_an_engine_with_long_contexts_is_kept() -> None:
    """A day at 2,000 generated tokens a second, with 100,000 cached tokens for each request."""
    learner = EngineLearner(objective=OBJECTIVE, given=FIGURES)
    row = (1 / 0.03, 2000.0, 2000.0 * 100_000, 500.0)
    prior = prior_of(FIGURES, itl_seconds=OBJECTIVE.itl_seconds)
    for _ in range(1440):  # the largest sum is about 1,440 × (2,000 × 100,000)²
        learner.fit.take(row, prior, minutes=1.0)

    back = resumed(encode(learner), now=0.0)

    assert back.fit.minutes == learner.fit.minutes > 500


PLACES = {
    "minutes": 0,
    "products": 3,
    "targets": 13,
    "running_max": 17,
    "context_tokens": 19,
    "kv_tokens": 21,
}
"""Of the numbers in the payload: three of the fit and ten products come first."""


@pytest.mark.parametrize(
    ("place", "value", "why"),
    [
        (PLACES["minutes"], 1e17, "more minutes"),
        (PLACES["products"], 1e17, "no engine makes"),
        (PLACES["targets"], 1e17, "contradict"),
        (PLACES["targets"] + 1, 1e17, "contradict"),
        (PLACES["targets"] + 3, 1e17, "contradict"),
        (PLACES["running_max"], 1e17, "running max of 1e"),
        (PLACES["context_tokens"], 1e17, "context tokens of 1e"),
        (PLACES["kv_tokens"], 1e17, "kv tokens of 1e"),
    ],
)
def test_numbers_that_would_order_every_replica_are_refused(
    place: int, value: float, why: str
) -> None:
    stage = taught()
    payload = bytearray(encode(stage.learner))
    struct.pack_into("<d", payload, 8 * place, value)
    with pytest.raises(ValueError, match=why):
        resumed(bytes(payload), now=stage.at)


def test_another_version_is_refused() -> None:
    stage = taught()
    with pytest.raises(ValueError, match="version 2"):
        resumed(encode(stage.learner), now=stage.at, version=2)


def test_a_state_from_the_future_is_refused() -> None:
    stage = taught()
    with pytest.raises(ValueError, match="from now"):
        resumed(encode(stage.learner), now=stage.at - 3600)
