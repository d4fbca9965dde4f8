"""What vLLM's series mean, whatever happened to them on the way."""

import math
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.series_names import spellings
from scaler.limits import Limit
from scaler.signals import Absent, Observation, Signal, Stale, Value
from scaler.sources.catalogue import load
from scaler.sources.reading import Limits, ObservationReader
from scaler.sources.series import Sample
from tests.sources.pages import MODEL, histogram, sample, samples_on, series

VLLM = load("vllm")
RECORDED = Path(__file__).parent.parent / "fixtures" / "vllm_0.33.0.prom"
CAPACITY = "vllm:num_requests_waiting_by_reason"
TTFT = "vllm:time_to_first_token_seconds"
TOKENS = "vllm:generation_tokens_total"


def read(samples: list[Sample], *, now: float, model: str | None = MODEL) -> Observation:
    return ObservationReader(VLLM, model=model).observe(samples, now_seconds=now)


def test_a_recorded_page_is_read_by_its_meaning() -> None:
    page = RECORDED.read_text()
    reader = ObservationReader(VLLM, model="llama-70b")
    before = samples_on(page, VLLM, at_seconds=100, pod="a")
    reader.observe(before, now_seconds=100)
    after = page.replace(
        'generation_tokens_total{engine="0",model_name="llama-70b"} 17.0',
        'generation_tokens_total{engine="0",model_name="llama-70b"} 617.0',
    )
    assert after != page
    samples = samples_on(after, VLLM, at_seconds=130, pod="a")

    observation = reader.observe(samples, now_seconds=130)

    values = {signal: observation.value(signal) for signal in Signal}
    assert values == {
        Signal.WAITING: 5,
        Signal.WAITING_DEFERRED: 0,
        Signal.RUNNING: 3,
        Signal.KV_USE: 0.42,
        Signal.PROMPT_TOKENS: 0,
        Signal.GENERATED_TOKENS: 20,  # 600 tokens in 30 s
        Signal.REQUESTS: 0,
        Signal.REJECTED: 0,
        Signal.TTFT: None,
        Signal.ITL: None,
        Signal.REPLICAS: 1,
        Signal.KV_CAPACITY: None,  # the recorded page lacks it
    }
    assert observation.readings[Signal.TTFT] == Absent(
        why="no request finished in the reading window"
    )
    assert observation.remarks == ()


@pytest.mark.parametrize("spelling", range(4), ids=["colon", "underscore", "ray", "ray-colon"])
def test_every_spelling_says_the_same(spelling: int) -> None:
    samples = [
        *series(spellings(CAPACITY)[spelling], {100: 4}, reason="capacity"),
        *series(spellings("vllm:kv_cache_usage_perc")[spelling], {100: 0.5}),
        *series(spellings(TOKENS)[spelling], {40: 0, 100: 300}),
    ]

    observation = read(samples, now=100)

    assert observation.value(Signal.WAITING) == 4
    assert observation.value(Signal.KV_USE) == 0.5
    assert observation.value(Signal.GENERATED_TOKENS) == 5


def test_rays_counters_of_before_the_suffix_are_read() -> None:
    samples = series("ray_vllm_generation_tokens", {40: 0, 100: 300})
    assert read(samples, now=100).value(Signal.GENERATED_TOKENS) == 5


def test_old_names_are_read_and_remarked() -> None:
    samples = [
        *series("vllm:gpu_cache_usage_perc", {100: 0.7}),
        *series("vllm:num_requests_waiting", {100: 3}),
        *series("vllm:prompt_tokens_total", {40: 0, 100: 600}),
    ]

    observation = read(samples, now=100)

    assert observation.value(Signal.KV_USE) == 0.7
    assert observation.value(Signal.WAITING) == 3
    assert observation.value(Signal.PROMPT_TOKENS) == 10
    assert observation.remarks == ("read by its old name: vllm:gpu_cache_usage_perc",)


def test_a_rename_in_mid_run_leaves_no_hole() -> None:
    reader = ObservationReader(VLLM, model=MODEL)
    names = {**dict.fromkeys(range(0, 60, 15), "vllm:gpu_cache_usage_perc")}
    names |= dict.fromkeys(range(60, 150, 15), "vllm_kv_cache_usage_perc")
    tokens = {at: TOKENS if at < 60 else spellings(TOKENS)[1] for at in names}
    values = []
    for at, name in names.items():
        samples = [sample(name, 0.5, at), sample(tokens[at], 4 * at, at)]
        observation = reader.observe(samples, now_seconds=at)
        values.append(
            (observation.value(Signal.KV_USE), observation.value(Signal.GENERATED_TOKENS))
        )
    assert values[0] == (0.5, None)
    assert values[1:] == [(0.5, 4)] * 9


def test_a_queue_that_replicas_cannot_cure_is_no_waiting() -> None:
    samples = [
        *series(CAPACITY, {100: 0}, reason="capacity"),
        *series(CAPACITY, {100: 9}, reason="deferred"),
        *series("vllm:num_requests_waiting", {100: 9}),
    ]

    observation = read(samples, now=100)

    assert observation.value(Signal.WAITING) == 0
    assert observation.value(Signal.WAITING_DEFERRED) == 9


def test_tokens_from_a_cache_cost_nothing() -> None:
    name = "vllm:prompt_tokens_by_source_total"
    samples = [
        *series(name, {40: 0, 100: 600}, source="local_compute"),
        *series(name, {40: 0, 100: 5400}, source="local_cache_hit"),
        *series("vllm:prompt_tokens_total", {40: 0, 100: 6000}),
    ]
    assert read(samples, now=100).value(Signal.PROMPT_TOKENS) == 10


@pytest.mark.parametrize(
    ("points", "tokens_per_second"),
    [
        pytest.param({70: 1000, 100: 1300}, 10, id="steady"),
        pytest.param({40: 0, 55: 0, 70: 0, 85: 0, 100: 0}, 0, id="a-true-zero"),
        pytest.param({70: 900, 85: 1050, 100: 150}, 10, id="restarted: 150 and 150 in 30 s"),
        pytest.param({100: 1300, 70: 1000, 85: 1150}, 10, id="out of order"),
        pytest.param({10: 0, 40: 5000, 70: 5300, 100: 5600}, 10, id="older than the window"),
        pytest.param({41: 0, 100: 590}, 10, id="two samples, a minute apart"),
        pytest.param({70: 1000, 85: math.nan, 100: 1300}, 10, id="a NaN between"),
        pytest.param({70: 1000, 100: 1300, 115: math.inf}, 10, id="infinite at the end"),
    ],
)
def test_a_counter_is_its_rate_over_the_window(
    points: dict[float, float], tokens_per_second: float
) -> None:
    observation = read(series(TOKENS, points), now=100)
    assert observation.value(Signal.GENERATED_TOKENS) == pytest.approx(tokens_per_second)


@given(steps=st.lists(st.tuples(st.integers(0, 10_000), st.booleans()), min_size=2, max_size=12))
def test_no_token_is_lost_or_made_up_at_a_restart(steps: list[tuple[int, bool]]) -> None:
    # Each step: tokens since the sample before, and whether the engine was restarted in between.
    points: dict[float, float] = {}
    count = 0
    for second, (tokens, restarted) in enumerate(steps):
        # A restart that catches up at once cannot be told from no restart, by anybody.
        count = tokens if restarted and tokens < count else count + tokens
        points[second] = count
    seconds = len(steps) - 1
    observation = read(series(TOKENS, points), now=seconds)
    counted = sum(tokens for tokens, _ in steps[1:])
    assert observation.value(Signal.GENERATED_TOKENS) == pytest.approx(counted / seconds)


def test_one_sample_of_a_counter_is_no_rate() -> None:
    reading = read(series(TOKENS, {100: 123456}), now=100).readings[Signal.GENERATED_TOKENS]
    assert reading == Absent(why=f"one sample of {TOKENS} yet, a rate takes two")


def test_a_sample_brought_twice_counts_once() -> None:
    reader = ObservationReader(VLLM, model=MODEL)
    answer = series(TOKENS, {70: 0, 85: 150, 100: 300})
    reader.observe(answer, now_seconds=100)
    reader.observe(answer, now_seconds=101)
    observation = reader.observe([*answer, *answer], now_seconds=102)
    assert observation.value(Signal.GENERATED_TOKENS) == 10


def test_a_new_pods_past_is_not_its_rate() -> None:
    samples = [
        *series(TOKENS, {70: 0, 85: 150, 100: 300}, pod="a"),
        *series(TOKENS, {100: 1_000_000}, pod="b"),
    ]
    assert read(samples, now=100).value(Signal.GENERATED_TOKENS) == 10


def test_created_times_are_no_tokens() -> None:
    samples = [
        *series(TOKENS, {70: 0, 100: 300}),
        *series("vllm:generation_tokens_created", {70: 1.7e9, 100: 1.7e9}),
    ]
    assert read(samples, now=100).value(Signal.GENERATED_TOKENS) == 10


def test_what_is_not_a_number_is_remarked_and_never_zero(
    limits_exceeded: Callable[[], set[Limit]],
) -> None:
    observation = read(series(CAPACITY, {85: 6, 100: math.nan}, reason="capacity"), now=100)
    assert observation.readings[Signal.WAITING] == Value(value=6, at_seconds=85)
    assert observation.remarks == ("samples ignored, not a number: 1",)

    lost = read(series(CAPACITY, {30: 6, 100: math.nan}, reason="capacity"), now=100)
    assert lost.readings[Signal.WAITING] == Stale(at_seconds=30)
    assert Limit.SAMPLES in limits_exceeded()


def test_a_sample_from_far_ahead_is_ignored(limits_exceeded: Callable[[], set[Limit]]) -> None:
    observation = read(series(CAPACITY, {95: 6, 5000: 0}, reason="capacity"), now=100)
    assert observation.readings[Signal.WAITING] == Value(value=6, at_seconds=95)
    assert observation.remarks == ("samples ignored, from the future: 1",)
    assert Limit.SAMPLES in limits_exceeded()


ONE_SERIES_TWICE = {
    "two spellings": ({}, {}, "vllm_num_requests_running"),
    "two scrape jobs": ({"job": "a"}, {"job": "b"}, None),
    "an HA pair of servers": ({"prometheus_replica": "0"}, {"prometheus_replica": "1"}, None),
    "one job without pod labels": (
        {"instance": "10.0.0.1:8000"},
        {"instance": "10.0.0.1:8000", "pod": ""},
        None,
    ),
    "federated": ({}, {"pod": "prometheus-0", "exported_pod": "a"}, None),
}


@pytest.mark.parametrize(
    ("first", "second", "name"), ONE_SERIES_TWICE.values(), ids=ONE_SERIES_TWICE
)
def test_an_exporter_seen_twice_counts_once(
    first: dict[str, str], second: dict[str, str], name: str | None
) -> None:
    running = "vllm:num_requests_running"
    samples = [
        *series(running, {85: 7, 98: 8}, **first),
        *series(name or running, {85: 7, 100: 9}, **second),
    ]

    observation = read(samples, now=100)

    assert observation.readings[Signal.RUNNING] == Value(value=9, at_seconds=100)
    assert observation.value(Signal.REPLICAS) == 1
    (remark,) = observation.remarks
    assert remark.startswith(f"in several copies, counted once: {running} (")


def test_a_histogram_seen_twice_counts_once() -> None:
    # Prometheus 3 writes `1.0` where 2 kept the exporter's `1`.
    buckets = {"1": (0, 90), "2": (0, 100), "+Inf": (0, 100)}
    samples = [
        *histogram(TTFT, buckets, (70, 100), job="x"),
        *histogram(TTFT, {"1.0": (0, 90), "2.0": (0, 100), "+Inf": (0, 100)}, (70, 100), job="y"),
    ]
    assert read(samples, now=100).value(Signal.TTFT) == pytest.approx(1.5)


def test_a_bound_that_is_no_number_makes_no_second_series_of_a_copy() -> None:
    samples = [
        *series(TOKENS, {70: 1000, 100: 1300}, le="nan", job="x"),
        *series(TOKENS, {70: 1000, 100: 1300}, le="nan", job="y"),
    ]
    assert read(samples, now=100).value(Signal.GENERATED_TOKENS) == pytest.approx(10)


def test_copies_do_not_make_a_counter_run_backwards() -> None:
    # The second server's clock is 5 ms behind: merged, 1300 would be followed by 1299 and a reset.
    samples = [
        *series(TOKENS, {70: 1000, 100: 1300}, prometheus_replica="0"),
        *series(TOKENS, {70.005: 999, 100.005: 1299}, prometheus_replica="1"),
    ]
    assert read(samples, now=101).value(Signal.GENERATED_TOKENS) == pytest.approx(10)


DISTINCT = {
    "two pods": ({"pod": "a"}, {"pod": "b"}, 2),
    "two data-parallel ranks": ({"engine": "0"}, {"engine": "1"}, 1),
    "two ranks on a port each": (
        {"engine": "0", "instance": "x:8000"},
        {"engine": "1", "instance": "x:8001"},
        1,
    ),
    "one name in two namespaces": ({"namespace": "x"}, {"namespace": "y"}, 2),
    "two addresses": ({"pod": "", "instance": "x:1"}, {"pod": "", "instance": "y:1"}, 2),
    "two of Ray's workers": ({"WorkerId": "1"}, {"WorkerId": "2"}, 2),
}


@pytest.mark.parametrize(("first", "second", "replicas"), DISTINCT.values(), ids=DISTINCT)
def test_different_engines_are_added(
    first: dict[str, str], second: dict[str, str], replicas: float
) -> None:
    samples = [
        *series("vllm:num_requests_running", {100: 7}, **first),
        *series("vllm:num_requests_running", {100: 9}, **second),
        *series("vllm:kv_cache_usage_perc", {100: 0.2}, **first),
        *series("vllm:kv_cache_usage_perc", {100: 0.4}, **second),
    ]

    observation = read(samples, now=100)

    assert observation.value(Signal.RUNNING) == 16
    assert observation.value(Signal.KV_USE) == pytest.approx(0.3)
    assert observation.value(Signal.REPLICAS) == replicas
    assert observation.remarks == ()


def test_two_engine_versions_side_by_side_are_each_read_by_their_own_names() -> None:
    samples = [
        *series("vllm:num_requests_waiting", {100: 3}, pod="old"),
        *series(CAPACITY, {100: 4}, pod="new", reason="capacity"),
        *series("vllm:num_requests_waiting", {100: 99}, pod="new"),
    ]
    assert read(samples, now=100).value(Signal.WAITING) == 7


def test_a_gone_pods_last_words_are_dropped() -> None:
    samples = [
        *series("vllm:num_requests_running", {30: 50}, pod="gone"),
        *series("vllm:num_requests_running", {30: 7, 100: 8}, pod="here"),
    ]

    observation = read(samples, now=100)

    assert observation.value(Signal.RUNNING) == 8
    assert observation.value(Signal.REPLICAS) == 1
    assert observation.remarks == ("no longer reporting, left out: gone",)


def test_when_all_fall_silent_the_metrics_stopped_and_not_the_demand() -> None:
    reader = ObservationReader(VLLM, model=MODEL)
    pods = [series("vllm:num_requests_running", {30: 8}, pod=pod) for pod in "ab"]
    reader.observe([*pods[0], *pods[1]], now_seconds=30)

    assert reader.observe([], now_seconds=90).value(Signal.RUNNING) == 16
    later = reader.observe([], now_seconds=91)
    assert later.readings[Signal.RUNNING] == Stale(at_seconds=30)
    assert later.readings[Signal.REPLICAS] == Stale(at_seconds=30)
    much_later = reader.observe([], now_seconds=151)
    assert much_later.readings[Signal.RUNNING] == Absent(why="no series vllm:num_requests_running")


def test_a_restarted_pod_under_a_new_name_does_not_count_twice() -> None:
    samples = [
        *series(TOKENS, {0: 0, 30: 300}, pod="before"),
        *series(TOKENS, {70: 0, 100: 300}, pod="after"),
    ]
    assert read(samples, now=100).value(Signal.GENERATED_TOKENS) == 10


def test_a_sleeping_engine_is_neither_capacity_nor_idle() -> None:
    samples = [
        *series("vllm:num_requests_running", {100: 0}, pod="asleep"),
        *series("vllm:kv_cache_usage_perc", {100: 0}, pod="asleep"),
        *series("vllm:engine_sleep_state", {100: 0}, pod="asleep", sleep_state="awake"),
        *series("vllm:num_requests_running", {100: 6}, pod="awake"),
        *series("vllm:kv_cache_usage_perc", {100: 0.8}, pod="awake"),
        *series("vllm:engine_sleep_state", {100: 1}, pod="awake", sleep_state="awake"),
    ]

    observation = read(samples, now=100)

    assert observation.value(Signal.REPLICAS) == 1
    assert observation.value(Signal.KV_USE) == 0.8
    assert observation.remarks == ("asleep, no capacity: asleep",)

    all_asleep = read(samples[:3], now=100)
    assert all_asleep.value(Signal.REPLICAS) == 0
    assert all_asleep.readings[Signal.KV_USE] == Absent(why="every replica is asleep")


def test_rejections_are_zero_where_the_engine_knows_none() -> None:
    running = series("vllm:num_requests_running", {100: 6})
    assert read(running, now=100).value(Signal.REJECTED) == 0
    assert isinstance(read([], now=100).readings[Signal.REJECTED], Absent)


def test_a_missing_series_is_absent_whatever_else_is_fresh() -> None:
    observation = read(series("vllm:num_requests_running", {100: 6}), now=100)
    for signal in (Signal.WAITING, Signal.PROMPT_TOKENS, Signal.GENERATED_TOKENS, Signal.REQUESTS):
        assert isinstance(observation.readings[signal], Absent)


def test_another_models_series_are_not_ours() -> None:
    samples = [
        *series("vllm:num_requests_running", {100: 6}, model_name="other"),
        *series(CAPACITY, {100: 6}, model_name="other", reason="capacity"),
    ]
    assert read(samples, now=100).readings[Signal.RUNNING] == Absent(
        why="reported for other, not for 'llama-70b'"
    )
    assert read(samples, now=100, model=None).value(Signal.RUNNING) == 6


@pytest.mark.parametrize(
    ("counts", "seconds"),
    [
        # 20 in the window; the 19th is 9/10 through the second bucket: 0.1 + 0.9 * 0.4.
        pytest.param({"0.1": (0, 10), "0.5": (0, 20), "+Inf": (0, 20)}, 0.46, id="interpolated"),
        pytest.param({"0.1": (9, 29), "0.5": (9, 29), "+Inf": (9, 29)}, 0.095, id="lowest bucket"),
        pytest.param({"0.1": (0, 5), "0.5": (0, 5), "+Inf": (0, 20)}, 0.5, id="beyond the last"),
        pytest.param({"0.1": (50, 0), "0.5": (90, 20), "+Inf": (90, 20)}, 0.48, id="restarted"),
    ],
)
def test_latency_is_the_95th_percentile_of_the_window(
    counts: dict[str, tuple[float, float]], seconds: float
) -> None:
    observation = read(histogram(TTFT, counts, (70, 100)), now=100)
    assert observation.value(Signal.TTFT) == pytest.approx(seconds)


def test_latency_is_of_all_replicas_together() -> None:
    fast = histogram(TTFT, {"0.1": (0, 90), "1": (0, 90), "+Inf": (0, 90)}, (70, 100), pod="a")
    # `1` and `1.0` are one bound. The 95th of 100 is the fifth of the slow pod's ten.
    slow = histogram(TTFT, {"0.1": (0, 0), "1.0": (0, 10), "+Inf": (0, 10)}, (70, 100), pod="b")
    observation = read([*fast, *slow], now=100)
    assert observation.value(Signal.TTFT) == pytest.approx(0.1 + 0.9 * 0.5)


@pytest.mark.parametrize(
    ("counts", "why"),
    [
        pytest.param({"0.1": (7, 7), "+Inf": (9, 9)}, "no request finished", id="none finished"),
        pytest.param({"0.1": (0, 7)}, "no request finished", id="no last bucket"),
        pytest.param({"junk": (0, 7)}, "one sample", id="no bound"),
    ],
)
def test_without_an_observation_there_is_no_latency(
    counts: dict[str, tuple[float, float]], why: str
) -> None:
    reading = read(histogram(TTFT, counts, (70, 100)), now=100).readings[Signal.TTFT]
    assert isinstance(reading, Absent)
    assert reading.why.startswith(why)


def test_the_order_of_samples_changes_nothing() -> None:
    samples = [
        *series(TOKENS, {40: 900, 55: 1200, 70: 30, 85: 330, 100: 630}, pod="a", job="x"),
        *series(spellings(TOKENS)[1], {40: 900, 55: 1200, 70: 30, 85: 330}, pod="a", job="y"),
        *series(TOKENS, {85: 5, 100: 20}, pod="b"),
        *histogram(TTFT, {"0.1": (0, 10), "0.5": (0, 20), "+Inf": (0, 20)}, (70, 100)),
    ]
    expected = read(samples, now=100)
    shuffled = random.Random(7)  # noqa: S311 - repeatable, not secret
    for _ in range(20):
        shuffled.shuffle(samples)
        assert read(samples, now=100) == expected


def test_a_reader_keeps_no_more_than_the_next_reading_needs() -> None:
    limits = Limits(window_seconds=60, stale_after_seconds=60)
    reader = ObservationReader(VLLM, model=MODEL, limits=limits)
    for at in range(0, 86_400, 15):
        pod = f"pod-{at // 3600}"
        reader.observe(
            [sample(TOKENS, at, at, pod=pod), sample("vllm:num_requests_running", 1, at, pod=pod)],
            now_seconds=at,
        )
    tracks = [
        track
        for page in reader._store.by_exporter().values()
        for tracks in page.values()
        for track in tracks
    ]
    assert len(tracks) == 2
    assert {len(track.points) for track in tracks} == {9}


# Numbers that nothing can have measured.


@pytest.mark.parametrize(
    ("value", "signal"),
    [
        pytest.param(9e14, Signal.GENERATED_TOKENS, id="large"),
        pytest.param(6.1e7, Signal.GENERATED_TOKENS, id="more-than-a-rack"),
    ],
)
def test_a_rate_that_no_gpu_reaches_is_absent_and_its_exporter_is_named(
    value: float, signal: Signal
) -> None:
    samples = [*series(TOKENS, {40: 0, 100: 6000}), *series(TOKENS, {40: 0, 100: value}, pod="b")]

    reading = read(samples, now=100).readings[signal]

    assert isinstance(reading, Absent)
    assert reading.why.startswith("b reports a value of ")
    assert "10^6" in reading.why
    assert reading.limit is Limit.SIGNAL_BOUND


@pytest.mark.parametrize("absurd", [2.0**64, 1e307])
def test_a_counter_that_wrapped_and_came_back_was_no_restart(absurd: float) -> None:
    tokens = {0: 6000, 15: 6300, 30: absurd, 45: absurd, 60: 7200}

    observation = read(series(TOKENS, tokens), now=60)

    assert observation.value(Signal.GENERATED_TOKENS) == 20  # 1,200 tokens in a minute
    assert "samples ignored, a counter above 1e+15: 2" in observation.remarks


def test_a_rate_of_many_pods_together_is_believed() -> None:
    samples = [
        one
        for pod in range(40)
        for one in series(TOKENS, {40: 0, 100: 3_000_000}, pod=f"pod-{pod}")
    ]

    assert read(samples, now=100).value(Signal.GENERATED_TOKENS) == 40 * 50_000


@pytest.mark.parametrize(
    ("name", "value", "signal"),
    [
        ("vllm:num_requests_running", 2e6, Signal.RUNNING),
        ("vllm:kv_cache_usage_perc", 42.0, Signal.KV_USE),
    ],
)
def test_a_gauge_beyond_its_bound_is_absent(name: str, value: float, signal: Signal) -> None:
    assert isinstance(read(series(name, {100: value}), now=100).readings[signal], Absent)


def test_a_counter_below_zero_is_no_counter_and_takes_nothing_off_the_others() -> None:
    samples = [
        *series(TOKENS, {40: 0, 100: 6000}),
        *series(TOKENS, {40: -10, 100: -1e6}, pod="b"),
    ]

    observation = read(samples, now=100)

    assert observation.value(Signal.GENERATED_TOKENS) == 100
    assert "samples ignored, a counter below zero: 2" in observation.remarks
