"""Queries of autoscaling rules, worked out by hand on one moment of a replay."""

from dataclasses import replace

import pytest

from replay.policies.port import Seen
from replay.policies.query import QueryError, compiled

SEEN = Seen(
    at_seconds=600, replicas=5, ready=4, running=80.0, waiting=12.0, kv_use_ratio=0.5,
    itl_seconds=0.04, arrived_per_second=9.0, finished_per_second=8.0,
    prompt_tokens_per_second=6400.0, output_tokens_per_second=1600.0, prompt_tokens=800.0,
    output_tokens=200.0, ttft_p90_seconds=1.5,
)  # fmt: skip


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ('sum(vllm:num_requests_waiting{model_name="m"})', 12.0),
        ("avg(vllm:num_requests_running)", 20.0),
        ('sum(vllm:num_requests_running{namespace="llm",job=~"vllm.*",engine="0"})', 80.0),
        ("max by (model_name) (vllm:num_requests_running)", 20.0),
        ("sum(vllm_num_requests_waiting + vllm_num_requests_running)", 92.0),
        ("sum(vllm:num_requests_waiting) / count(up)", 3.0),
        ("avg(vllm:gpu_cache_usage_perc) * 100", 50.0),
        ("sum(rate(vllm:request_success_total[1m]))", 8.0),
        ("sum(increase(vllm:prompt_tokens_total[1m])) / 60", 6400.0),
        (
            ("histogram_quantile(0.9, sum by (le) "
            "(rate(vllm:time_to_first_token_seconds_bucket[5m])))"),
            1.5,
        ),
        ("sum(vllm:num_requests_waiting) / 0 or vector(7)", 7.0),
        ("clamp_min(sum(vllm:num_requests_waiting) - 20, 1)", 1.0),
        ("2 + 3 * -sum(vllm:num_requests_waiting)", -34.0),
    ],
)  # fmt: skip
def test_a_query_is_worked_out(query: str, value: float) -> None:
    assert compiled(query)(SEEN) == pytest.approx(value)


def test_a_window_remembers() -> None:
    highest = compiled("max_over_time(vllm:num_requests_waiting[1m])")
    mean = compiled("sum(avg_over_time(vllm:num_requests_waiting[30s]))")
    seen = [replace(SEEN, at_seconds=at, waiting=w) for at, w in ((0, 30.0), (30, 6.0), (75, 3.0))]
    assert [highest(one) for one in seen] == [30.0, 30.0, 6.0]
    assert [mean(one) for one in seen] == [30.0, 18.0, 3.0]


@pytest.mark.parametrize(
    ("query", "part"),
    [
        ("sum(nginx_requests)", "nginx_requests"),
        ("predict_linear(vllm:num_requests_waiting[10m], 300)", "predict_linear"),
        ("sum(vllm:num_requests_waiting) > 3", ">"),
        ("sum(rate(vllm:num_requests_waiting[1m]))", "vllm:num_requests_waiting"),
        ("sum(", "the end"),
        (
            'sum(rate(vllm:request_success_total{model_name="m",finished_reason="abort"}[1m]))',
            'finished_reason="abort"',
        ),
        ("sum(vllm:num_requests_waiting{ reason != 'capacity'})", "reason != 'capacity'"),
    ],
)
def test_what_is_not_understood_is_named(query: str, part: str) -> None:
    with pytest.raises(QueryError, match="cannot be replayed") as refused:
        compiled(query)
    assert repr(part)[1:-1] in str(refused.value)
