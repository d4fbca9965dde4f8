"""Knowing the rate bounds what a forecast can be worth."""

from replay.clairvoyant import clairvoyant
from replay.fleet import FleetSettings
from replay.generated_day import GeneratedDay, draw
from replay.peers.static import Static
from replay.policies.catalogue import KINDS
from replay.policies.port import Policy
from replay.replay_input import Platform, ReplayInput
from replay.simulate import Result, simulate
from replay.start_up import Stage, StartUp
from replay.traffic import FlashCrowd, TrafficSettings
from replay.world import World

CROWDED = GeneratedDay(
    traffic=TrafficSettings(
        peak_requests_per_second=24,
        flash_crowds=(FlashCrowd(at_seconds=1500, ratio=4, hold_seconds=600, fade_seconds=300),),
    ),
    seconds=3600,
    days_before=0,
    platform=Platform(
        fleet=FleetSettings(
            start_up=StartUp(stages=(Stage(name="all", median_seconds=300, log_sigma=0.1),)),
            rows=24,
        ),
        replicas_min=2,
        replicas_max=12,
    ),
)


def run(replay_input: ReplayInput, policy: Policy, *, seed: int) -> Result:
    served = World(replay_input, seed=seed)
    return simulate(replay_input, policy, name="any", knob=0.0, seed=seed, served=served)


def test_knowing_the_rate_is_in_time_for_less_than_the_peak_and_reacting_is_not() -> None:
    drawn = draw(CROWDED, seed=1)
    policies = (
        clairvoyant(CROWDED, drawn, seed=1),
        KINDS["hpa-inflight"].make(drawn, 0.7),
        Static(12),
    )
    knowing, reacting, peak = (run(drawn, policy, seed=1) for policy in policies)
    assert knowing.attainment > 0.97 > reacting.attainment
    assert knowing.gpu_hours < peak.gpu_hours


def test_a_higher_load_is_cheaper_and_later() -> None:
    drawn = draw(CROWDED, seed=2)
    easy, tight = (
        run(drawn, clairvoyant(CROWDED, drawn, seed=2, load_ratio=ratio), seed=2)
        for ratio in (0.6, 1.1)
    )
    assert tight.gpu_hours < easy.gpu_hours
    assert tight.attainment < easy.attainment
