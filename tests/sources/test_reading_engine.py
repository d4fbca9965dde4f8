"""What capacity is learned from: counts of latencies with their sum, and the size of the cache."""

import math

import pytest

from scaler.signals import Absent, LatencyCounts, Observation, Signal
from scaler.sources.catalogue import load
from scaler.sources.reading import ObservationReader
from scaler.sources.series import Sample
from tests.sources.pages import MODEL, histogram, sample, samples_on, series

VLLM = load("vllm")
ITL = "vllm:inter_token_latency_seconds"
CACHE = "vllm:cache_config_info"


def read(samples: list[Sample], *, now: float = 100) -> Observation:
    return ObservationReader(VLLM, model=MODEL).observe(samples, now_seconds=now)


def test_a_histogram_gives_counts_by_bucket_and_their_sum() -> None:
    observation = read(
        [
            *histogram(ITL, {"0.05": (10, 70), "0.1": (10, 100), "+Inf": (10, 110)}, (40, 100)),
            *series(f"{ITL}_sum", {40: 1.0, 100: 6.0}),
        ]
    )

    assert observation.latencies[Signal.ITL] == LatencyCounts(
        bounds_seconds=(0.05, 0.1, math.inf), counts=(60, 30, 10), total_seconds=5.0
    )


def test_the_replicas_counts_add_up() -> None:
    samples = [
        each
        for pod in ("a", "b")
        for each in (
            *histogram(ITL, {"0.05": (0, 10), "+Inf": (0, 20)}, (40, 100), pod=pod),
            *series(f"{ITL}_sum", {40: 0.0, 100: 1.5}, pod=pod),
        )
    ]

    counts = read(samples).latencies[Signal.ITL]

    assert (counts.counts, counts.total_seconds) == ((20, 20), 3.0)
    assert counts.mean_seconds == pytest.approx(0.075)


def test_without_a_sum_at_every_replica_there_is_no_mean() -> None:
    samples = [
        *histogram(ITL, {"+Inf": (0, 20)}, (40, 100), pod="a"),
        *histogram(ITL, {"+Inf": (0, 20)}, (40, 100), pod="b"),
        *series(f"{ITL}_sum", {40: 0.0, 100: 1.0}, pod="a"),
    ]

    assert read(samples).latencies[Signal.ITL].mean_seconds is None


def test_a_histogram_that_was_not_read_is_missing() -> None:
    assert read(series("vllm:num_requests_running", {100: 1})).latencies == {}


def test_the_past_has_the_mean_without_buckets() -> None:
    reader = ObservationReader(VLLM.without_buckets(), model=MODEL)
    samples = [
        *series(f"{ITL}_count", {40: 0, 100: 200}),
        *series(f"{ITL}_sum", {40: 0.0, 100: 8.0}),
    ]

    counts = reader.observe(samples, now_seconds=100).latencies[Signal.ITL]

    assert counts.mean_seconds == pytest.approx(0.04)


def config(pod: str, /, **labels: str) -> Sample:
    return sample(CACHE, 1.0, 100, model_name="", pod=pod, **labels)


def of_model(pod: str, model: str = MODEL) -> Sample:
    return sample("vllm:num_requests_running", 1, 100, pod=pod, model_name=model)


def test_the_size_of_the_cache_is_blocks_times_their_size_mean_over_replicas() -> None:
    observation = read(
        [
            *(of_model(pod) for pod in ("a", "b")),
            config("a", num_gpu_blocks="1000", block_size="16"),
            config("b", num_gpu_blocks="2000", block_size="16"),
        ]
    )

    assert observation.value(Signal.KV_CAPACITY) == 24_000


def test_the_ranks_of_a_replica_add_up_to_its_cache() -> None:
    ranks = [
        config("a", num_gpu_blocks="1000", block_size="16", engine=rank) for rank in ("0", "1")
    ]
    assert read([of_model("a"), *ranks]).value(Signal.KV_CAPACITY) == 32_000


def test_tokens_are_believed_more_than_blocks() -> None:
    one = config("a", num_gpu_blocks="1000", block_size="16", kv_cache_size_tokens="9000")
    assert read([of_model("a"), one]).value(Signal.KV_CAPACITY) == 9000


def test_a_cache_whose_engine_serves_another_model_does_not_count() -> None:
    observation = read(
        [
            of_model("a"),
            of_model("b", "another"),
            config("a", num_gpu_blocks="1000", block_size="16"),
            config("b", num_gpu_blocks="9000", block_size="16"),
        ]
    )

    assert observation.value(Signal.KV_CAPACITY) == 16_000


def test_an_engine_that_does_not_know_its_blocks_yet_has_no_cache_size() -> None:
    reading = read([of_model("a"), config("a", num_gpu_blocks="None", block_size="16")]).readings[
        Signal.KV_CAPACITY
    ]

    assert reading == Absent(why="vllm:cache_config_info has no number in kv_cache_size_tokens")


def test_a_page_as_vllm_writes_it_has_the_cache_size() -> None:
    page = (
        f'vllm:num_requests_running{{engine="0",model_name="{MODEL}"}} 1.0\n'
        f'{CACHE}{{block_size="16",cache_dtype="auto",enable_prefix_caching="True",engine="0",'
        'gpu_memory_utilization="0.9",num_gpu_blocks="661"} 1.0\n'
    )
    samples = samples_on(page, VLLM, at_seconds=100, pod="a")

    assert read(samples).value(Signal.KV_CAPACITY) == 661 * 16
