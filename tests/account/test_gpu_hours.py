"""GPU-hours by state and reason, added up by hand over simulated hours."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.account.gpu_hours import (
    GAP_SECONDS,
    NODE_EMPTY,
    NODE_IN_USE,
    SERIES_MAX,
    GpuHours,
    State,
)
from fleet.activity import Activity, Host
from tests.fleet.objects import (
    H100,
    Object,
    claim,
    device,
    node,
    pod,
    resource_slice,
    seen,
)

P5 = H100 | {"node.kubernetes.io/instance-type": "p5.48xlarge", "karpenter.sh/nodepool": "big"}
MINUTE = 60.0


def ready(one: Object) -> Object:
    one["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
    return one


def hours(found: GpuHours) -> dict[tuple[State, str], float]:
    return {
        (one.state, one.reason): pytest.approx(total.gpu_hours)
        for one, total in found.totals.items()
    }


def test_each_gpu_counts_in_the_state_that_the_reading_before_found_it_in() -> None:
    idle_node = node(labels=P5, gpus=8)
    busy = (idle_node, pod("a", gpus=2))
    book = GpuHours().read(seen(idle_node), 0.0)
    book = book.read(seen(*busy), 6 * MINUTE)
    book = book.read(seen(idle_node, ready(pod("a", gpus=2))), 9 * MINUTE)

    assert hours(book.passed(12 * MINUTE)) == {
        (State.FREE, NODE_EMPTY): 0.8,  # 8 for 6 minutes
        (State.STARTING, ""): 0.1,  # 2 for 3
        (State.FREE, NODE_IN_USE): 0.6,  # 6 for 6
        (State.SERVING, ""): 0.1,
    }


def test_money_counts_where_there_is_a_price() -> None:
    cluster = (node("n1", labels=P5, gpus=8), node("n2", labels=H100, gpus=4))
    book = GpuHours().read(seen(*cluster), 0.0).passed(6 * MINUTE)

    totals = {one.pool: total for one, total in book.totals.items()}

    assert totals["big"].usd == pytest.approx(0.8 * 6.88)
    assert (totals["big"].unpriced_gpu_hours, totals[None].usd) == (0.0, 0.0)
    assert totals[None].unpriced_gpu_hours == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("objects", "state", "reason"),
    [
        pytest.param([node(gpus=8, ready=False)], State.OUT, "not ready", id="not-ready"),
        pytest.param(
            [node(labels=P5)], State.OUT, "no driver offers it yet", id="driver-not-up-yet"
        ),
        pytest.param(
            [node(), resource_slice(device("gpu-0", taints=[{"key": "k", "effect": "NoExecute"}]))],
            State.OUT,
            "tainted k",
            id="tainted",
        ),
        pytest.param(
            [node(gpus=8, allocatable={"nvidia.com/gpu": 0})], State.OUT, "unhealthy", id="sick"
        ),
        pytest.param(
            [node(), resource_slice(device("gpu-0")), claim("c", "gpu-0")],
            State.STARTING,
            "claimed by no pod",
            id="claimed-by-no-pod",
        ),
    ],
)
def test_gpus_that_do_not_serve_have_a_reason(
    objects: list[Object], state: State, reason: str
) -> None:
    book = GpuHours().read(seen(*objects), 0.0).passed(MINUTE)

    assert [(one.state, one.reason) for one in book.totals] == [(state, reason)]


def test_idle_gpus_are_apart_from_those_that_serve() -> None:
    busy = {f"GPU-{at}": at < 3 for at in range(8)}
    owners = {f"GPU-{at}": "llm/a" for at in range(4)}
    activity = Activity(window_seconds=60, hosts={"n1": Host(busy=busy, owners=owners)})
    snapshot = seen(node(labels=P5, gpus=8), ready(pod("a", gpus=4)), activity=activity)

    book = GpuHours().read(snapshot, 0.0).passed(6 * MINUTE)

    assert hours(book) == {
        (State.SERVING, ""): 0.3,
        (State.IDLE, ""): 0.1,
        (State.FREE, NODE_IN_USE): 0.4,
    }


def test_time_without_a_reading_is_unknown_and_not_lost() -> None:
    book = GpuHours().read(seen(node(labels=H100, gpus=6)), 0.0)

    assert hours(book.passed(GAP_SECONDS + 20 * MINUTE)) == {
        (State.FREE, NODE_EMPTY): 1.0,  # 6 for 10 minutes
        (State.UNKNOWN, "not read"): 2.0,  # 6 for 20
    }


def test_a_clock_that_is_set_back_adds_nothing() -> None:
    book = GpuHours().read(seen(node(labels=H100, gpus=6)), 1000.0)
    book = book.read(seen(node(labels=H100, gpus=6)), 400.0)

    assert hours(book.passed(400.0 + 5 * MINUTE)) == {(State.FREE, NODE_EMPTY): 0.5}


def test_totals_are_bounded_and_still_add_up() -> None:
    cluster = [
        node(f"n{at}", labels=H100 | {"karpenter.sh/nodepool": f"p{at}"}, gpus=1)
        for at in range(SERIES_MAX + 50)
    ]

    totals = GpuHours().read(seen(*cluster), 0.0).passed(6 * MINUTE).totals

    assert len(totals) == SERIES_MAX + 1
    assert sum(one.gpu_hours for one in totals.values()) == pytest.approx(0.1 * len(cluster))


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 1800), st.integers(0, 8), st.integers(0, 8), st.booleans()),
        min_size=1,
        max_size=8,
    )
)
def test_all_states_together_are_the_gpus_over_time(
    readings: list[tuple[int, int, int, bool]],
) -> None:
    """Steps of seconds, with so many GPUs, so many asked for, on a node that is ready or not."""
    book, now, expected, before = GpuHours(), 0.0, 0.0, 0
    for step, gpus, asked, is_ready in readings:
        now += step
        expected += before * step / 3600
        book = book.read(seen(node(gpus=gpus, ready=is_ready), pod("a", gpus=asked)), now)
        before = gpus
    total = sum(one.gpu_hours for one in book.totals.values())

    assert total == pytest.approx(expected, abs=1e-4)
