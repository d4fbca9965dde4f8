"""Renders advice on GPU nodes as tables for a terminal, and as JSON."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Final

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from foresail.figures import UNKNOWN, camel, dollars, gpus
from foresail.policy.advice import Advice
from policies.node_plan import NodeDecision, NodeOrder, PoolPlan, Step, Verdict
from policies.planning.tuning import TunedPools
from policies.policy.pool_policy import PoolPolicy
from policies.rules.constants import RuleConstants
from policies.situation import NodeStage, PoolNode, PoolState
from scaler.durations import format_duration
from scaler.forecast.running_maximum import MaximumForecast

_STYLES: Final[Mapping[Verdict, str]] = {
    Verdict.HOLD: "green",
    Verdict.RELEASE: "magenta",
    Verdict.LEAVE: "",
}
_ORDER_STYLE: Final = "cyan"
_WINDOWS_SHOWN: Final = (1200.0, 9600.0)
_LEVEL_SHOWN: Final = 0.9
_FIRST_SHOWN: Final = 4
_REMARKS_SHOWN: Final = 8


def render(advice: Sequence[Advice], unreadable: Sequence[str]) -> RenderableType:
    """A table for each pool, with the steps that led to it below."""
    parts: list[RenderableType] = []
    for one in advice:
        parts.append(Text(_title(one), style="bold"))
        states = {pool.name: pool for pool in one.round.situation.pools}
        for plan in one.round.plan.pools:
            parts += _pool(states[plan.pool], plan, one.round.policies.get(plan.pool))
        if not states:
            parts.append(Text("no pool with GPUs is there", style="yellow"))
        remarks = [*one.remarks, *one.round.remarks]
        more = len(remarks) - _REMARKS_SHOWN
        parts += [Text(line, style="yellow") for line in remarks[:_REMARKS_SHOWN]]
        parts += [Text(f"and {more} more: -o json", style="yellow")] if more > 0 else []
    parts += [Text(f"not shown: {line}", style="bold red") for line in unreadable]
    return Group(*parts)


def payload(advice: Sequence[Advice], unreadable: Sequence[str]) -> dict[str, object]:
    """All data as JSON, with null for unknown values."""
    return {"clusters": list(map(cluster_payload, advice)), "notShown": list(unreadable)}


def cluster_payload(advice: Advice) -> dict[str, object]:
    """All data of one cluster."""
    found = camel(
        {
            "cluster": advice.cluster,
            "at": _moment(advice.at_seconds),
            "recorded": advice.recorded,
            "pools": list(_pool_payloads(advice)),
            "remarks": [*advice.remarks, *advice.round.remarks],
        }
    )
    assert isinstance(found, dict)
    return found


def _title(advice: Advice) -> str:
    of = ", the newest time stamp in its record" if advice.recorded else ""
    return f"{advice.cluster} at {_moment(advice.at_seconds)}{of}"


def _pool(state: PoolState, plan: PoolPlan, policy: PoolPolicy | None) -> Iterator[RenderableType]:
    yield Text()
    yield Text(_head(state, policy), style="bold")
    yield Text(_demand(state))
    yield _table(state, plan)
    for step in plan.steps:
        yield Text(f"  {step_text(step)}", style="dim")
    for what, costs in (("deletion", plan.deletion_costs), ("disruption", plan.disruption_costs)):
        if costs:
            yield Text(f"  {_first_to_go(state, costs, what)}", style="dim")


def _head(state: PoolState, policy: PoolPolicy | None) -> str:
    kind = ", ".join(filter(None, (state.generation, state.capacity_type)))
    by = f"policy {policy.policy} ({policy.mode.value})" if policy is not None else "no policy"
    of = f"nodes of {state.gpus_per_node} GPUs"
    return f"pool {state.name}: {of}{f', {kind}' if kind else ''}; {by}"


def _demand(state: PoolState) -> str:
    text = f"demand {gpus(state.demand_gpus)} GPUs"
    forecast = state.forecast
    if forecast is not None:
        text += f"; by the forecast {_reach(forecast)} with {_LEVEL_SHOWN:.0%} probability"
    return f"{text}; a new node takes {format_duration(round(state.lead_time.boot_seconds))}"


def _reach(forecast: MaximumForecast) -> str:
    level = min(
        range(len(forecast.levels)), key=lambda one: abs(forecast.levels[one] - _LEVEL_SHOWN)
    )
    shown = [
        (seconds, row[level])
        for seconds, row in zip(forecast.windows_seconds, forecast.quantiles, strict=True)
        if seconds in _WINDOWS_SHOWN
    ]
    parts = [f"{gpus(value)} in {format_duration(seconds)}" for seconds, value in shown]
    return f"at most {', '.join(parts)}" if parts else UNKNOWN


def _table(state: PoolState, plan: PoolPlan) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("node", overflow="ellipsis", no_wrap=True, max_width=32)
    for head in ("GPUs", "$/h"):
        table.add_column(head, justify="right", no_wrap=True)
    for head in ("verdict", "reason", "until, UTC"):
        table.add_column(head, no_wrap=True)
    table.add_column("why", overflow="fold", ratio=1)
    nodes = {node.uid: node for node in state.nodes}
    for decision in plan.nodes:
        node = nodes[decision.uid]
        table.add_row(
            decision.node,
            used_text(node),
            UNKNOWN if node.usd_per_hour is None else dollars(node.usd_per_hour),
            Text(decision.verdict.value, style=_STYLES[decision.verdict]),
            decision.reason.value if decision.reason is not None else "serves",
            _until(decision),
            "\n".join(map(step_text, decision.steps)),
        )
    for order in plan.orders:
        table.add_row(*_order(state, order))
    return table


def used_text(node: PoolNode) -> str:
    if node.stage is not NodeStage.INITIALIZED:
        return node.stage.value
    return f"{gpus(sum(pod.gpus for pod in node.pods))}/{node.gpus}"


def order_text(order: NodeOrder) -> str:
    of = f" {order.capacity_type.value}" if order.capacity_type is not None else ""
    return f"+ {order.nodes}{of} {'node' if order.nodes == 1 else 'nodes'}"


def _order(state: PoolState, order: NodeOrder) -> list[RenderableType]:
    usd = state.usd_per_hour_ordered
    return [
        Text(order_text(order), style=_ORDER_STYLE),
        f"0/{order.nodes * state.gpus_per_node}",
        UNKNOWN if usd is None else dollars(usd * order.nodes),
        Text("order", style=_ORDER_STYLE),
        order.reason.value,
        "",
        "\n".join(map(step_text, order.steps)),
    ]


def _until(decision: NodeDecision) -> str:
    if decision.until_seconds is None:
        return ""
    return f"{datetime.fromtimestamp(decision.until_seconds, UTC):%H:%M:%S}"


def step_text(step: Step) -> str:
    return f"{step.rule}: {step.text}"


def _first_to_go(state: PoolState, costs: Mapping[str, int], what: str) -> str:
    names = {pod.uid: pod.name for node in state.nodes for pod in node.pods}
    ranked = sorted(costs, key=lambda uid: (costs[uid], names.get(uid, uid)))
    shown = ", ".join(names.get(uid, uid) for uid in ranked[:_FIRST_SHOWN])
    more = f" and {len(ranked) - _FIRST_SHOWN} more" if len(ranked) > _FIRST_SHOWN else ""
    return f"pods by {what} cost, the first to go first: {shown}{more}"


def _pool_payloads(advice: Advice) -> Iterator[dict[str, object]]:
    states = {pool.name: pool for pool in advice.round.situation.pools}
    for plan in advice.round.plan.pools:
        state, policy = states[plan.pool], advice.round.policies.get(plan.pool)
        yield {
            "pool": plan.pool,
            "generation": state.generation,
            "gpus_per_node": state.gpus_per_node,
            "demand_gpus": state.demand_gpus,
            "usd_per_hour_of_a_node": state.usd_per_hour,
            "lead_time": asdict(state.lead_time),
            "forecast": _forecast(state.forecast),
            "policy": policy.policy if policy is not None else None,
            "mode": policy.mode.value if policy is not None else None,
            "constants": _factors(advice.round.constants.get(plan.pool)),
            "tuning": _tuning(advice.round.tuned, plan.pool),
            "nodes": [_decision(one) for one in plan.nodes],
            "orders": [asdict(one) for one in plan.orders],
            "steps": [asdict(one) for one in plan.steps],
            "pod_deletion_costs": _costs(plan.deletion_costs),
            "pod_disruption_costs": _costs(plan.disruption_costs),
        }


def _forecast(forecast: MaximumForecast | None) -> dict[str, object] | None:
    if forecast is None:
        return None
    return {
        "made_at": _moment(forecast.made_at_seconds),
        "windows_seconds": list(forecast.windows_seconds),
        "levels": list(forecast.levels),
        "quantiles_gpus": [list(row) for row in forecast.quantiles],
    }


def _factors(constants: RuleConstants | None) -> dict[str, object] | None:
    if constants is None:
        return None
    return {"hold_factor": constants.hold_factor, "order_factor": constants.order_factor}


def _tuning(tuned: TunedPools, pool: str) -> dict[str, object] | None:
    """The last night's choice with all that it was chosen from, and why a later one made none."""
    record, without = tuned.records.get(pool), tuned.without.get(pool)
    found: dict[str, object] = {}
    if record is not None:
        found["chosen"] = {
            "at": _moment(record.at_seconds),
            "before": _factors(record.before),
            "after": _factors(record.after),
            "evidence": [asdict(one) for one in record.evidence],
            "text": record.text,
        }
    if without is not None:
        found["no_choice"] = {"at": _moment(without.at_seconds), "why": without.why}
    return found or None


def _decision(decision: NodeDecision) -> dict[str, object]:
    until = decision.until_seconds
    values = asdict(decision)
    del values["until_seconds"]
    return {**values, "until": None if until is None else _moment(until)}


def _costs(costs: Mapping[str, int]) -> list[dict[str, object]]:
    """As a list: UIDs are no names of fields."""
    return [{"pod_uid": uid, "cost": cost} for uid, cost in costs.items()]


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
