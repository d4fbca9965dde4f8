"""What a rule is told comes from the past: not the future's mix, not how long a start-up takes."""

from dataclasses import replace

import numpy as np
import pytest

from replay.contest import Scenario
from replay.fleet import FleetSettings
from replay.peers import static
from replay.policies.catalogue import KINDS
from replay.policies.shipped import Foresail
from replay.replay_input import Platform, ReplayInput, draw_input, fixed_start_up
from replay.simulate import Move, simulate
from replay.start_up import Stage, StartUp
from replay.traces import Trace
from scaler.forecast.trees import nothing
from tests.replay.small import as_shipped

MINUTES, CHANGE_MINUTE = 120, 90
PLATFORM = Platform(fleet=FleetSettings(start_up=fixed_start_up(180), rows=64), replicas_max=24)
CAUSAL = sorted(name for name in KINDS if name not in static.NAMES)


def drawn(prompt_tokens_later: float, *, platform: Platform = PLATFORM) -> ReplayInput:
    """Two hours, a sixth of them past; the prompts of the last half hour differ."""
    prompt = np.full(MINUTES, 800.0)
    prompt[CHANGE_MINUTE:] = prompt_tokens_later
    trace = Trace(
        name="two-mixes",
        step_seconds=60.0,
        requests_per_second=np.full(MINUTES, 8.0),
        prompt_tokens=prompt,
        output_tokens=np.full(MINUTES, 300.0),
    )
    return draw_input(trace, platform, seed=1)


def moves_before_the_change(name: str, replay_input: ReplayInput) -> list[Move]:
    result = as_shipped(name, replay_input)
    # Bins are joined from their middles: the minute before the change knows of it already.
    past_seconds = len(replay_input.past.at_seconds) * 60
    until = (CHANGE_MINUTE - 1) * 60 - past_seconds
    return [move for move in result.moves if move.at_seconds < until]


@pytest.mark.parametrize("name", CAUSAL)
def test_no_rule_acts_on_a_mix_that_is_still_to_come(name: str) -> None:
    usual = moves_before_the_change(name, drawn(800.0))
    assert moves_before_the_change(name, drawn(6400.0)) == usual


def test_the_mix_and_the_capacity_are_those_of_the_past() -> None:
    later = drawn(6400.0)
    assert later.mix.prompt_tokens == pytest.approx(800.0)
    assert later.replica_requests_per_second == drawn(800.0).replica_requests_per_second


def test_a_short_trace_gives_a_sixth_as_past() -> None:
    assert len(drawn(800.0).past.at_seconds) == MINUTES // 6


def test_a_past_without_requests_gives_everyone_the_same_guess() -> None:
    rate = np.full(MINUTES, 8.0)
    rate[: MINUTES // 6 + 1] = 0.0
    trace = Trace(
        name="begins-later",
        step_seconds=60.0,
        requests_per_second=rate,
        prompt_tokens=np.full(MINUTES, 6400.0),
        output_tokens=np.full(MINUTES, 300.0),
    )
    mix = draw_input(trace, PLATFORM, seed=1).mix
    assert (mix.prompt_tokens, mix.output_tokens) == (1000.0, 250.0)


def test_the_start_up_told_is_the_median_of_those_seen_and_not_the_distribution_s() -> None:
    start_up = StartUp(stages=(Stage(name="all", median_seconds=200, log_sigma=0.4),))
    platform = replace(PLATFORM, fleet=replace(PLATFORM.fleet, start_up=start_up))
    told = drawn(800.0, platform=platform).start_up_seconds
    assert told != pytest.approx(200, abs=0.5)
    assert 100 < told < 400


def test_a_fixed_start_up_was_seen_as_it_is() -> None:
    assert drawn(800.0).start_up_seconds == pytest.approx(180)


def test_an_input_s_prior_is_the_one_the_forecast_uses() -> None:
    replay_input = drawn(800.0)
    shipped = Foresail(replay_input, 20.0)
    other = Foresail(replace(replay_input, prior=nothing()), 20.0)
    for policy in (shipped, other):
        simulate(replay_input, policy, name="foresail", knob=20.0, seed=1)
    assert shipped.forecast_ahead() != other.forecast_ahead()


def test_a_run_with_another_prior_is_another_run() -> None:
    trace = Trace(
        name="even",
        step_seconds=60.0,
        requests_per_second=np.ones(30),
        prompt_tokens=np.full(30, 800.0),
        output_tokens=np.full(30, 200.0),
    )
    scenario = Scenario(trace=trace, platform=PLATFORM, replicas_mean=None)
    assert scenario.digest() != replace(scenario, prior=b"another").digest()
