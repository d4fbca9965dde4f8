"""What llm-d's endpoint picker means, above all when it cannot see its pool."""

import pytest

from scaler.signals import Absent, Observation, Signal, Value
from scaler.sources.catalogue import load
from scaler.sources.reading import ObservationReader
from scaler.sources.series import Sample
from tests.sources.pages import MODEL, histogram, sample, series

LLM_D = load("llm-d")
FLOW = {"fairness_id": "team-a", "priority": "0", "inference_pool": "pool", "engine": ""}
QUEUE = "llm_d_epp_flow_control_queue_size"
STALE_QUEUE = Absent(
    why="the picker holds requests because its view of the pool is stale, not because it is full"
)


def read(*parts: list[Sample], model: str | None = MODEL) -> Observation:
    samples = [each for part in parts for each in part]
    return ObservationReader(LLM_D, model=model).observe(samples, now_seconds=100)


def pool(name: str, value: float, /, **labels: str) -> list[Sample]:
    """A series of the pool: it carries no model."""
    return [sample(name, value, 100, model_name="", engine="", **labels)]


def ready(endpoints: float) -> list[Sample]:
    return pool("llm_d_epp_ready_endpoints", endpoints, name="pool")


def saturation(value: float) -> list[Sample]:
    name = "llm_d_epp_flow_control_pool_saturation"
    return pool(name, value, stage="effective", inference_pool="pool")


def stale(endpoints: float) -> list[Sample]:
    return pool("llm_d_epp_flow_control_stale_endpoints", endpoints, detector="utilization")


def test_a_queue_is_seen_with_no_replica_left() -> None:
    observation = read(ready(0), saturation(1.0), stale(0), series(QUEUE, {100: 3}, **FLOW))
    assert observation.value(Signal.WAITING) == 3
    assert observation.value(Signal.REPLICAS) == 0


def test_a_name_and_its_deprecated_twin_count_once() -> None:
    observation = read(
        ready(2),
        pool("inference_pool_ready_pods", 2, name="pool"),
        series(QUEUE, {100: 3}, **FLOW),
        series("inference_extension_flow_control_queue_size", {100: 3}, **FLOW),
        series("llm_d_epp_request_total", {40: 0, 100: 60}, **FLOW),
        series("inference_objective_request_total", {40: 0, 100: 60}, **FLOW),
    )
    assert observation.value(Signal.WAITING) == 3
    assert observation.value(Signal.REQUESTS) == 1
    assert observation.value(Signal.REPLICAS) == 2
    assert observation.remarks == ()


def test_a_picker_of_before_the_renames_is_read() -> None:
    observation = read(
        pool("inference_pool_ready_pods", 2, name="pool"),
        series("inference_extension_flow_control_queue_size", {100: 3}, **FLOW),
        series("inference_objective_running_requests", {100: 8}, engine=""),
    )
    assert observation.value(Signal.WAITING) == 3
    assert observation.value(Signal.RUNNING) == 8
    assert observation.value(Signal.REPLICAS) == 2


def test_flows_are_added() -> None:
    other = {**FLOW, "fairness_id": "team-b"}
    queues = [series(QUEUE, {100: 3}, **FLOW), series(QUEUE, {100: 4}, **other)]
    assert read(ready(1), *queues).value(Signal.WAITING) == 7


def test_a_queue_not_seen_yet_is_zero_while_the_picker_reports() -> None:
    observation = read(ready(2))
    assert observation.readings[Signal.WAITING] == Value(value=0, at_seconds=100)
    assert observation.readings[Signal.RUNNING] == Value(value=0, at_seconds=100)
    assert isinstance(read([]).readings[Signal.WAITING], Absent)


def test_a_queue_below_zero_is_zero() -> None:
    # The picker's own race when it collects an idle flow that wakes.
    assert read(ready(1), series(QUEUE, {100: -1}, **FLOW)).value(Signal.WAITING) == 0


def test_a_misspelled_model_is_not_a_model_without_requests() -> None:
    observation = read(ready(2), series(QUEUE, {100: 3}, **FLOW), model="lama-70b")
    assert observation.readings[Signal.WAITING] == Absent(
        why="reported for llama-70b, not for 'lama-70b'"
    )


def test_without_flow_control_the_engines_queues_count() -> None:
    name = "llm_d_epp_per_endpoint_queue_size"
    queues = [pool(name, 4, name="pool", model_server_endpoint=pod) for pod in ("a", "b")]
    assert read(ready(2), *queues).value(Signal.WAITING) == 8


@pytest.mark.parametrize(
    ("ready_endpoints", "saturated", "stale_endpoints", "waiting"),
    [
        pytest.param(4, 1.0, 4, STALE_QUEUE, id="blind: exactly full, and stale"),
        pytest.param(0, 1.0, 4, STALE_QUEUE, id="blind for so long that none counts as ready"),
        pytest.param(4, 1.7, 0, Value(value=9, at_seconds=100), id="overloaded"),
        pytest.param(4, 0.9, 1, Value(value=9, at_seconds=100), id="one of four stale"),
        pytest.param(0, 1.0, 0, Value(value=9, at_seconds=100), id="empty"),
    ],
)
def test_a_queue_held_by_a_blind_picker_is_no_demand(
    ready_endpoints: float, saturated: float, stale_endpoints: float, waiting: Absent | Value
) -> None:
    observation = read(
        ready(ready_endpoints),
        saturation(saturated),
        stale(stale_endpoints),
        series(QUEUE, {100: 9}, **FLOW),
    )
    assert observation.readings[Signal.WAITING] == waiting
    said = f"not believed: {STALE_QUEUE.why}" in observation.remarks
    assert said is (waiting == STALE_QUEUE)


def test_none_readable_is_not_none_there() -> None:
    observation = read(ready(0), saturation(1.0), stale(4))
    assert isinstance(observation.readings[Signal.REPLICAS], Absent)


def test_an_average_of_nothing_is_not_believed() -> None:
    # The picker leaves its averages as they were when the last endpoint went.
    frozen = pool("llm_d_epp_average_kv_cache_utilization", 0.83, name="pool")
    assert read(ready(2), frozen).value(Signal.KV_USE) == 0.83
    assert isinstance(read(ready(0), frozen).readings[Signal.KV_USE], Absent)


def test_two_pickers_of_one_pool_see_the_same_replicas() -> None:
    leader = [sample("llm_d_epp_ready_endpoints", 4, 100, name="pool", pod="leader")]
    standby = [sample("llm_d_epp_ready_endpoints", 4, 100, name="pool", pod="standby")]
    assert read(leader, standby).value(Signal.REPLICAS) == 4


def test_tokens_come_from_histograms_less_the_cached() -> None:
    observation = read(
        ready(1),
        series("llm_d_epp_request_input_tokens_sum", {40: 0, 100: 6000}, **FLOW),
        series("llm_d_epp_request_cached_tokens_sum", {40: 0, 100: 4800}, **FLOW),
        series("llm_d_epp_request_output_tokens_sum", {40: 0, 100: 600}, **FLOW),
    )
    assert observation.value(Signal.PROMPT_TOKENS) == 20
    assert observation.value(Signal.GENERATED_TOKENS) == 10


def test_time_to_first_token_is_of_streams_only() -> None:
    counts = {"0.1": (0, 0), "0.5": (0, 100), "30": (0, 100), "+Inf": (0, 100)}
    whole = {"0.1": (0, 0), "0.5": (0, 0), "30": (0, 900), "+Inf": (0, 900)}
    name = "llm_d_epp_request_ttft_seconds"
    observation = read(
        ready(1),
        histogram(name, counts, (40, 100), streaming="true", **FLOW),
        histogram(name, whole, (40, 100), streaming="false", **FLOW),
    )
    assert observation.value(Signal.TTFT) == pytest.approx(0.48)


REQUESTS = "llm_d_epp_flow_control_requests_total"
ERRORS = "llm_d_epp_request_error_total"


def turned_away(name: str, count: float, /, **labels: str) -> list[Sample]:
    """So many in the last minute."""
    known = {"engine": "", "fairness_id": "team-a", "priority": "0", **labels}
    return series(name, {40: 0, 100: count}, **known)


@pytest.mark.parametrize(
    ("priority", "counts"), [("-1", False), ("-100", False), ("0", True), ("5", True), ("", True)]
)
def test_sheddable_requests_that_wait_or_are_turned_away_are_no_demand(
    priority: str, counts: bool
) -> None:
    flow = {**FLOW, "priority": priority}
    labels = {"model_name": "", "priority": priority, "outcome": "RejectedCapacity"}
    shed = {"priority": priority, "error_code": "ResourceExhausted"}
    with_flow_control = read(
        ready(0), series(QUEUE, {100: 3}, **flow), turned_away(REQUESTS, 60, **labels)
    )
    without = read(ready(2), turned_away(ERRORS, 60, **shed))
    assert with_flow_control.value(Signal.WAITING) == (3 if counts else 0)
    assert with_flow_control.value(Signal.REJECTED) == (1 if counts else 0)
    assert without.value(Signal.REJECTED) == (1 if counts else 0)


def test_429s_and_503s_without_flow_control_are_unmet_demand() -> None:
    errors = {"ResourceExhausted": 60, "ServiceUnavailable": 30, "BadRequest": 600}
    found = [turned_away(ERRORS, count, error_code=code) for code, count in errors.items()]
    assert read(ready(0), *found).value(Signal.REJECTED) == pytest.approx(1.5)


def test_a_client_that_went_away_from_the_queue_is_no_503() -> None:
    gone = turned_away(ERRORS, 60, error_code="ServiceUnavailable")
    dispatched = turned_away(REQUESTS, 600, model_name="", outcome="Dispatched")
    assert read(ready(1), gone, dispatched).value(Signal.REJECTED) == 0


def test_tokens_in_flight_of_pods_that_are_gone_do_not_count() -> None:
    # Up to router 0.10 the series of a removed pod stay as they were (llm-d-router 2529).
    alive = pool("llm_d_epp_per_endpoint_queue_size", 0, name="pool", model_server_endpoint="new")
    leaked = [
        pool(f"llm_d_epp_inflight_{what}", 90_000, endpoint_name="old", priority="0")
        for what in ("tokens", "requests")
    ]
    quiet = [ready(1), alive, series("llm_d_epp_request_running", {100: 0}, **FLOW)]
    assert read(*quiet, *leaked) == read(*quiet)


def test_only_what_capacity_would_have_cured_was_rejected() -> None:
    name = "llm_d_epp_flow_control_requests_total"
    outcomes = {"RejectedCapacity": 60, "EvictedTTL": 30, "Dispatched": 6000}
    outcomes |= {"EvictedContextCancelled": 600}
    counters = [
        series(name, {40: 0, 100: count}, model_name="", outcome=outcome, engine="")
        for outcome, count in outcomes.items()
    ]
    assert read(ready(1), *counters).value(Signal.REJECTED) == pytest.approx(1.5)
