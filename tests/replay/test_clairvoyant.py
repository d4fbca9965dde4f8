"""Knowing the rate bounds what a forecast can be worth."""

from replay.clairvoyant import clairvoyant
from replay.fleet import FleetSettings
from replay.generated_day import GeneratedDay, draw
from replay.rules import HPA_INFLIGHT, fixed, run
from replay.start_up import Stage, StartUp
from replay.traffic import FlashCrowd, TrafficSettings

CROWDED = GeneratedDay(
    traffic=TrafficSettings(
        peak_requests_per_second=24,
        flash_crowds=(FlashCrowd(at_seconds=1500, ratio=4, hold_seconds=600, fade_seconds=300),),
    ),
    seconds=3600,
    days_before=0,
    fleet=FleetSettings(
        start_up=StartUp(stages=(Stage(name="all", median_seconds=300, log_sigma=0.1),)), rows=24
    ),
    replicas_max=12,
)


def test_knowing_the_rate_is_in_time_for_less_than_the_peak_and_reacting_is_not() -> None:
    traffic = draw(CROWDED, seed=1)
    rules = (clairvoyant(CROWDED, traffic), HPA_INFLIGHT, fixed(12))
    knowing, reacting, peak = (run(CROWDED, rule, seed=1, traffic=traffic) for rule in rules)
    assert knowing.ttft_in_time_ratio > 0.99 > reacting.ttft_in_time_ratio
    assert knowing.in_time_ratio > reacting.in_time_ratio
    assert knowing.gpu_hours < peak.gpu_hours


def test_a_higher_load_is_cheaper_and_later() -> None:
    traffic = draw(CROWDED, seed=2)
    easy, tight = (
        run(CROWDED, clairvoyant(CROWDED, traffic, load_ratio=ratio), seed=2, traffic=traffic)
        for ratio in (0.6, 1.1)
    )
    assert tight.gpu_hours < easy.gpu_hours
    assert tight.in_time_ratio < easy.in_time_ratio
