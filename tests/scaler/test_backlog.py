"""The queue a lead time ahead, worked out by hand in replica-seconds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaler.decision.backlog import Order, backlog_after, outstanding


def order(at: float, replicas: int) -> Order:
    return Order(at_seconds=at, replicas=replicas)


@pytest.mark.parametrize(
    ("work", "load", "ready", "orders", "left"),
    [
        pytest.param(0, 4, 4, [], 0, id="balanced"),
        pytest.param(0, 6, 4, [], 600, id="short-by-two-for-300-s"),
        pytest.param(100, 3, 4, [], 0, id="drains"),
        pytest.param(500, 3, 4, [], 200, id="drains-in-part"),
        # ordered 100 s ago, so there in 200 s: 2 × 200 − (8 − 6) × 100
        pytest.param(0, 6, 4, [order(900, 4)], 200, id="order-on-its-way"),
        # ordered a lead time ago and not there: expected at once, never asked for again
        pytest.param(0, 6, 4, [order(0, 4)], 0, id="order-overdue"),
        pytest.param(0, 6, 4, [order(1000, 4)], 600, id="order-of-this-moment"),
        pytest.param(600, 0, 0, [], 600, id="nobody-serves"),
    ],
)
def test_work_left_after_the_lead_time(
    work: float, load: float, ready: int, orders: list[Order], left: float
) -> None:
    found = backlog_after(300, now_seconds=1000, work=work, load=load, ready=ready, orders=orders)

    assert found == pytest.approx(left)


@pytest.mark.parametrize(
    ("pending", "kept"),
    [
        (5, [order(10, 2), order(20, 3)]),
        (4, [order(10, 1), order(20, 3)]),
        (3, [order(20, 3)]),
        (1, [order(20, 1)]),
        (0, []),
    ],
)
def test_what_became_ready_is_taken_off_the_oldest_orders(pending: int, kept: list[Order]) -> None:
    assert list(outstanding([order(10, 2), order(20, 3)], pending=pending)) == kept


@given(
    work=st.floats(0, 1e6),
    load=st.floats(0, 1e3),
    ready=st.integers(0, 1000),
    orders=st.lists(st.builds(order, st.floats(0, 1000), st.integers(1, 50)), max_size=5),
    more=st.integers(1, 50),
)
def test_another_replica_never_leaves_more_work(
    work: float, load: float, ready: int, orders: list[Order], more: int
) -> None:
    def left(*, ready: int) -> float:
        return backlog_after(
            300, now_seconds=1000, work=work, load=load, ready=ready, orders=orders
        )

    assert left(ready=ready + more) <= left(ready=ready)
