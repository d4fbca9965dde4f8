"""A generated day served request by request: pages, books and repeatability."""

import math
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from replay.fleet import FleetSettings, Phase
from replay.generated_day import GeneratedDay, draw
from replay.ledger import Outcome
from replay.peers.static import Static
from replay.policies.catalogue import KINDS
from replay.policies.port import Policy
from replay.replay_input import Platform
from replay.simulate import Result, simulate
from replay.start_up import Stage, StartUp
from replay.traffic import TrafficSettings
from replay.world import World
from tests.replay.small import as_shipped

MINUTES = StartUp(stages=(Stage(name="all", median_seconds=60, log_sigma=0.1),))
SMALL = GeneratedDay(
    traffic=TrafficSettings(peak_requests_per_second=24),
    seconds=1200,
    days_before=0,
    platform=Platform(
        fleet=FleetSettings(start_up=MINUTES, grace_seconds=20, rows=12),
        replicas_min=1,
        replicas_max=6,
    ),
)


def world(day: GeneratedDay = SMALL, *, seed: int = 1) -> World:
    return World(draw(day, seed=seed), seed=seed)


def advance(small: World, to_seconds: int) -> None:
    while small.now_seconds < to_seconds:
        small.serve(small.now_seconds)


def run(policy: Policy | str, *, seed: int) -> Result:
    replay_input = draw(SMALL, seed=seed)
    if isinstance(policy, str):
        policy = KINDS[policy].make(replay_input, KINDS[policy].usual)
    small = World(replay_input, seed=seed)
    return simulate(replay_input, policy, name="any", knob=0.0, seed=seed, served=small)


def summed(small: World, name: str) -> float:
    return sum(
        sample.value
        for samples in small.samples().values()
        for sample in samples
        if sample.name == name
    )


def test_pages_read_as_a_real_parser_reads_them() -> None:
    small = world()
    advance(small, 300)
    pages, samples = small.pages(), small.samples()
    assert set(pages) == {f"qwen3-32b-{n}" for n in range(small.replay_input.replicas_at_start)}
    for pod, page in pages.items():
        parsed = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(page)
            for sample in family.samples
        }
        ours = {(s.name, frozenset(s.labels)): s.value for s in samples[pod]}
        assert parsed == ours


@pytest.mark.parametrize(
    "line",
    [
        # Beginnings of lines as vLLM 0.33 was recorded to write them.
        'vllm:num_requests_running{engine="0",model_name="qwen3-32b"} ',
        'vllm:num_requests_waiting{engine="0",model_name="qwen3-32b"} ',
        'vllm:num_requests_waiting_by_reason{engine="0",model_name="qwen3-32b",reason="capacity"} ',
        'vllm:num_requests_waiting_by_reason{engine="0",model_name="qwen3-32b",reason="deferred"} ',
        'vllm:engine_sleep_state{engine="0",model_name="qwen3-32b",sleep_state="awake"} 1.0',
        'vllm:kv_cache_usage_perc{engine="0",model_name="qwen3-32b"} 0.',
        'vllm:prompt_tokens_total{engine="0",model_name="qwen3-32b"} ',
        'vllm:prompt_tokens_by_source_total{engine="0",model_name="qwen3-32b",source="local_c',
        'vllm:generation_tokens_total{engine="0",model_name="qwen3-32b"} ',
        'vllm:request_success_total{engine="0",finished_reason="stop",model_name="qwen3-32b"} ',
        'vllm:time_to_first_token_seconds_bucket{engine="0",le="0.001",model_name="qwen3-32b"} 0.0',
        'vllm:time_to_first_token_seconds_bucket{engine="0",le="+Inf",model_name="qwen3-32b"} ',
        'vllm:time_to_first_token_seconds_sum{engine="0",model_name="qwen3-32b"} ',
        'vllm:inter_token_latency_seconds_bucket{engine="0",le="0.025",model_name="qwen3-32b"} ',
        'vllm:inter_token_latency_seconds_count{engine="0",model_name="qwen3-32b"} ',
        "# TYPE vllm:time_to_first_token_seconds histogram",
        "# TYPE vllm:prompt_tokens_total counter",
    ],
)
def test_a_page_has_the_lines_of_a_recorded_vllm(line: str) -> None:
    small = world()
    advance(small, 60)
    page = small.pages()["qwen3-32b-0"]
    assert any(written.startswith(line) for written in page.splitlines())


def test_the_queue_shows_on_the_ready_replicas_and_adds_up() -> None:
    small = world()
    small.scale_to(1, small.now_seconds)
    advance(small, 200)
    small.scale_to(3, small.now_seconds)
    advance(small, 210)
    waiting = small.view().waiting
    assert waiting > 5
    assert summed(small, "vllm:num_requests_waiting") == waiting
    seen = small.seen(small.now_seconds)
    assert seen.waiting == waiting
    assert seen.running == summed(small, "vllm:num_requests_running")


def test_starting_replicas_have_no_page_and_draining_ones_still_do() -> None:
    small = world()
    advance(small, 100)
    ready = small.fleet.count(Phase.READY)
    small.scale_to(ready + 1, small.now_seconds)
    assert len(small.pages()) == ready
    small.scale_to(ready - 1, small.now_seconds)
    assert small.fleet.count(Phase.DRAINING) == 1
    assert len(small.pages()) == ready


def test_counters_on_pages_hold_what_the_ledger_holds() -> None:
    small = world()
    advance(small, 600)
    finished = (small.engine.ledger.outcome == Outcome.FINISHED).sum()
    assert summed(small, "vllm:request_success_total") == finished
    admitted = np.isfinite(small.engine.ledger.ttft_seconds)
    prompts = small.requests.prompt_tokens[admitted].sum()
    assert summed(small, "vllm:prompt_tokens_total") == pytest.approx(prompts)


def test_cached_prompt_tokens_are_told_apart() -> None:
    profile = replace(SMALL.platform.profile, prefix_hit_ratio=0.25)
    small = world(replace(SMALL, platform=replace(SMALL.platform, profile=profile)))
    advance(small, 120)
    by_source = {
        dict(sample.labels)["source"]: sample.value
        for sample in small.samples()["qwen3-32b-0"]
        if sample.name == "vllm:prompt_tokens_by_source_total"
    }
    assert by_source["local_cache_hit"] == pytest.approx(by_source["local_compute"] / 3)


def test_demand_is_unknown_until_time_has_passed() -> None:
    view = world().view()
    assert math.isnan(view.demand_requests_per_second)
    assert math.isnan(view.demand_prompt_tokens_per_second)


def test_demand_on_the_screen_is_what_arrives_not_what_is_served() -> None:
    small = world()
    small.scale_to(0, small.now_seconds)
    advance(small, 120)
    view = small.view()
    assert (view.ready, view.running) == (0, 0)
    assert view.demand_requests_per_second > 3
    assert view.demand_prompt_tokens_per_second > 3000
    assert view.ttft_p95_seconds > 50


@settings(max_examples=10, deadline=None)
@given(wishes=st.lists(st.integers(0, 6), min_size=1, max_size=20), seed=st.integers(0, 99))
def test_every_request_and_every_gpu_second_is_accounted_for(wishes: list[int], seed: int) -> None:
    small = world(seed=seed)
    gpu_seconds = 0
    for step, wish in enumerate(wishes):
        small.scale_to(wish, small.now_seconds)
        for second in range(step * 30, step * 30 + 30):
            gpu_seconds += len(small.fleet.replicas)
            small.serve(second)
    ended = int((small.engine.ledger.outcome != Outcome.OPEN).sum())
    view = small.view()
    assert small.engine.arrived == ended + view.running + view.waiting
    judgement = small.judgement()
    assert judgement.requests == small.tally().requests == ended
    assert judgement.in_time == small.tally().in_time
    killed = int((small.engine.ledger.outcome == Outcome.KILLED).sum())
    assert view.killed == killed
    assert judgement.errors == killed + view.timed_out
    assert small.fleet.gpu_seconds(small.now_seconds) == gpu_seconds


def test_a_rule_run_twice_gives_the_same_result() -> None:
    results = [asdict(run("hpa-inflight", seed=3)) for _ in range(2)]
    assert results[0] == results[1]
    assert asdict(run("hpa-inflight", seed=4)) != results[0]


def test_more_static_replicas_are_never_later() -> None:
    results = [run(Static(n), seed=2) for n in (1, 2, 3, 6)]
    in_time = [result.attainment for result in results]
    assert in_time == sorted(in_time)
    assert in_time[-1] > 0.99
    hours = [result.gpu_hours for result in results]
    assert hours == sorted(hours)


def test_time_outs_are_misses() -> None:
    starved = run(Static(1), seed=2)
    assert starved.errors > 0
    assert starved.attainment <= 1 - starved.errors / starved.requests


def test_what_is_seen_is_a_rate_of_the_last_minute() -> None:
    small = world()
    advance(small, 300)
    seen = small.seen(300)
    arrivals = small.requests.arrival_seconds
    last = (arrivals >= 240) & (arrivals < 300)
    assert seen.arrived_per_second == last.sum() / 60
    assert seen.prompt_tokens == pytest.approx(small.requests.prompt_tokens[last].mean())
    admitted = np.isfinite(small.engine.ledger.ttft_seconds)
    prompts = small.requests.prompt_tokens[admitted].sum()
    advance(small, 360)
    admitted = np.isfinite(small.engine.ledger.ttft_seconds)
    gained = small.requests.prompt_tokens[admitted].sum() - prompts
    assert small.seen(360).prompt_tokens_per_second == pytest.approx(gained / 60)


@pytest.mark.parametrize("name", ["keda-waiting", "hpa-inflight"])
def test_rules_stay_within_the_bounds(name: str) -> None:
    replay_input = draw(SMALL, seed=1)
    result = as_shipped(name, replay_input, served=World(replay_input, seed=1))
    assert max(mark.replicas for mark in result.marks) <= SMALL.platform.replicas_max
    assert result.gpu_hours >= SMALL.platform.replicas_min * SMALL.seconds / 3600


@pytest.mark.parametrize(
    ("low", "high"), [pytest.param(3, 2, id="crossed"), pytest.param(-1, 2, id="negative")]
)
def test_a_platform_says_what_is_wrong_with_its_bounds(low: int, high: int) -> None:
    with pytest.raises(ValueError, match="replicas_min"):
        replace(SMALL.platform, replicas_min=low, replicas_max=high)


def test_a_platform_needs_places_for_its_replicas() -> None:
    with pytest.raises(ValueError, match=r"fleet.rows 12 must hold replicas_max 13"):
        replace(SMALL.platform, replicas_max=13)
