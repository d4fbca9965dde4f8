"""For one workload: demand and its band, the plan, the replicas that are ready, the latencies."""

from scripts.dashboards.grafana import Dashboard, Panel, Query, Row, Variable, stat

_ONE = 'namespace="$namespace", scaled_object="$scaled_object"'
_READY = 'signal="replicas"'
_UNMEASURED = 'state=~"stale|absent"'


def _of(series: str, *more: str) -> str:
    return f"{series}{{{', '.join((_ONE, *more))}}}"


def _largest(series: str, *more: str) -> Query:
    """Of the replicas of `foresail serve`, each of which exports its own sample."""
    return Query(expr=f"max({_of(series, *more)})")


def _signals(*signals: str) -> tuple[Query, ...]:
    chosen = f'signal=~"{"|".join(signals)}"'
    expr = f"max by (signal) ({_of('foresail_reading', chosen)})"
    return (Query(expr=expr, legend="{{signal}}"),)


def _latency(signal: str, name: str, text: str) -> Panel:
    chosen = f'signal="{signal}"'
    return Panel(
        title=f"{name}, p95",
        text=text,
        unit="s",
        queries=(
            Query(expr=f"max({_of('foresail_reading', chosen)})", legend="measured"),
            Query(expr=f"max({_of('foresail_objective_seconds', chosen)})", legend="objective"),
        ),
    )


_REPLICAS = Row(
    title="Replicas",
    panels=(
        stat(
            title="Handed to KEDA",
            text="Nothing in mode advise.",
            query=_largest("foresail_desired_replicas"),
        ),
        stat(
            title="Ready",
            text="Engine replicas that report and are awake.",
            query=_largest("foresail_reading", _READY),
        ),
        stat(
            title="Stuck",
            text="Ordered half an hour ago or more, and never ready.",
            bad_from=1,
            query=_largest("foresail_stuck_replicas"),
        ),
        stat(
            title="Lead time, learned",
            text="From one more replica to one that serves.",
            unit="s",
            query=_largest("foresail_learned_lead_seconds"),
        ),
        stat(
            title="Age of the reading",
            text="Behind the answer; in mode advise, behind the plan.",
            unit="s",
            bad_from=120,
            query=Query(expr=f"min({_of('foresail_reading_age_seconds')})"),
        ),
        stat(
            title="KEDA last asked",
            text="To half a minute. It grows while the ScaledObject is paused.",
            unit="s",
            query=Query(expr=f"min({_of('foresail_asked_age_seconds')})"),
        ),
        Panel(
            title="Plan and ready replicas",
            text="The plan runs ahead of the ready replicas by the lead time.",
            width=24,
            queries=(
                Query(expr=f"max({_of('foresail_planned_replicas')})", legend="planned"),
                Query(expr=f"max({_of('foresail_reactive_replicas')})", legend="reactive"),
                Query(expr=f"max({_of('foresail_desired_replicas')})", legend="handed to KEDA"),
                Query(expr=f"max({_of('foresail_reading', _READY)})", legend="ready"),
            ),
        ),
    ),
)  # fmt: skip

_DIMENSION = 'dimension="$dimension"'
_AT_HORIZON = (_DIMENSION, 'horizon_seconds="$horizon"')

_DEMAND = Row(
    title="Demand, and the forecast of it",
    panels=(
        Panel(
            title="$dimension: demand, and the band forecast for that moment",
            text="The forecast is shown $horizon s later, at the time that it was made for.",
            width=12,
            queries=(
                Query(expr=f"max({_of('foresail_demand', _DIMENSION)})", legend="demand"),
                Query(
                    expr="max by (quantile) "
                    f"({_of('foresail_forecast_demand', *_AT_HORIZON)} offset ${{horizon}}s)",
                    legend="forecast q{{quantile}}",
                ),
            ),
        ),
        Panel(
            title="$dimension: demand, and the forecast made then",
            text="The band for $horizon s ahead, at the time that it was made.",
            width=12,
            queries=(
                Query(expr=f"max({_of('foresail_demand', _DIMENSION)})", legend="demand"),
                Query(
                    expr="max by (quantile) "
                    f"({_of('foresail_forecast_demand', *_AT_HORIZON)})",
                    legend="q{{quantile}} in $horizon s",
                ),
            ),
        ),
        Panel(
            title="Skill of the last day, by horizon",
            text="0 is 'the same as now'; below 0 a forecast counts less, or not at all.",
            unit="percentunit",
            queries=(
                Query(
                    expr="max by (horizon_seconds) "
                    f"({_of('foresail_forecast_skill_ratio', _DIMENSION)})",
                    legend="{{horizon_seconds}} s",
                ),
            ),
        ),
        Panel(
            title="Start-up time, by tier",
            text="The fastest first: such as sleeping engines, cached images, new nodes.",
            unit="s",
            queries=(
                Query(
                    expr=f"max by (tier) ({_of('foresail_start_tier_seconds')})",
                    legend="tier {{tier}}",
                ),
            ),
        ),
        Panel(
            title="Signals that are not measured",
            text="A stale or absent signal holds the plan: it may grow, and not shrink.",
            kind="table",
            queries=(
                Query(
                    expr="max by (signal, state) "
                    f"({_of('foresail_signal_state', _UNMEASURED)})"
                ),
            ),
        ),
    ),
)  # fmt: skip

_SERVICE = Row(
    title="Service",
    panels=(
        _latency(
            "ttft", "Time to first token", "Above the objective: too few replicas were ready."
        ),
        _latency("itl", "Inter-token latency", "Above the objective: replicas decode too many."),
        Panel(
            title="Requests",
            text="Those that run, and those that wait: replicas shorten the queue.",
            queries=_signals("running", "waiting", "waiting_deferred"),
        ),
        Panel(
            title="KV cache in use",
            text="The mean of the replicas.",
            unit="percentunit",
            queries=_signals("kv_use"),
        ),
        Panel(
            title="Replica-hours of the last days, by rule",
            text="actual is what ran; the others are what a model says of the same demand.",
            kind="bargauge",
            unit="h",
            queries=(
                Query(
                    expr=f"max by (rule) ({_of('foresail_books_replica_hours')})",
                    legend="{{rule}}",
                ),
            ),
        ),
        Panel(
            title="Late share of the last days, by rule",
            text="actual is measured.",
            kind="bargauge",
            unit="percentunit",
            queries=(
                Query(
                    expr=f"max by (rule) ({_of('foresail_books_late_ratio')})",
                    legend="{{rule}}",
                ),
            ),
        ),
    ),
)

_FORECAST_OF = f"foresail_forecast_demand{{{_ONE}}}"

DASHBOARD = Dashboard(
    uid="foresail-workload",
    title="Foresail: workload",
    text="One workload: its demand, the band, the plan, and what its users see.",
    rows=(_REPLICAS, _DEMAND, _SERVICE),
    variables=(
        Variable(name="namespace", values="label_values(foresail_planned_replicas, namespace)"),
        Variable(
            name="scaled_object",
            values='label_values(foresail_planned_replicas{namespace="$namespace"}, scaled_object)',
        ),
        Variable(name="dimension", values=f"label_values({_FORECAST_OF}, dimension)"),
        Variable(
            name="horizon",
            values=f"label_values({_FORECAST_OF}, horizon_seconds)",
            numeric=True,
        ),
    ),
)
