"""Which rule and which setting is cheapest: over each workload, and one setting for all of them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan
from statistics import fmean, geometric_mean

from replay.contest import Entry
from replay.node_contest import GovernedSite, NodeEntry, NodeSetting
from replay.policies.behaviors import OWN
from replay.simulate import Result
from scaler.errors import ForesailError


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Setting:
    """Of one rule."""

    rule: str
    knob: float
    behavior: str = OWN
    """Of the HPA behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fared:
    """How a setting fared on one workload, over all seeds."""

    setting: Setting
    gpu_hours: float
    """Mean."""
    in_time: float
    """Of the worst seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """The best setting of one rule on one workload."""

    workload: str
    fared: Fared
    reached: bool
    """In time as often as asked, on every seed; if not, it is the setting that comes nearest."""
    times_best: float
    """GPU-hours over those of the cheapest rule that is in time as often as asked; NaN = none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForAll:
    """One setting of a rule on all workloads."""

    setting: Setting
    reached: int
    """Workloads on which it is in time as often as asked."""
    times_best: float
    """Geometric mean of its GPU-hours over each workload's best, where some setting is in time;
    NaN = on no workload."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TunedNodes:
    """The best constants of the node rules on one workload, under one policy."""

    workload: str
    policy: str
    best: NodeSetting
    shipped_cost: float
    karpenter_cost: float
    cost: float
    """Dollars a run, with what waiting is worth; mean over the seeds, as the two above."""


def tuned(results: Mapping[Entry, Result], workloads: Sequence[str], asked: float) -> list[Tuned]:
    """The best setting of each rule on each workload."""
    found: list[Tuned] = []
    for place, workload in enumerate(workloads):
        best = {rule: _best(fared, asked) for rule, fared in _by_rule(results, place).items()}
        in_time = [one.gpu_hours for one in best.values() if one.in_time >= asked]
        cheapest = min(in_time, default=float("nan"))
        found += [
            Tuned(
                workload=workload,
                fared=one,
                reached=one.in_time >= asked,
                times_best=one.gpu_hours / cheapest,
            )
            for one in best.values()
        ]
    return found


def for_all(
    results: Mapping[Entry, Result], workloads: Sequence[str], asked: float
) -> list[ForAll]:
    """The setting of each rule that is in time on most workloads, and cheapest among those."""
    # Of the workloads on which some setting is in time as often as asked.
    cheapest: dict[int, float] = {}
    for place in range(len(workloads)):
        in_time = [
            one.gpu_hours
            for fared in _by_rule(results, place).values()
            for one in fared
            if one.in_time >= asked
        ]
        if in_time:
            cheapest[place] = min(in_time)
    by_setting: defaultdict[Setting, list[tuple[int, Fared]]] = defaultdict(list)
    for place in range(len(workloads)):
        for fared in _by_rule(results, place).values():
            for one in fared:
                by_setting[one.setting].append((place, one))
    best: dict[str, tuple[tuple[float, float], ForAll]] = {}
    for setting, runs in by_setting.items():
        ratios = [one.gpu_hours / cheapest[place] for place, one in runs if place in cheapest]
        this = ForAll(
            setting=setting,
            reached=sum(one.in_time >= asked for _, one in runs),
            times_best=geometric_mean(ratios) if ratios else nan,
        )
        cost = this.times_best if ratios else fmean(one.gpu_hours for _, one in runs)
        rank = (-this.reached, cost)
        if setting.rule not in best or rank < best[setting.rule][0]:
            best[setting.rule] = rank, this
    return [this for _, this in best.values()]


def tuned_nodes(
    results: Mapping[NodeEntry, tuple[NodeSetting, ...]],
    workloads: Sequence[str],
    sites: Sequence[GovernedSite],
) -> list[TunedNodes]:
    """The cheapest constants for each workload and policy, dollars and waits together."""
    found = []
    for place, workload in enumerate(workloads):
        for number, site in enumerate(sites):
            seeds = [
                runs
                for entry, runs in results.items()
                if (entry.scenario, entry.site) == (place, number)
            ]
            settings = [_mean(same) for same in zip(*seeds, strict=True)]
            costs = [one.cost(site.usd_per_delayed_minute) for one in settings]
            # The first is Karpenter alone, the second the shipped constants.
            least = min(range(1, len(costs)), key=lambda one: costs[one])
            found.append(
                TunedNodes(
                    workload=workload,
                    policy=site.name,
                    best=settings[least],
                    shipped_cost=costs[1],
                    karpenter_cost=costs[0],
                    cost=costs[least],
                )
            )
    return found


def _by_rule(results: Mapping[Entry, Result], scenario: int) -> dict[str, list[Fared]]:
    runs: defaultdict[Setting, list[Result]] = defaultdict(list)
    for entry, result in results.items():
        if entry.scenario == scenario:
            setting = Setting(rule=entry.policy, knob=entry.knob, behavior=entry.behavior)
            runs[setting].append(result)
    by_rule: defaultdict[str, list[Fared]] = defaultdict(list)
    for setting, same in runs.items():
        if any(one.gpu_hours <= 0 for one in same):
            raise ForesailError(
                f"{setting.rule} had no replica for the whole time: nothing to tune"
            )
        by_rule[setting.rule].append(
            Fared(
                setting=setting,
                gpu_hours=fmean(one.gpu_hours for one in same),
                in_time=min(one.attainment for one in same),
            )
        )
    return dict(by_rule)


def _best(fared: Sequence[Fared], asked: float) -> Fared:
    reached = [one for one in fared if one.in_time >= asked]
    if reached:
        return min(reached, key=lambda one: (one.gpu_hours, one.setting))
    return max(fared, key=lambda one: (one.in_time, -one.gpu_hours))


def _mean(same: Sequence[NodeSetting]) -> NodeSetting:
    return NodeSetting(
        hold_factor=same[0].hold_factor,
        order_factor=same[0].order_factor,
        usd=fmean(one.usd for one in same),
        gpu_hours=fmean(one.gpu_hours for one in same),
        delayed_minutes=fmean(one.delayed_minutes for one in same),
    )
