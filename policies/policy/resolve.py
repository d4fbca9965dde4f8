"""A policy and a pool to the record that the rules read: the one place where a value is chosen."""

from collections.abc import Iterable, Mapping
from math import inf
from typing import Any, TypeVar

from policies.policy.cross_rules import PolicyPart
from policies.policy.groups import DelayedMinuteWorth
from policies.policy.pool_policy import RHO_DEFAULT, PoolPolicy, SpotHedge
from policies.policy.quiet_budgets import quiet_budget
from policies.policy.schema import CapacityPolicy, CapacityPolicySpec, PoolRule, PoolSettings
from policies.policy.selectors import Pool
from scaler.errors import ForesailError

_AS_A_WHOLE = frozenset({DelayedMinuteWorth})
"""Groups whose keys exclude each other, so that a rule's replaces the policy's."""

Group = TypeVar("Group", bound=PolicyPart)


class PolicyOverlapError(ForesailError):
    """Two policies want the same pool; the message names both."""


def policy_for(
    policies: Iterable[CapacityPolicy], pool: Pool, now_seconds: float
) -> PoolPolicy | None:
    """What the policies say of a pool at one moment; None = none matches it.

    Raises:
        PolicyOverlapError: two match it.
    """
    policy = governing(policies, pool)
    return None if policy is None else pool_policy(policy, pool, now_seconds)


def governing(policies: Iterable[CapacityPolicy], pool: Pool) -> CapacityPolicy | None:
    """The policy of a pool; None = none matches it, and the pool is left alone.

    Raises:
        PolicyOverlapError: two match it.
    """
    found = [one for one in policies if one.spec.pools is None or one.spec.pools.matches(pool)]
    if len(found) > 1:
        names = " and ".join(repr(one.name) for one in found)
        raise PolicyOverlapError(
            f"pool {pool.name!r} is in the policies {names}: a pool has one; narrow spec.pools of "
            "one of them, or join them and use rules"
        )
    return found[0] if found else None


def pool_policy(policy: CapacityPolicy, pool: Pool, now_seconds: float) -> PoolPolicy:
    """What a policy says of one of its pools at one moment."""
    spec, notes = _with_rules(policy.spec, pool)
    rho, note = _rho(spec.delayed_minute_worth, pool)
    floor_nodes, floor_until = _floor(spec, pool, now_seconds)
    quiet = [one.end_of_span_at(now_seconds, spec.time_zone) for one in spec.quiet_hours]
    ceiling, veto = spec.idle_ceiling, spec.model_loading_veto
    return PoolPolicy(
        policy=policy.name,
        mode=spec.mode,
        rho=rho,
        trust=spec.forecast_trust,
        warm_floor_nodes=floor_nodes,
        warm_floor_until_seconds=floor_until,
        idle_usd_per_hour_max=ceiling.usd_per_hour if ceiling else None,
        idle_usd_per_month_max=ceiling.usd_per_month if ceiling else None,
        time_zone=spec.time_zone,
        spot_hedge=SpotHedge(
            on_demand_share=spec.spot_hedge.on_demand_share, spare_nodes=spec.spot_hedge.spare_nodes
        ),
        levers=spec.levers.allowed,
        hold_lease_seconds=spec.hold_lease,
        veto_seconds=veto.longest if veto.enabled else None,
        keep_new_nodes_seconds=spec.keep_new_nodes,
        quiet_until_seconds=max((end for end in quiet if end is not None), default=None),
        quiet_budgets=tuple(
            quiet_budget(one, spec.time_zone, now_seconds) for one in spec.quiet_hours
        ),
        tuning=spec.tuning,
        notes=(*notes, *([note] if note else [])),
    )


def _with_rules(spec: CapacityPolicySpec, pool: Pool) -> tuple[CapacityPolicySpec, list[str]]:
    """The spec as it is for this pool, and which settings come from which rules."""
    found = [rule for rule in spec.rules if rule.match.matches(pool)]
    # Sorting keeps the order of equals, and of equals the first in the file is applied last.
    found.reverse()
    found.sort(key=lambda rule: rule.match.specificity(pool))
    by_rule: dict[str, str] = {}
    for rule in found:
        stated = _stated(rule)
        spec = _changed(spec, stated)
        for name, value in stated.items():
            earlier = f"{by_rule[name]}, then " if name in by_rule and _merged(value) else ""
            by_rule[name] = f"{earlier}{rule.name!r}"
    fields = PoolSettings.model_fields
    return spec, [f"{fields[name].alias or name} by rule {by}" for name, by in by_rule.items()]


def _stated(rule: PoolRule) -> dict[str, Any]:
    """The settings that a rule states, also where they are the default."""
    return {
        name: getattr(rule, name)
        for name in PoolSettings.model_fields
        if name in rule.model_fields_set
    }


def _changed(base: Group, stated: Mapping[str, Any]) -> Group:
    """A group with other values; of a group inside it only the keys that are stated."""
    update: dict[str, Any] = {}
    for name, value in stated.items():
        if _merged(value):
            keys = {key: getattr(value, key) for key in value.model_fields_set}
            update[name] = _changed(getattr(base, name), keys)
        else:
            update[name] = value
    return base.model_copy(update=update)


def _merged(value: Any) -> bool:
    """Whether a rule's value leaves the keys that it does not state as they are."""
    return isinstance(value, PolicyPart) and type(value) not in _AS_A_WHOLE


def _rho(worth: DelayedMinuteWorth, pool: Pool) -> tuple[float, str | None]:
    """Idle GPU-minutes that a delayed pod-minute is worth, and what to know of it."""
    if worth.gpu_minutes is not None:
        return worth.gpu_minutes, None
    assert worth.usd is not None
    if not pool.usd_per_hour or not pool.gpus_per_node:
        return RHO_DEFAULT, (
            f"a delayed minute is worth ${worth.usd:g}, and the price of the pool's nodes is not "
            f"known: {RHO_DEFAULT:g} GPU-minutes are taken"
        )
    gpu_minute_usd = pool.usd_per_hour / pool.gpus_per_node / 60
    rho = worth.usd / gpu_minute_usd
    return rho, (
        f"a delayed minute is worth ${worth.usd:g}: {rho:.3g} GPU-minutes of ${gpu_minute_usd:.3g}"
    )


def _floor(spec: CapacityPolicySpec, pool: Pool, now_seconds: float) -> tuple[int, float | None]:
    """Nodes of the largest floor that is now, and when it ends; None = it does not, or is none."""
    ends = (
        (floor.nodes_of(pool.gpus_per_node), floor.end_of_span_at(now_seconds, spec.time_zone))
        for floor in spec.warm_floors
    )
    now = [(nodes, end) for nodes, end in ends if end is not None]
    nodes, end = max(now, default=(0, inf))
    return nodes, end if nodes and end < inf else None
