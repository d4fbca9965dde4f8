"""For the operator: does it work, and is it worth it?

Replicas of a process export the same facts, each its own sample; `max` over them counts each once.
"""

from scripts.dashboards.grafana import ROUNDS, Dashboard, Panel, Query, Row, stat

_WORKLOAD = "namespace, scaled_object"
_GPU = "pool, generation, reason"

_WORKS = Row(
    title="Is it working?",
    panels=(
        stat(
            title="Workloads",
            text="Triggers that KEDA has asked about.",
            query=Query(expr="max(foresail_objects)"),
        ),
        stat(
            title="KEDA gets an error",
            text="Workloads without an answer; `foresail explain` has the reason of each.",
            bad_from=1,
            query=Query(
                expr=f"count(min by ({_WORKLOAD}) (foresail_answering) == 0) "
                "or 0 * max(foresail_objects)"
            ),
        ),
        stat(
            title="Oldest reading",
            text="Of the readings behind answers; at cycle.answerMax KEDA gets an error.",
            unit="s",
            bad_from=120,
            query=Query(expr=f"max(min by ({_WORKLOAD}) (foresail_reading_age_seconds))"),
        ),
        stat(
            title="Stuck replicas",
            text="Ordered half an hour ago or more, and never ready: look at the pods.",
            bad_from=1,
            query=Query(expr=f"sum(max by ({_WORKLOAD}) (foresail_stuck_replicas))"),
        ),
        stat(
            title="First certificate ends in",
            text="The time until the first certificate of `foresail serve` ends.",
            unit="s",
            query=Query(expr="min(foresail_certificate_expiry_timestamp_seconds) - time()"),
        ),
        stat(
            title="Last round of the controller",
            text="Its age; a round is made at least every two minutes.",
            unit="s",
            bad_from=600,
            query=Query(expr="time() - max(foresail_controller_round_timestamp_seconds)"),
        ),
        Panel(
            title="KEDA's calls by gRPC status",
            text="Calls a second. Another status than OK is counted towards KEDA's fallback.",
            unit="reqps",
            queries=(
                Query(
                    expr="sum by (code) "
                    "(rate(foresail_rpc_duration_seconds_count[$__rate_interval]))",
                    legend="{{code}}",
                ),
            ),
        ),
        Panel(
            title="Time to answer KEDA",
            text="An answer is read from memory: milliseconds, whatever the sources do.",
            unit="s",
            queries=tuple(
                Query(
                    expr=f"histogram_quantile({level}, sum by (le) "
                    "(rate(foresail_rpc_duration_seconds_bucket[$__rate_interval])))",
                    legend=f"q{level}",
                )
                for level in ("0.5", "0.99")
            ),
        ),
        Panel(
            title="Errors to KEDA, by reason",
            text="Calls a second that were answered with an error.",
            unit="reqps",
            queries=(
                Query(
                    expr="sum by (reason) (rate(foresail_refusals_total[$__rate_interval]))",
                    legend="{{reason}}",
                ),
            ),
        ),
        Panel(
            title="Time to read a workload, by source",
            text="The slowest of a hundred; above the source's timeout a reading is stale.",
            unit="s",
            queries=(
                Query(
                    expr="histogram_quantile(0.99, sum by (le, source) "
                    "(rate(foresail_look_duration_seconds_bucket[$__rate_interval])))",
                    legend="{{source}}",
                ),
            ),
        ),
        Panel(
            title="Missed reads, faults and limits",
            text="Reads that were due too early, cycles with a fault of Foresail, limits exceeded.",
            unit="cps",
            queries=(
                Query(
                    expr="sum by (source) (rate(foresail_looks_missed_total[$__rate_interval]))",
                    legend="missed reads of {{source}}",
                ),
                Query(
                    expr="sum(rate(foresail_cycle_errors_total[$__rate_interval]))",
                    legend="faults of Foresail",
                ),
                Query(
                    expr="sum by (limit) (rate(foresail_limit_exceeded_total[$__rate_interval]))"
                    " > 0",
                    legend="limit {{limit}}",
                ),
            ),
        ),
        Panel(
            title="Rounds of the controller, by outcome",
            text="Mean of ten minutes. One replica acts, and the others wait.",
            unit="cpm",
            queries=(
                Query(
                    expr="60 * sum by (outcome) "
                    f"(rate(foresail_controller_rounds_total[{ROUNDS}]))",
                    legend="{{outcome}}",
                ),
            ),
        ),
    ),
)


def _spent(series: str, others: str = "") -> str:
    return f"max by ({_GPU}) (increase({series}{others}[$__range]))"


def _books(series: str) -> str:
    """By rule, over the workloads of which is known what really ran."""
    real = f'max by ({_WORKLOAD}) ({series}{{rule="actual"}})'
    return f"max by ({_WORKLOAD}, rule) ({series}) and on ({_WORKLOAD}) {real}"


_WORTH = Row(
    title="Is it worth it?",
    panels=(
        stat(
            title="GPU-hours",
            text="Of the time shown, in all pools.",
            query=Query(expr=f"sum({_spent('foresail_gpu_hours_total')})"),
        ),
        stat(
            title="Dollars",
            text="Of the GPU-hours that have a price.",
            unit="currencyUSD",
            query=Query(expr=f"sum({_spent('foresail_gpu_cost_usd_total')})"),
        ),
        stat(
            title="Dollars of GPUs that serve nothing",
            text="Of the time shown; the dashboard of nodes has them by reason.",
            unit="currencyUSD",
            query=Query(
                    expr="sum("
                    + _spent("foresail_gpu_cost_usd_total", '{reason!="serving"}')
                    + ")"
                ),
        ),
        stat(
            title="GPU-hours without a price",
            text="Missing in the dollars: give their prices (docs/cost.md).",
            query=Query(
                    expr=f"sum({_spent('foresail_gpu_hours_unpriced_total')}) "
                    f"or 0 * sum({_spent('foresail_gpu_hours_total')})"
                ),
        ),
        stat(
            title="Late share, as it was",
            text="Of the last days' work, measured; the mean of the workloads.",
            unit="percentunit",
            query=Query(
                    expr=f"avg(max by ({_WORKLOAD}) "
                    '(foresail_books_late_ratio{rule="actual"}))'
                ),
        ),
        stat(
            title="The model does not hold",
            text="Workloads whose books are not to be believed; their setting is not changed.",
            bad_from=1,
            query=Query(
                    expr=f"count(min by ({_WORKLOAD}) (foresail_shadows_model_holds) == 0) "
                    "or 0 * max(foresail_shadows_model_holds)"
                ),
        ),
        Panel(
            title="Replica-hours of the last days, by rule",
            text="actual is what ran; the others are what a model says of the same demand.",
            kind="bargauge",
            unit="h",
            queries=(
                Query(
                    expr=f"sum by (rule) ({_books('foresail_books_replica_hours')})",
                    legend="{{rule}}",
                ),
            ),
        ),
        Panel(
            title="Late share of the last days, by rule",
            text="The mean of the workloads. A rule is better that is cheaper and not later.",
            kind="bargauge",
            unit="percentunit",
            queries=(
                Query(
                    expr=f"avg by (rule) ({_books('foresail_books_late_ratio')})",
                    legend="{{rule}}",
                ),
            ),
        ),
        Panel(
            title="The latest workloads",
            text="Ten with the largest late share, measured over the last days.",
            kind="table",
            unit="percentunit",
            queries=(
                Query(
                    expr=f"topk(10, max by ({_WORKLOAD}) "
                    '(foresail_books_late_ratio{rule="actual"}))'
                ),
            ),
        ),
        Panel(
            title="Dollars an hour",
            text="All GPUs that you pay for, and those of them that serve: mean of ten minutes.",
            unit="currencyUSD",
            width=12,
            queries=(
                Query(
                    expr=f"sum(max by ({_GPU}) "
                    f"(3600 * rate(foresail_gpu_cost_usd_total[{ROUNDS}])))",
                    legend="all",
                ),
                Query(
                    expr=f"sum(max by ({_GPU}) (3600 * rate("
                    f'foresail_gpu_cost_usd_total{{reason="serving"}}[{ROUNDS}])))',
                    legend="serving",
                ),
            ),
        ),
        Panel(
            title="Replicas of all workloads",
            text="The full plan, and what the present demand alone needs.",
            width=12,
            queries=tuple(
                Query(expr=f"sum(max by ({_WORKLOAD}) ({series}))", legend=legend)
                for series, legend in (
                    ("foresail_planned_replicas", "planned"),
                    ("foresail_reactive_replicas", "reactive"),
                    ("foresail_desired_replicas", "handed to KEDA"),
                )
            ),
        ),
    ),
)  # fmt: skip

DASHBOARD = Dashboard(
    uid="foresail-operator",
    title="Foresail: operator",
    text="Does Foresail work, and is it worth it?",
    rows=(_WORKS, _WORTH),
    since="now-24h",
)
