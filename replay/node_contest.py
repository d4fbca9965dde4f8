"""Many runs of nodes under the replicas of one rule, by policy and by the rules' constants."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter

from policies.policy.schema import CapacityPolicy
from policies.rules.constants import RuleConstants
from replay.cluster.policy import NodePolicy
from replay.cluster.shipped import ShippedRules
from replay.contest import Entry, Scenario, drawn_of, run_entry
from replay.kept_runs import key_of, resumed
from replay.node_demand import demand_of
from replay.node_run import NodeRuns, NodeSite, acting
from replay.node_tuning import HOLD_FACTORS, ORDER_FACTORS
from replay.spread import Spread, on_local_cores


@dataclass(frozen=True, slots=True, kw_only=True)
class GovernedSite:
    """A pool under the policies of one file or name."""

    name: str
    """Of the policy."""
    site: NodeSite
    policies: tuple[CapacityPolicy, ...]
    usd_per_delayed_minute: float
    """Of one pod."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NodeScenarios:
    """What runs of nodes are made from."""

    scenarios: tuple[Scenario, ...]
    sites: tuple[GovernedSite, ...]
    rule: str
    knob: float
    """The rule that asks for the replicas, and its setting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeEntry:
    """One workload under one policy, with every setting of `constants_tried`."""

    scenario: int
    site: int
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSetting:
    """What came of one setting; None as factors = Karpenter alone."""

    hold_factor: float | None
    order_factor: float | None
    usd: float
    gpu_hours: float
    delayed_minutes: float

    def cost(self, usd_per_delayed_minute: float) -> float:
        """Dollars, with what the policy says that waiting is worth."""
        return self.usd + self.delayed_minutes * usd_per_delayed_minute


_SETTINGS = TypeAdapter(tuple[NodeSetting, ...])


def constants_tried() -> tuple[RuleConstants, ...]:
    """The shipped constants, then each factor's grid with the other as shipped."""
    shipped = RuleConstants()
    holds = (replace(shipped, hold_factor=one) for one in HOLD_FACTORS)
    orders = (replace(shipped, order_factor=one) for one in ORDER_FACTORS)
    return tuple(dict.fromkeys((shipped, *holds, *orders)))


def node_contest(
    given: NodeScenarios,
    entries: Sequence[NodeEntry],
    *,
    kept: Path | None = None,
    progress: Callable[[], None] = lambda: None,
    spread: Spread = on_local_cores,
) -> dict[NodeEntry, tuple[NodeSetting, ...]]:
    """Run the entries; arguments as those of `contest`."""
    digests = [scenario.digest() for scenario in given.scenarios]
    tried = constants_tried()
    keys = {
        one: key_of(
            "nodes", digests[one.scenario], given.sites[one.site], given.rule, given.knob,
            one.seed, tried,
        )
        for one in entries
    }  # fmt: skip
    return resumed(
        keys,
        lambda missing: spread(given, run_nodes, missing),
        kept=kept,
        adapter=_SETTINGS,
        progress=progress,
    )


def run_nodes(given: NodeScenarios, entry: NodeEntry) -> tuple[NodeSetting, ...]:
    """Karpenter alone, then every setting: one run each."""
    rule = Entry(
        scenario=entry.scenario, policy=given.rule, knob=given.knob, seed=entry.seed, marks=True
    )
    result = run_entry(given.scenarios, rule)
    demand = demand_of(drawn_of(given.scenarios[entry.scenario], entry.seed), result)
    governed = given.sites[entry.site]
    tried: dict[str, RuleConstants | None] = {"": None}
    tried |= {f"{one.hold_factor:g} {one.order_factor:g}": one for one in constants_tried()}
    policies: dict[str, NodePolicy | None] = {
        name: None if one is None else ShippedRules(acting(governed.policies), one)
        for name, one in tried.items()
    }
    outcomes = NodeRuns(demand=demand, site=governed.site, seed=entry.seed).of(policies)
    return tuple(
        NodeSetting(
            hold_factor=None if constants is None else constants.hold_factor,
            order_factor=None if constants is None else constants.order_factor,
            usd=outcomes[name].usd,
            gpu_hours=outcomes[name].gpu_hours,
            delayed_minutes=outcomes[name].delayed_minutes,
        )
        for name, constants in tried.items()
    )
