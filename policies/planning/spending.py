"""The money that idle capacity of a policy has cost since the first of the month.

It is counted by what stands in the cluster: empty nodes that carry our hold for a speculative
reason, and machines on their way beyond the present demand, in pools whose policy acts. Reserved
capacity costs nothing more. After `GAP_SECONDS` without a reading nothing is added.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from fleet.account.gpu_hours import GAP_SECONDS
from fleet.cluster.nodes import CapacityType
from fleet.reasons import Reason
from policies.policy.pool_policy import PoolPolicy
from policies.rules.draft import SPECULATIVE, is_empty
from policies.situation import NodeStage, PoolNode, PoolState, Spending

POLICIES_MAX: Final = 1024
_HOUR: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySpending:
    """Of one policy, in one month."""

    month: str
    """Such as `2026-11`, in the policy's time zone."""
    usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendingBook:
    """Of all policies until the last reading."""

    policies: Mapping[str, PolicySpending] = field(default_factory=dict)
    at_seconds: float | None = None
    """Of the last reading; None = there was none."""
    usd_per_hour: Mapping[str, float] = field(default_factory=dict)
    """By policy, as that reading found it."""

    def passed(self, time_zones: Mapping[str, str], now_seconds: float) -> "SpendingBook":
        """With the time since the last reading added; a clock that was set back adds nothing.

        Args:
            time_zones: of the policies in force, by name.
            now_seconds: of this reading.
        """
        since = 0.0 if self.at_seconds is None else max(0.0, now_seconds - self.at_seconds)
        hours = min(since, GAP_SECONDS) / _HOUR
        policies = {}
        for name, zone in {**dict.fromkeys(self.policies, "UTC"), **time_zones}.items():
            month = f"{datetime.fromtimestamp(now_seconds, _zone(zone)):%Y-%m}"
            before = self.policies.get(name)
            # Months compare as texts. After a clock was set back the later one stays.
            if before is None or before.month < month:
                before = PolicySpending(month=month, usd=0.0)
            added = self.usd_per_hour.get(name, 0.0) * hours
            policies[name] = replace(before, usd=before.usd + added)
        # Policies that are gone go first.
        kept = dict(sorted(policies.items(), key=lambda item: item[0] in time_zones))
        return replace(
            self, policies=dict(list(kept.items())[-POLICIES_MAX:]), at_seconds=now_seconds
        )

    @property
    def spending(self) -> Spending:
        return Spending(month_usd_by_policy={name: one.usd for name, one in self.policies.items()})


def idle_usd_per_hour(
    pools: Iterable[PoolState],
    policy_of: Callable[[PoolState], PoolPolicy | None],
    kept_because: Mapping[str, Reason],
    set_aside: Mapping[str, Collection[str]],
) -> Mapping[str, float]:
    """What the idle capacity of policies that act costs an hour, by policy.

    Args:
        pools: as they are now.
        policy_of: of a pool.
        kept_because: why nodes carry a hold of ours that has not ended, by the NodeClaim's name,
            else the Node's.
        set_aside: by pool, UIDs of the nodes that gangs run on or get.
    """
    found: dict[str, float] = {}
    for pool in pools:
        policy = policy_of(pool)
        if policy is None or not policy.act:
            continue
        held = [
            node
            for node in pool.nodes
            if is_empty(node) and not node.leaving and kept_because.get(node.name) in SPECULATIVE
        ]
        usd = sum(
            _usd_per_hour(pool, node)
            for node in (*held, *_ahead(pool, set_aside.get(pool.name, ())))
        )
        found[policy.policy] = found.get(policy.policy, 0.0) + usd
    return found


def _ahead(pool: PoolState, set_aside: Collection[str]) -> list[PoolNode]:
    """Machines on their way that neither the present demand nor a gang gets; the newest ones."""
    present = [node for node in pool.nodes if node.lasts and node.uid not in set_aside]
    used = [node for node in present if node.stage is NodeStage.INITIALIZED and not is_empty(node)]
    wanted = -(-pool.demand_gpus // pool.gpus_per_node)
    coming = sorted(
        (node for node in present if node.stage is not NodeStage.INITIALIZED),
        key=lambda node: -node.ordered_seconds,
    )
    ahead = len(present) - max(len(used), wanted)
    return coming[: max(0, int(ahead))]


def _usd_per_hour(pool: PoolState, node: PoolNode) -> float:
    if node.capacity_type is CapacityType.RESERVED:
        return 0.0
    return (node.usd_per_hour if node.usd_per_hour is not None else pool.usd_per_hour) or 0.0


def _zone(name: str) -> tzinfo:
    return UTC if name == "UTC" else ZoneInfo(name)
