"""Capacity learned through a replay, by a rule that was told three times too much or too little."""

from dataclasses import replace
from pathlib import Path

import pytest

from replay.fleet import FleetSettings
from replay.in_expectation import InExpectation
from replay.policies.shipped import FORESAIL, Foresail
from replay.profile import RequestMix, work_seconds
from replay.replay_input import Platform, ReplayInput, draw_input, fixed_start_up
from replay.simulate import Simulation
from replay.traces import Trace, read

TRACES = Path(__file__).parents[3] / "shared" / "data" / "traces"
HOURS = 2
DAYS = 6


def drawn(trace: str) -> ReplayInput:
    platform = Platform(fleet=FleetSettings(start_up=fixed_start_up(300), rows=128))
    whole = read(TRACES / f"{trace}.csv")
    made = draw_input(first_days(whole, DAYS), platform, seed=1, replicas_mean=8.0)
    return made.first(HOURS * 3600)


def first_days(trace: Trace, days: int) -> Trace:
    """A sixth of them is the past, which the rule learns minute by minute before the run."""
    steps = slice(int(days * 86_400 / trace.step_seconds))
    return replace(
        trace,
        requests_per_second=trace.requests_per_second[steps],
        prompt_tokens=trace.prompt_tokens[steps],
        output_tokens=trace.output_tokens[steps],
    )


def told(replay_input: ReplayInput, times: float) -> ReplayInput:
    """The same traffic, and an engine that seems so many times as fast."""
    profile = replay_input.platform.profile
    wrong = replace(
        profile,
        **{
            name: getattr(profile, name) / times
            for name in (
                "per_sequence_seconds",
                "per_kv_token_seconds",
                "per_prefill_token_seconds",
            )
        },
    )
    return replace(replay_input, platform=replace(replay_input.platform, profile=wrong))


@pytest.mark.skipif(not TRACES.is_dir(), reason="the public traces are not there")
@pytest.mark.parametrize(
    ("trace", "times"),
    [
        pytest.param("servegen_m_mid_10m", 1 / 3, id="a third of a calm day's"),
        pytest.param("servegen_mm_image_1d_1m", 3.0, id="three times a jumpy day's"),
    ],
)
def test_after_two_hours_the_capacity_is_within_a_tenth(trace: str, times: float) -> None:
    replay_input = drawn(trace)
    policy = Foresail(told(replay_input, times), FORESAIL.usual)
    served = InExpectation(replay_input, seed=1)
    run = Simulation(replay_input, served)
    while run.now < replay_input.seconds:
        if run.now % policy.period_seconds == 0:
            run.scale_to(policy.decide(served.seen(run.now)))
        run.step()

    last = slice(-1800, None)
    arrivals = replay_input.arrivals[last]
    prompt = float(arrivals @ replay_input.prompt_tokens[last] / arrivals.sum())
    output = float(arrivals @ replay_input.output_tokens[last] / arrivals.sum())
    profile = replay_input.platform.profile
    spare = 1 - profile.fixed_seconds / replay_input.platform.objective.itl_seconds
    true = spare / work_seconds(profile, RequestMix.constant(prompt, output))
    learned = policy.learned
    assert learned is not None
    load = learned.capacity.work.replicas(prompt, output)
    assert load is not None
    assert 1 / load / learned.utilization == pytest.approx(true, rel=0.1)
    assert learned.confidence > 0.9
