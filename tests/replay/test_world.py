"""A scenario as a whole: pages, books and repeatability."""

from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from replay.fleet import FleetSettings, Phase
from replay.generated_day import DEFAULT, GeneratedDay, draw, replicas_at_start
from replay.keda import Value
from replay.ledger import Outcome
from replay.rules import HPA_INFLIGHT, KEDA_WAITING, Rule, fixed, run, waiting_requests
from replay.start_up import Stage, StartUp
from replay.traffic import TrafficSettings
from replay.world import Scrape, World

MINUTES = StartUp(stages=(Stage(name="all", median_seconds=60, log_sigma=0.1),))
SMALL = GeneratedDay(
    traffic=TrafficSettings(peak_requests_per_second=24),
    seconds=1200,
    days_before=0,
    fleet=FleetSettings(start_up=MINUTES, grace_seconds=20, rows=12),
    replicas_min=1,
    replicas_max=6,
)


def world(scenario: GeneratedDay = SMALL, *, seed: int = 1) -> World:
    return World(scenario, draw(scenario, seed=seed), seed=seed)


def summed(small: World, name: str) -> float:
    return sum(
        sample.value
        for samples in small.samples().values()
        for sample in samples
        if sample.name == name
    )


def test_pages_read_as_a_real_parser_reads_them() -> None:
    small = world()
    small.advance(300)
    pages, samples = small.pages(), small.samples()
    assert set(pages) == {f"qwen3-32b-{n}" for n in range(replicas_at_start(SMALL, small.traffic))}
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
    small.advance(60)
    page = small.pages()["qwen3-32b-0"]
    assert any(written.startswith(line) for written in page.splitlines())


def test_the_queue_shows_on_the_ready_replicas_and_adds_up() -> None:
    small = world()
    small.scale_to(1)
    small.advance(200)
    small.scale_to(3)
    small.advance(210)
    waiting = small.view().waiting
    assert waiting > 5
    assert summed(small, "vllm:num_requests_waiting") == waiting
    assert small.scrape().waiting == waiting
    assert small.scrape().running == summed(small, "vllm:num_requests_running")


def test_starting_replicas_have_no_page_and_draining_ones_still_do() -> None:
    small = world()
    small.advance(100)
    ready = small.fleet.count(Phase.READY)
    small.scale_to(ready + 1)
    assert len(small.pages()) == ready
    small.scale_to(ready - 1)
    assert small.fleet.count(Phase.DRAINING) == 1
    assert len(small.pages()) == ready


def test_counters_on_pages_hold_what_the_ledger_holds() -> None:
    small = world()
    small.advance(600)
    finished = (small.engine.ledger.outcome == Outcome.FINISHED).sum()
    assert summed(small, "vllm:request_success_total") == finished
    admitted = np.isfinite(small.engine.ledger.ttft_seconds)
    prompts = small.requests.prompt_tokens[admitted].sum()
    assert summed(small, "vllm:prompt_tokens_total") == pytest.approx(prompts)


def test_cached_prompt_tokens_are_told_apart() -> None:
    cached = replace(SMALL, profile=replace(SMALL.profile, prefix_hit_ratio=0.25))
    small = world(cached)
    small.advance(120)
    by_source = {
        dict(sample.labels)["source"]: sample.value
        for sample in small.samples()["qwen3-32b-0"]
        if sample.name == "vllm:prompt_tokens_by_source_total"
    }
    assert by_source["local_cache_hit"] == pytest.approx(by_source["local_compute"] / 3)


def test_demand_on_the_screen_is_what_arrives_not_what_is_served() -> None:
    small = world()
    small.scale_to(0)
    small.advance(120)
    view = small.view()
    assert (view.ready, view.running) == (0, 0)
    assert view.demand_requests_per_second > 3
    assert view.demand_prompt_tokens_per_second > 3000
    assert view.ttft_p95_seconds > 50


def test_a_world_stands_still_until_it_is_advanced() -> None:
    small = world()
    small.advance(100.9)
    assert small.now_seconds == 100
    before = small.view()
    small.advance(100)
    assert small.view() == before


@settings(max_examples=10, deadline=None)
@given(wishes=st.lists(st.integers(0, 6), min_size=1, max_size=20), seed=st.integers(0, 99))
def test_every_request_and_every_gpu_second_is_accounted_for(wishes: list[int], seed: int) -> None:
    small = world(seed=seed)
    gpu_seconds = 0
    for step, wish in enumerate(wishes):
        small.scale_to(wish)
        for second in range(step * 30, step * 30 + 30):
            gpu_seconds += len(small.fleet.replicas)
            small.advance(second + 1)
    ended = int((small.engine.ledger.outcome != Outcome.OPEN).sum())
    view = small.view()
    assert small.engine.arrived == ended + view.running + view.waiting
    score = small.score("any")
    assert score.requests == ended
    killed = int((small.engine.ledger.outcome == Outcome.KILLED).sum())
    assert (score.killed, view.killed) == (killed, killed)
    assert small.fleet.gpu_seconds(small.now_seconds) == gpu_seconds


def test_a_rule_run_twice_gives_the_same_score() -> None:
    scores = [asdict(run(SMALL, HPA_INFLIGHT, seed=3)) for _ in range(2)]
    assert scores[0] == scores[1]
    assert asdict(run(SMALL, HPA_INFLIGHT, seed=4)) != scores[0]


def test_more_static_replicas_are_never_later() -> None:
    traffic = draw(SMALL, seed=2)
    scores = [run(SMALL, fixed(n), seed=2, traffic=traffic) for n in (1, 2, 3, 6)]
    in_time = [score.in_time_ratio for score in scores]
    assert in_time == sorted(in_time)
    assert in_time[-1] > 0.99
    hours = [score.gpu_hours for score in scores]
    assert hours == sorted(hours)


def test_slow_answers_time_outs_and_kills_are_misses() -> None:
    starved = run(SMALL, fixed(1), seed=2)
    assert starved.timed_out > 0
    assert starved.in_time_ratio <= starved.ttft_in_time_ratio
    assert starved.ttft_in_time_ratio <= 1 - starved.timed_out / starved.requests


def test_the_waiting_rule_sees_nothing_while_nobody_waits() -> None:
    calm = Scrape(at_seconds=0, pods=4, running=200, waiting=0, kv_use_ratio=0.5)
    answer = waiting_requests(calm, DEFAULT.profile)
    assert answer == Value(total=0, target=5, is_active=False)


def test_the_in_flight_rule_counts_seventy_per_cent_of_the_slots() -> None:
    busy = Scrape(at_seconds=0, pods=4, running=200, waiting=10, kv_use_ratio=0.5)
    answer = HPA_INFLIGHT.answer(busy, DEFAULT.profile)
    assert answer == Value(total=210, target=pytest.approx(44.8), is_active=True)


@pytest.mark.parametrize("rule", [KEDA_WAITING, HPA_INFLIGHT], ids=lambda rule: rule.name)
def test_rules_stay_within_the_scenario(rule: Rule) -> None:
    score = run(SMALL, rule, seed=1)
    assert score.replicas_most <= SMALL.replicas_max
    assert score.gpu_hours >= SMALL.replicas_min * SMALL.seconds / 3600


@pytest.mark.parametrize(
    ("low", "high"), [pytest.param(3, 2, id="crossed"), pytest.param(-1, 2, id="negative")]
)
def test_a_scenario_says_what_is_wrong_with_its_bounds(low: int, high: int) -> None:
    with pytest.raises(ValueError, match="replicas_min"):
        replace(SMALL, replicas_min=low, replicas_max=high)


def test_a_scenario_needs_places_for_its_replicas() -> None:
    with pytest.raises(ValueError, match=r"fleet.rows 12 must hold replicas_max 13"):
        replace(SMALL, replicas_max=13)
