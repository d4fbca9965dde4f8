"""For GPU nodes: why each GPU is paid for, what the rules decided, and what pods wait for.

Both replicas of the controller read the cluster and export the same; `max` counts each fact once.
"""

from scripts.dashboards.grafana import ROUNDS, Dashboard, Panel, Query, Row, Variable, stat

_GPU = "pool, generation, reason"
_POOL = 'pool=~"$pool"'
_IDLE = f'{_POOL}, reason!="serving"'


def _an_hour(series: str, chosen: str) -> str:
    rate = f"3600 * rate({series}{{{chosen}}}[{ROUNDS}])"
    return f"sum by (reason) (max by ({_GPU}) ({rate}))"


def _in_all(series: str, chosen: str) -> str:
    return f"max by ({_GPU}) (increase({series}{{{chosen}}}[$__range]))"


_COST = Row(
    title="What is paid for",
    panels=(
        stat(
            title="Dollars",
            text="Of the time shown.",
            unit="currencyUSD",
            width=6,
            query=Query(expr=f"sum({_in_all('foresail_gpu_cost_usd_total', _POOL)})"),
        ),
        stat(
            title="Dollars of GPUs that serve nothing",
            text="Of the time shown.",
            unit="currencyUSD",
            width=6,
            query=Query(expr=f"sum({_in_all('foresail_gpu_cost_usd_total', _IDLE)})"),
        ),
        stat(
            title="Of them, reserved",
            text="They cost the same unused.",
            unit="currencyUSD",
            width=6,
            query=Query(
                expr=f"sum({_in_all('foresail_gpu_cost_reserved_usd_total', _IDLE)}) "
                f"or 0 * sum({_in_all('foresail_gpu_cost_usd_total', _IDLE)})"
            ),
        ),
        stat(
            title="GPU-hours without a price",
            text="Missing in the dollars.",
            width=6,
            query=Query(
                expr=f"sum({_in_all('foresail_gpu_hours_unpriced_total', _POOL)}) "
                f"or 0 * sum({_in_all('foresail_gpu_hours_total', _POOL)})"
            ),
        ),
        Panel(
            title="GPUs, by reason",
            text="It serves, or what keeps it from that: one reason a GPU. Mean of ten minutes.",
            look="stacked",
            width=12,
            queries=(
                Query(expr=_an_hour("foresail_gpu_hours_total", _POOL), legend="{{reason}}"),
            ),
        ),
        Panel(
            title="Dollars an hour of GPUs that serve nothing, by reason",
            text="docs/cost.md says what to do about each reason. Mean of ten minutes.",
            unit="currencyUSD",
            look="stacked",
            width=12,
            queries=(
                Query(expr=_an_hour("foresail_gpu_cost_usd_total", _IDLE), legend="{{reason}}"),
            ),
        ),
        Panel(
            title="Dollars of GPUs that serve nothing, by reason",
            text="Of the time shown.",
            kind="bargauge",
            unit="currencyUSD",
            width=12,
            queries=(
                Query(
                    expr=f"sum by (reason) ({_in_all('foresail_gpu_cost_usd_total', _IDLE)})",
                    legend="{{reason}}",
                ),
            ),
        ),
        Panel(
            title="Dollars that policies held or ordered this month",
            text="Idle capacity by a policy's own decision; its ceiling ends it.",
            kind="bargauge",
            unit="currencyUSD",
            width=12,
            queries=(
                Query(
                    expr="max by (policy) (foresail_policy_month_usd)", legend="{{policy}}"
                ),
            ),
        ),
    ),
)  # fmt: skip

_NODES = Row(
    title="What was decided",
    panels=(
        Panel(
            title="Nodes, by verdict",
            text="hold, release, or leave as it is.",
            look="stacked",
            queries=(
                Query(
                    expr="sum by (verdict) (max by (pool, verdict, reason) "
                    f"(foresail_pool_nodes{{{_POOL}}}))",
                    legend="{{verdict}}",
                ),
            ),
        ),
        Panel(
            title="Nodes that are held, by reason",
            text="Why they are there without serving.",
            look="stacked",
            queries=(
                Query(
                    expr="sum by (reason) (max by (pool, verdict, reason) "
                    f'(foresail_pool_nodes{{{_POOL}, verdict="hold"}}))',
                    legend="{{reason}}",
                ),
            ),
        ),
        Panel(
            title="Nodes that are ordered, by reason",
            text="Beyond those that are there or on their way.",
            look="stacked",
            queries=(
                Query(
                    expr="sum by (reason) (max by (pool, capacity_type, reason) "
                    f"(foresail_pool_nodes_ordered{{{_POOL}}}))",
                    legend="{{reason}}",
                ),
            ),
        ),
        Panel(
            title="GPUs: demand, and the largest expected",
            text="q0.9 of the largest demand within each window from now on.",
            queries=(
                Query(
                    expr=f"sum(max by (pool) (foresail_pool_demand_gpus{{{_POOL}}}))",
                    legend="demand",
                ),
                Query(
                    expr="sum by (window_seconds) (max by (pool, window_seconds) "
                    f'(foresail_pool_forecast_gpus{{{_POOL}, quantile="0.9"}}))',
                    legend="q0.9 within {{window_seconds}} s",
                ),
            ),
        ),
        Panel(
            title="Lead time of a node",
            text="From the order to GPUs that pods can use, failed launches included.",
            unit="s",
            queries=(
                Query(
                    expr="max by (pool, quantile) "
                    f"(foresail_pool_lead_time_seconds{{{_POOL}}})",
                    legend="{{pool}} {{quantile}}",
                ),
            ),
        ),
        Panel(
            title="Late machines, by stage",
            text="GPU machines that have been in one stage for longer than usual.",
            queries=(
                Query(
                    expr="sum by (stage) (max by (pool, stage) "
                    f"(foresail_late_machines{{{_POOL}}}))",
                    legend="{{stage}}",
                ),
            ),
        ),
        Panel(
            title="Changes of API objects, by lever and outcome",
            text="Changes in ten minutes; another outcome than done is tried again.",
            queries=(
                Query(
                    expr="sum by (lever, ending) "
                    "(increase(foresail_controller_changes_total[10m]))",
                    legend="{{lever}}: {{ending}}",
                ),
            ),
        ),
        Panel(
            title="Factors of the rules",
            text="Of delayedMinuteWorth for a hold, and of a hold for an order; chosen each night.",
            queries=(
                Query(
                    expr="max by (pool, factor) "
                    f"(foresail_pool_rule_factor{{{_POOL}}})",
                    legend="{{pool}} {{factor}}",
                ),
            ),
        ),
        Panel(
            title="Replicas of the controller that may act",
            text="One; none for longer than a lease means that nothing is carried out.",
            queries=(Query(expr="sum(foresail_controller_leading)", legend="leading"),),
        ),
    ),
)  # fmt: skip

_PODS = Row(
    title="Placement of pods",
    panels=(
        Panel(
            title="GPUs that are not in use",
            text="As the extender knows them, parts of shared ones included.",
            queries=(Query(expr="max(foresail_extender_idle_gpus)", legend="idle"),),
        ),
        Panel(
            title="Time to answer kube-scheduler",
            text="The slowest of a hundred, by verb.",
            unit="s",
            queries=(
                Query(
                    expr="histogram_quantile(0.99, sum by (le, verb) "
                    "(rate(foresail_extender_request_duration_seconds_bucket[$__rate_interval])))",
                    legend="{{verb}}",
                ),
            ),
        ),
        Panel(
            title="Nodes that the filter refused, by kind",
            text="Full for now, or never able to take the pod.",
            queries=(
                Query(
                    expr="sum by (kind) "
                    "(increase(foresail_extender_refused_nodes_total[10m]))",
                    legend="{{kind}}",
                ),
            ),
        ),
    ),
)  # fmt: skip

DASHBOARD = Dashboard(
    uid="foresail-nodes",
    title="Foresail: GPU nodes",
    text="Why each GPU is paid for, and what the rules for nodes decided.",
    rows=(_COST, _NODES, _PODS),
    variables=(
        Variable(name="pool", values="label_values(foresail_gpu_hours_total, pool)", has_all=True),
    ),
    since="now-24h",
)
