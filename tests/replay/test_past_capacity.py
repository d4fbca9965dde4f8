"""What one replica can do, learned from minutes that a known engine made."""

from dataclasses import replace

import numpy as np
import pytest

from replay.past_capacity import PastLoad, UnknownCapacityError, learned_replica
from replay.profile import (
    EngineProfile,
    RequestMix,
    capacity_requests_per_second,
    iteration_seconds,
    work_seconds,
)
from replay.replay_input import USED_RATIO

ITL_SECONDS = 0.06
PROFILE = EngineProfile(
    name="known",
    model_name="known",
    fixed_seconds=0.02,
    per_sequence_seconds=3e-4,
    per_kv_token_seconds=5e-8,
    per_prefill_token_seconds=6e-5,
    batched_tokens_max=2048,
    sequences_max=256,
    kv_tokens_max=200_000,
)


def minutes(
    *,
    steps: int = 600,
    replicas: int = 4,
    busiest: float = 0.9,
    lengths: tuple[float, float] = (1, 1),
) -> PastLoad:
    """A day curve of load in steady state: every number by the closed forms.

    Args:
        busiest: share of a replica's capacity at the peak.
        lengths: how prompts are longer, and answers shorter, at the end than at the start.
    """
    share = busiest * (0.3 + 0.7 * np.sin(np.linspace(0, np.pi, steps)) ** 2)
    prompts = 900 * np.linspace(1, lengths[0], steps)
    outputs = 250 * np.linspace(1, lengths[1], steps)
    columns = []
    for part, prompt, output in zip(
        share.tolist(), prompts.tolist(), outputs.tolist(), strict=True
    ):
        mix = RequestMix.constant(prompt, output)
        rate = part * capacity_requests_per_second(PROFILE, mix, itl_seconds=ITL_SECONDS)
        iteration = iteration_seconds(PROFILE, mix, requests_per_second=rate)
        streams = rate * (output - 1) * iteration
        kv = streams * (prompt + output / 2) / PROFILE.kv_tokens_max
        columns.append((replicas * rate, replicas * streams, kv))
    rate, streams, kv = np.array(columns).T
    return PastLoad(
        replicas=np.full(steps, float(replicas)),
        streams=streams,
        requests_per_second=rate,
        prompt_tokens_per_second=rate * prompts,
        generated_tokens_per_second=rate * outputs,
        running=streams,
        waiting=np.zeros(steps),
        kv_use_ratio=kv,
    )


def learned(load: PastLoad, **changes: float):
    options = {"itl_seconds": ITL_SECONDS, **changes}
    return learned_replica(load, name="known", gpus=1, **options)


@pytest.mark.parametrize(
    "lengths", [pytest.param((1, 1), id="one-mix"), pytest.param((2.5, 0.6), id="a-mix-that-moves")]
)
def test_what_a_replica_serves_is_that_of_the_engine(lengths: tuple[float, float]) -> None:
    found = learned(minutes(lengths=lengths))
    truth = USED_RATIO * capacity_requests_per_second(PROFILE, found.mix, itl_seconds=ITL_SECONDS)
    assert found.requests_per_second == pytest.approx(truth, rel=0.03)
    assert found.profile.fixed_seconds == pytest.approx(PROFILE.fixed_seconds, rel=0.03)
    assert work_seconds(found.profile, found.mix) == pytest.approx(
        work_seconds(PROFILE, found.mix), rel=0.03
    )
    assert found.low <= found.requests_per_second <= found.high
    assert found.profile.kv_tokens_max == pytest.approx(PROFILE.kv_tokens_max, rel=0.02)


def test_a_quiet_past_says_how_far_it_was_from_full() -> None:
    found = learned(minutes(busiest=0.4))
    # Four tenths of what the mean-field model allows are 0.4 / 0.85 of what is served in time.
    assert found.busiest_ratio == pytest.approx(0.4 / USED_RATIO, rel=0.05)


def test_slots_are_those_at_which_a_queue_stood_and_no_others() -> None:
    load = minutes()
    assert not learned(load).slots_seen
    queued = np.zeros(600)
    queued[280:320] = 40
    full = np.minimum(load.running, 4 * 24.0)
    seen = learned(replace(load, running=full, waiting=queued))
    assert (seen.profile.sequences_max, seen.slots_seen) == (24, True)
    # A queue while replicas start, at fewer streams than were seen at other times.
    early = np.zeros(600)
    early[40:60] = 40
    assert not learned(replace(load, waiting=early)).slots_seen


def test_minutes_in_which_replicas_came_or_went_are_left_out() -> None:
    load = minutes()
    moving = load.replicas.copy()
    moving[::2] = 5
    with pytest.raises(UnknownCapacityError, match="0 minutes"):
        learned(replace(load, replicas=moving))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"itl_seconds": 0.015}, "takes 20 ms .* set a later --itl", id="objective"),
    ],
)
def test_an_objective_that_no_replica_keeps_is_said(
    changes: dict[str, float], message: str
) -> None:
    with pytest.raises(UnknownCapacityError, match=message):
        learned(minutes(), **changes)


def test_a_past_without_latencies_is_said() -> None:
    load = minutes()
    with pytest.raises(UnknownCapacityError, match="time between tokens"):
        learned(replace(load, streams=np.full(600, np.nan)))
