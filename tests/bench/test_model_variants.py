"""Two kinds of GPU for one model: what is played, and how dollars are added up."""

import pytest

from bench.variants import Kind, inputs_of, kind_of, rows_of
from replay.generated import generated
from replay.replay_input import draw_input
from replay.simulate import Result


def result(requests: float, attainment: float, gpu_hours: float) -> Result:
    return Result(
        policy="", knob=0.0, requests=requests, attainment=attainment, gpu_hours=gpu_hours,
        ttft_p50=0, ttft_p95=0, ttft_p99=0, itl_p99=0, errors=0, cold_start_affected=0, actions=0,
        flips=0, days=(),
    )  # fmt: skip


def kinds() -> list[Kind]:
    return [kind_of("llama-3.1-8b", "h100-sxm", 4, 4.0), kind_of("llama-3.1-8b", "l40s", 8)]


def test_dollars_and_late_requests_are_added_up() -> None:
    rows = rows_of("together", kinds(), [result(100, 0.9, 3.0), result(300, 1.0, 5.0)])
    assert [row["dollars"] for row in rows] == pytest.approx([12, 5 * 1.861, 12 + 5 * 1.861])
    assert (rows[-1]["late"], rows[-1]["attainment"]) == pytest.approx((10, 0.975))


def test_both_kinds_get_the_same_requests_and_each_half_of_the_past() -> None:
    trace = generated(seed=1, days=1)
    one, other = inputs_of(trace, kinds(), mean=2.0, startup=300.0, seed=1)
    assert one.arrivals is other.arrivals
    assert one.past is other.past
    whole = draw_input(trace, one.platform, seed=1, replicas_mean=2.0).past
    assert one.past.requests_per_second == pytest.approx(whole.requests_per_second / 2)
    assert [one.platform.replicas_max, other.platform.replicas_max] == [4, 8]


def test_a_gpu_that_is_not_known_is_refused_by_name() -> None:
    with pytest.raises(SystemExit, match="no GPU 'h101'"):
        kind_of("llama-3.1-8b", "h101", 1)
    with pytest.raises(SystemExit, match="no list price of a100-pcie-80: give --prices"):
        kind_of("llama-3.1-8b", "a100-pcie-80", 1)
