"""What the controller found and decided, as Prometheus series made when scraped.

Labels are names of pools, GPUs and policies, and fixed lists; no pod, node or model.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from fleet.account.cost_samples import HELP, LABELS, samples
from foresail.controller.rounds import ClusterRound

_LEVELS_SHOWN: Final = frozenset({0.5, 0.9, 0.99})


class ControllerCollector(Collector):
    """Series of the last round."""

    def __init__(
        self, last: Callable[[], ClusterRound | None], leading: Callable[[], bool]
    ) -> None:
        self._last = last
        self._leading = leading

    @override
    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "foresail_controller_leading",
            "1 while this replica may act.",
            value=float(self._leading()),
        )
        round_ = self._last()
        if round_ is None:
            return
        yield GaugeMetricFamily(
            "foresail_controller_round_timestamp_seconds",
            "Unix time of the last round.",
            value=round_.at_seconds,
        )
        yield from _costs(round_)
        yield from _decisions(round_)
        yield from _pools(round_)
        yield from _late(round_)
        yield _factors(round_)
        spent = GaugeMetricFamily(
            "foresail_policy_month_usd",
            "Dollars for idle capacity that a policy holds or orders, this month.",
            labels=["policy"],
        )
        for policy, usd in round_.decided.situation.spending.month_usd_by_policy.items():
            spent.add_metric((policy,), usd)
        yield spent


def _costs(round_: ClusterRound) -> Iterator[Metric]:
    families = {
        name: CounterMetricFamily(name.removesuffix("_total"), text, labels=LABELS)
        for name, text in HELP.items()
    }
    for sample in samples(round_.costs.gpu_hours):
        families[sample.name].add_metric(sample.labels, sample.value)
    yield from families.values()


def _decisions(round_: ClusterRound) -> Iterator[Metric]:
    nodes = GaugeMetricFamily(
        "foresail_pool_nodes",
        "Nodes by the last round's verdict, and by the reason why they are there without serving.",
        labels=["pool", "verdict", "reason"],
    )
    orders = GaugeMetricFamily(
        "foresail_pool_nodes_ordered",
        "Nodes that the last round wants beyond those that are there or on their way.",
        labels=["pool", "capacity_type", "reason"],
    )
    for pool in round_.decided.plan.pools:
        counts = Counter(
            (one.verdict.value, one.reason.value if one.reason is not None else "serving")
            for one in pool.nodes
        )
        for (verdict, reason), count in counts.items():
            nodes.add_metric((pool.pool, verdict, reason), count)
        wanted: dict[tuple[str, str], int] = defaultdict(int)
        for order in pool.orders:
            kind = order.capacity_type.value if order.capacity_type is not None else ""
            wanted[kind, order.reason.value] += order.nodes
        for (kind, reason), count in wanted.items():
            orders.add_metric((pool.pool, kind, reason), count)
    yield from (nodes, orders)


def _pools(round_: ClusterRound) -> Iterator[Metric]:
    demand = GaugeMetricFamily(
        "foresail_pool_demand_gpus", "GPUs that pods want now, without gangs.", labels=["pool"]
    )
    forecast = GaugeMetricFamily(
        "foresail_pool_forecast_gpus",
        "Quantiles of the largest demand within a window from now on.",
        labels=["pool", "window_seconds", "quantile"],
    )
    lead = GaugeMetricFamily(
        "foresail_pool_lead_time_seconds",
        "Time from the order of a node to GPUs that pods can use, failed launches included.",
        labels=["pool", "quantile"],
    )
    for pool in round_.decided.situation.pools:
        demand.add_metric((pool.name,), pool.demand_gpus)
        lead.add_metric((pool.name, "mean"), pool.lead_time.boot_seconds)
        lead.add_metric((pool.name, "0.9"), pool.lead_time.boot_seconds_p90)
        if pool.forecast is None:
            continue
        for seconds, row in zip(
            pool.forecast.windows_seconds, pool.forecast.quantiles, strict=True
        ):
            for level, gpus in zip(pool.forecast.levels, row, strict=True):
                if level in _LEVELS_SHOWN:
                    forecast.add_metric((pool.name, f"{seconds:g}", f"{level:g}"), gpus)
    yield from (demand, forecast, lead)


def _factors(round_: ClusterRound) -> Metric:
    factors = GaugeMetricFamily(
        "foresail_pool_rule_factor",
        "Factors in force: of delayedMinuteWorth for a hold, and of a hold for an order.",
        labels=["pool", "factor"],
    )
    for pool, constants in round_.decided.constants.items():
        factors.add_metric((pool, "hold"), constants.hold_factor)
        factors.add_metric((pool, "order"), constants.order_factor)
    return factors


def _late(round_: ClusterRound) -> Iterator[Metric]:
    late = GaugeMetricFamily(
        "foresail_late_machines",
        "GPU machines that have been in one stage for longer than usual, by stage.",
        labels=["pool", "stage"],
    )
    counts = Counter((one.pool or "", one.stage) for one in round_.late)
    for (pool, stage), count in counts.items():
        late.add_metric((pool, stage), count)
    yield late
