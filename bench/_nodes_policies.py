"""The policies of the benchmark by name, and their runs on one place."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import ceil

import numpy as np

from bench._nodes_demand import STEP_SECONDS
from bench._nodes_oracle import oracle
from bench._nodes_peers import HybridHistogram, ski_rental_seconds
from bench._nodes_perfect import perfect
from bench._nodes_run import Place, Run, run
from policies.node_plan import NodePlan
from policies.planning.tuning import TuningRecord
from policies.policy.pool_policy import Mode, PoolPolicy
from policies.rounds import ROUND_SECONDS
from policies.rules.constants import RuleConstants
from policies.situation import PoolState, Situation
from replay.cluster.policy import Forecast
from replay.cluster.settings import PodChoice
from replay.cluster.shipped import ShippedRules
from replay.node_tuning import choose_again
from replay.pool_forecast import forecast_of
from replay.traffic import DAY_SECONDS
from scaler.forecast.trees import Trees

FIXED_MINUTES = (1, 2, 5, 10, 20, 40, 80, 160, 300)
FIXED = {f"empty-{minutes}m": 60.0 * minutes for minutes in FIXED_MINUTES}
"""WhenEmpty, `consolidateAfter` in seconds."""
FORESAIL = "foresail"
FORESAIL_PERFECT = "foresail-perfect"
"""With forecasts by hindsight: a check of the rule, no result."""
ALWAYS_ON = "always-on"
SKI_RENTAL = "ski-rental"
HYBRID = "hybrid-histogram"
ORACLE = "oracle"
REPLICA_SET = "empty-10m-replicaset"
"""The ReplicaSet's own choice of the pod that goes. With Foresail that choice follows the deletion
costs which its rules write; all others take from the emptiest node, as if by costs of their own."""
BY_RHO = (FORESAIL, FORESAIL_PERFECT, SKI_RENTAL)
"""They know what a delayed minute is worth."""
USUALLY = (FORESAIL, *FIXED, REPLICA_SET, ALWAYS_ON, SKI_RENTAL, HYBRID, ORACLE)
NAMES = (*USUALLY, FORESAIL_PERFECT)
KARPENTERS_SECONDS = 600.0
"""`consolidateAfter` of the pool under Foresail, for nodes on which it does not decide."""
TUNING_DAYS = 3
_TUNING_FROM_DAY = 2
"""The first night on which a choice is made."""


def forecasts_of(place: Place, trees: Trees | None, progress: Callable[[], None]) -> Forecast:
    """The shipped forecaster's, made once for all policies: it is shown wanted GPUs only.

    Args:
        trees: its prior; None = the shipped one.
    """
    stride = round(ROUND_SECONDS / STEP_SECONDS)
    return forecast_of(
        place.past[::stride].astype(np.float64),
        place.total[::stride].astype(np.float64),
        begin_seconds=place.begin_seconds,
        trees=trees,
        progress=progress,
    )


def policy_of(rho: float) -> Callable[[PoolState, float], PoolPolicy]:
    policy = PoolPolicy(mode=Mode.ACT, rho=rho)
    return lambda _pool, _now: policy


@dataclass(slots=True, kw_only=True)
class Draw:
    """Runs on one place, whose seed draws the starts; each is made when it is first asked for."""

    place: Place
    forecast: Forecast
    tuning: dict[float, list[TuningRecord]] = field(default_factory=dict)
    """The nightly choices, by rho."""
    _made: dict[tuple[str, float | None, RuleConstants | None], Run] = field(default_factory=dict)

    def of(self, name: str, rho: float, constants: RuleConstants | None = None) -> Run:
        key = name, rho if name in BY_RHO else None, constants
        if key not in self._made:
            self._made[key] = self._run(name, rho, constants)
        return self._made[key]

    def fixed_nightly(self, rho: float) -> Run:
        """Each night the `consolidateAfter` that was cheapest on the days before it."""
        runs = {name: self.of(name, rho) for name in FIXED}
        days = len(runs["empty-10m"].days)
        chosen = ["empty-10m"] * days
        for day in range(1, days):
            past = slice(max(0, day - TUNING_DAYS), day)
            chosen[day] = min(
                FIXED, key=lambda name: sum(d.cost_seconds(rho) for d in runs[name].days[past])
            )
        return Run(
            days=tuple(runs[name].days[day] for day, name in enumerate(chosen)),
            first_day=self.place.first_day,
        )

    def foresail_nightly(self, rho: float) -> Run:
        """Each night the rules' constants that were cheapest on the days before it."""
        rules = ShippedRules(policy_of(rho))
        records = self.tuning.setdefault(rho, [])
        nightly = _Nightly(
            rules=rules,
            choose=partial(self._choose, rho),
            records=records,
            begin_seconds=self.place.begin_seconds,
        )
        return run(
            self.place,
            consolidate_after_seconds=KARPENTERS_SECONDS,
            pod_choice=PodChoice.REPLICA_SET,
            policy=nightly,
            forecast=self.forecast,
        )

    def _choose(self, rho: float, constants: RuleConstants, day: int) -> TuningRecord:
        past = slice(max(0, day - TUNING_DAYS), day)

        def cost_of(candidate: RuleConstants) -> float:
            days = self.of(FORESAIL, rho, candidate).days[past]
            return sum(one.cost_seconds(rho) for one in days)

        at_seconds = self.place.begin_seconds + day * DAY_SECONDS
        return choose_again(constants, cost_of, at_seconds=at_seconds)

    def _run(self, name: str, rho: float, constants: RuleConstants | None) -> Run:
        if name == ORACLE:
            return oracle(self.place)
        if name in (FORESAIL, FORESAIL_PERFECT):
            return run(
                self.place,
                consolidate_after_seconds=KARPENTERS_SECONDS,
                pod_choice=PodChoice.REPLICA_SET,
                policy=ShippedRules(policy_of(rho), constants),
                forecast=self.forecast if name == FORESAIL else perfect(self.place),
            )
        return self._run_peer(name, rho)

    def _run_peer(self, name: str, rho: float) -> Run:
        place = self.place
        if name == REPLICA_SET:
            choice = PodChoice.REPLICA_SET
            return run(place, consolidate_after_seconds=FIXED["empty-10m"], pod_choice=choice)
        if name == ALWAYS_ON:
            nodes = ceil(int(place.total.max()) / place.gpus_per_node)
            return run(place, consolidate_after_seconds=None, nodes_at_start=nodes)
        if name == SKI_RENTAL:
            seconds = ski_rental_seconds(place.start_up, place.gpus_per_node, rho)
            return run(place, consolidate_after_seconds=seconds)
        if name == HYBRID:
            return run(place, consolidate_after_seconds=None, policy=HybridHistogram())
        return run(place, consolidate_after_seconds=FIXED[name])


@dataclass(slots=True, kw_only=True)
class _Nightly:
    """The shipped rules, whose constants are chosen again each midnight."""

    rules: ShippedRules
    choose: Callable[[RuleConstants, int], TuningRecord]
    records: list[TuningRecord]
    begin_seconds: float
    _day: int = 0

    def decide(self, situation: Situation) -> NodePlan:
        day = int((situation.now_seconds - self.begin_seconds) // DAY_SECONDS)
        if day > self._day:
            self._day = day
            if day >= _TUNING_FROM_DAY:
                record = self.choose(self.rules.constants, day)
                self.records.append(record)
                self.rules.constants = record.after
        return self.rules.decide(situation)


@dataclass(frozen=True, slots=True)
class Runs:
    """Runs on one place, over some draws of the times that starts take."""

    draws: Sequence[Draw]

    @property
    def place(self) -> Place:
        """That of the first draw."""
        return self.draws[0].place

    def of(self, name: str, rho: float) -> Run:
        return Run.over([draw.of(name, rho) for draw in self.draws])

    def fixed_nightly(self, rho: float) -> Run:
        return Run.over([draw.fixed_nightly(rho) for draw in self.draws])

    def foresail_nightly(self, rho: float) -> Run:
        return Run.over([draw.foresail_nightly(rho) for draw in self.draws])


def tuned_elsewhere(runs: Iterable[Runs], rho: float) -> str:
    """The `consolidateAfter` that is cheapest on average over other places."""
    others = list(runs)
    costs: Mapping[str, float] = {
        name: sum(one.of(name, rho).cost(rho) for one in others) for name in FIXED
    }
    return min(costs, key=lambda name: costs[name])
