"""GPU-hours and dollars by reason, added up by hand over simulated hours."""

from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.account.cost_book import CostBook
from fleet.account.cost_state import decoded, encoded
from fleet.account.gpu_hours import GAP_SECONDS, LOST_SECONDS, SERIES_MAX, GpuHours
from fleet.activity import Activity, Host
from fleet.annotations import PRICE
from fleet.reasons import Reason
from policies.node_plan import NodeDecision, NodePlan, PoolPlan, Verdict
from tests.fleet.objects import (
    H100,
    Object,
    node,
    node_claim,
    pod,
    seen,
)

P5 = H100 | {"node.kubernetes.io/instance-type": "p5.48xlarge", "karpenter.sh/nodepool": "big"}
MINUTE = 60.0
DAY = 86_400.0


def ready(one: Object) -> Object:
    one["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
    return one


def hours(found: GpuHours) -> dict[Reason, float]:
    by_reason: dict[Reason, float] = defaultdict(float)
    for series, cost in found.totals.items():
        by_reason[series.reason] += cost.gpu_hours
    return {reason: pytest.approx(count) for reason, count in by_reason.items()}


def test_each_gpu_counts_by_the_reason_that_the_reading_before_found() -> None:
    idle_node = node(labels=P5, gpus=8)
    busy = (idle_node, pod("a", gpus=2))
    book = GpuHours().read(seen(idle_node), 0.0)
    book = book.read(seen(*busy), 6 * MINUTE)
    book = book.read(seen(idle_node, ready(pod("a", gpus=2))), 9 * MINUTE)

    assert hours(book.passed(12 * MINUTE)) == {
        Reason.NONE: 0.8,  # 8 for 6 minutes
        Reason.VETO: 0.1,  # 2 for 3
        Reason.FRAGMENTATION: 0.6,  # 6 for 6
        Reason.SERVING: 0.1,
    }


def test_a_plan_says_why_a_node_was_kept_from_then_on() -> None:
    snapshot = seen(node(labels=P5, gpus=8))
    book = GpuHours().read(snapshot, 0.0, {"n1": Reason.FORECAST_HOLD})
    book = book.read(snapshot, 3 * MINUTE)

    assert hours(book.passed(9 * MINUTE)) == {Reason.FORECAST_HOLD: 0.4, Reason.NONE: 0.8}


def test_a_node_plan_gives_the_reasons_of_nodes_that_it_keeps_and_no_advice() -> None:
    kept = NodeDecision(node="n1", uid="1", verdict=Verdict.HOLD, reason=Reason.GANG)
    serves = NodeDecision(node="n2", uid="2", verdict=Verdict.LEAVE)
    advised = NodeDecision(node="n3", uid="3", verdict=Verdict.HOLD, reason=Reason.WARM_FLOOR)
    plan = NodePlan(
        at_seconds=0.0,
        pools=(
            PoolPlan(pool="a", act=True, nodes=(kept, serves)),
            PoolPlan(pool="b", act=False, nodes=(advised,)),
        ),
    )

    assert plan.reasons == {"n1": Reason.GANG}


def test_a_machine_counts_from_its_launch() -> None:
    launched = node_claim("c", "Launched", labels=P5)
    book = GpuHours().read(seen(launched), 0.0)
    book = book.read(seen(node(labels=P5), node_claim("c", "Launched", on="n1")), 3 * MINUTE)
    book = book.read(seen(node(labels=P5, gpus=8)), 6 * MINUTE).passed(9 * MINUTE)

    assert hours(book) == {Reason.UNINITIALIZED: 0.8, Reason.NONE: 0.4}


def test_money_counts_where_there_is_a_price() -> None:
    cluster = (node("n1", labels=P5, gpus=8), node("n2", labels=H100, gpus=4))
    book = GpuHours().read(seen(*cluster), 0.0).passed(6 * MINUTE)

    totals = {one.pool: total for one, total in book.totals.items()}

    assert totals["big"].usd == pytest.approx(0.8 * 6.88)
    assert (totals["big"].unpriced_gpu_hours, totals[None].usd) == (0.0, 0.0)
    assert totals[None].unpriced_gpu_hours == pytest.approx(0.4)


def test_idle_gpus_are_apart_from_those_that_serve() -> None:
    busy = {f"GPU-{at}": at < 3 for at in range(8)}
    owners = {f"GPU-{at}": {"llm/a"} for at in range(4)}
    activity = Activity(window_seconds=60, hosts={"n1": Host(busy=busy, owners=owners)})
    snapshot = seen(node(labels=P5, gpus=8), ready(pod("a", gpus=4)), activity=activity)

    book = GpuHours().read(snapshot, 0.0).passed(6 * MINUTE)

    assert hours(book) == {Reason.SERVING: 0.3, Reason.IDLE: 0.1, Reason.FRAGMENTATION: 0.4}


def test_what_pods_have_counts_for_their_model() -> None:
    chat, code = {"model": "chat"}, {"model": "code"}
    snapshot = seen(
        node(labels=P5, gpus=8),
        ready(pod("a", gpus=2, labels=chat)),
        pod("b", gpus=1, labels=chat),
        ready(pod("c", gpus=4, labels=code)),
    )

    book = GpuHours().read(snapshot, 0.0).passed(6 * MINUTE)

    assert {(one.model, one.reason): cost.gpu_hours for one, cost in book.totals.items()} == {
        ("chat", Reason.SERVING): pytest.approx(0.2),
        ("chat", Reason.VETO): pytest.approx(0.1),
        ("code", Reason.SERVING): pytest.approx(0.4),
        (None, Reason.FRAGMENTATION): pytest.approx(0.1),
    }


def test_time_without_a_reading_is_unknown_and_not_lost() -> None:
    book = GpuHours().read(seen(node(labels=H100, gpus=6)), 0.0)

    assert hours(book.passed(GAP_SECONDS + 20 * MINUTE)) == {
        Reason.NONE: 1.0,  # 6 for 10 minutes
        Reason.UNKNOWN: 2.0,  # 6 for 20
    }


def test_after_a_day_without_a_reading_nothing_is_added() -> None:
    """A clock set a year ahead makes a day of unknown cost, not a year."""
    book = GpuHours().read(seen(node(labels=H100, gpus=6)), 0.0)

    later = book.passed(365 * DAY)

    assert hours(later) == {Reason.NONE: 1.0, Reason.UNKNOWN: 143.0}
    assert later.first_seconds == 364 * DAY  # 144 GPU-hours are of one day
    assert book.read(seen(node(labels=H100, gpus=6)), 365 * DAY).first_seconds == 364 * DAY


def test_a_clock_that_is_set_back_adds_nothing() -> None:
    book = GpuHours().read(seen(node(labels=H100, gpus=6)), 1000.0)
    book = book.read(seen(node(labels=H100, gpus=6)), 400.0)

    assert hours(book.passed(400.0 + 5 * MINUTE)) == {Reason.NONE: 0.5}


def test_totals_are_bounded_and_still_add_up() -> None:
    cluster = [
        node(f"n{at}", labels=H100 | {"karpenter.sh/nodepool": f"p{at}"}, gpus=1)
        for at in range(SERIES_MAX + 50)
    ]

    book = GpuHours().read(seen(*cluster), 0.0).passed(6 * MINUTE)

    assert len(book.totals) == len(book.hourly) == SERIES_MAX + 1
    assert sum(one.gpu_hours for one in book.totals.values()) == pytest.approx(0.1 * len(cluster))


def test_pods_with_models_without_number_take_no_pool_its_name() -> None:
    pods = 4 * SERIES_MAX
    many = (
        node("n1", labels=P5 | {"nvidia.com/gpu.replicas": str(pods // 8)}, gpus=pods),
        *(pod(f"p{at}", gpus=1, labels={"model": f"m{at}"}) for at in range(pods)),
    )
    late = node("n2", labels=P5 | {"karpenter.sh/nodepool": "late"}, gpus=8)

    book = GpuHours().read(seen(*many, late), 0.0).passed(6 * MINUTE)

    assert {one.pool for one in book.totals} == {"big", "late"}
    assert len(book.totals) < SERIES_MAX
    assert sum(one.gpu_hours for one in book.totals.values()) == pytest.approx(1.6)


STEPS = st.tuples(
    st.one_of(st.integers(0, 1800), st.just(int(2 * DAY)), st.integers(-3600, -1)),  # the clock
    st.integers(0, 16),  # GPUs of the node, each shared by seven pods
    st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=3),  # shares asked for
    st.booleans(),  # the node is ready
    st.integers(0, 2),  # launched machines of 8
    st.sampled_from([None, *Reason]),  # what a plan says
    st.booleans(),  # the process is started again
)


@settings(deadline=None)
@given(st.lists(STEPS, min_size=1, max_size=8))
def test_all_reasons_together_are_the_bill_to_the_cent(
    steps: list[tuple[int, int, list[tuple[int, bool]], bool, int, Reason | None, bool]],
) -> None:
    """GPUs × time, whatever happens to them, to the readings, to the clock and to the process."""
    book, now, gpu_seconds, before = GpuHours(), 0.0, 0.0, 0
    for step, gpus, asked, is_ready, launched, planned, again in steps:
        now += step
        gpu_seconds += before * min(max(step, 0), LOST_SECONDS)
        shared = node(
            labels={"nvidia.com/gpu.replicas": "7"},
            ready=is_ready,
            gpus=7 * gpus,
            annotations={PRICE: "6.88"},
        )
        pods = [
            ready(pod(f"p{at}", gpus=shares)) if serves else pod(f"p{at}", gpus=shares)
            # Of a device plugin that is away pods keep their GPUs, which nothing else counts.
            for at, (shares, serves) in enumerate(asked if gpus else ())
        ]
        claims = [node_claim(f"c{at}", "Launched", labels=P5) for at in range(launched)]
        plan = {} if planned is None else {"n1": planned, "c0": planned}
        if again:
            book = decoded(encoded(CostBook(gpu_hours=book))).gpu_hours
        book = book.read(seen(shared, *pods, *claims), now, plan)
        before = gpus + 8 * launched

    usd = sum(cost.usd for cost in book.totals.values())
    assert usd == pytest.approx(6.88 * gpu_seconds / 3600, abs=0.005)
    assert sum(cost.gpu_hours for cost in book.totals.values()) == pytest.approx(
        gpu_seconds / 3600, rel=1e-9
    )
    assert all(cost.usd >= 0 for cost in book.totals.values())
