"""The one assembly of a node plan: reading, lead times, loads, plans and policies, to decisions.

The controller, `foresail advise` and tests call this, so that they decide alike. Replay's cluster
gives pools, so that it begins there: it shares `PoolDemand` for part 2 and 3, and `decide_pools`
for part 4. A round has these parts:

1. `assess` makes pools of the reading.
2. Planned replicas without pods are added to the demand, and the demand to each pool's past, both
   of the workloads that the pool's policy is about.
3. Each pool gets its forecast: of its past, or of its workloads' plans while that is short.
4. `decide_pools` applies the rules.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from fleet.account.gpu_hours import GAP_SECONDS
from fleet.account.lead_times import LeadTimes
from fleet.account.loading import PodLoad
from fleet.cluster.hardware import Prices
from fleet.cluster.owners import Workload
from fleet.cluster.reading import Cluster
from fleet.reasons import Reason
from fleet.snapshot import FleetSnapshot
from policies.decide import DecisionState
from policies.lead_time import PoolLeadTimes
from policies.node_plan import NodePlan
from policies.planning.coverage import Selectors, covered_pool, is_covered
from policies.planning.demand import MakeForecaster, PoolDemands, SavedDemand
from policies.planning.planned_maxima import planned_forecasts
from policies.planning.planned_replicas import (
    UsualPool,
    planned_demand,
    usual_pod_gpus,
    usual_pools_of,
)
from policies.planning.policy_choice import PolicyChoice
from policies.planning.pool_decisions import decide_pools
from policies.planning.spending import SpendingBook, idle_usd_per_hour
from policies.planning.tuning import (
    NoChoice,
    TunedPools,
    TuningInput,
    TuningRecord,
)
from policies.policy.pool_policy import PoolPolicy
from policies.policy.schema import CapacityPolicy
from policies.reading.assess import Assessment, Beside, assess
from policies.reading.nodes import NodesSeen
from policies.reading.runs import GangEnds
from policies.rounds import Emptied
from policies.rules.constants import RuleConstants
from policies.situation import PoolState, Situation
from scaler.forecast.maximum.forecaster import RunningMaximumForecaster
from scaler.forecast.running_maximum import MaximumForecast

_FORECAST_OF_PLANS: Final = (
    "its own past is too short for a forecast, so the plans of its workloads give it"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundInput:
    """All that a round is made of, beside what is remembered."""

    cluster: Cluster
    snapshot: FleetSnapshot
    """Of the same reading."""
    lead_times: LeadTimes
    loads: tuple[PodLoad, ...] | None = ()
    """Of pods with GPUs; None = pods were not read."""
    policies: tuple[CapacityPolicy, ...]
    planned: Mapping[Workload, float] = field(default_factory=dict)
    """Replicas that plans want, by workload."""
    planned_maxima: Mapping[Workload, MaximumForecast] = field(default_factory=dict)
    """The largest number of replicas wanted from now on, by workload; of plans whose forecast has
    shown its skill."""
    plans_missing: str | None = None
    """Why no plans are known although some are expected. Then no forecast counts: holds run out,
    and nothing is ordered ahead of demand."""
    prices: Prices = field(default_factory=Prices)
    """With the machine types."""
    emptied: Mapping[str, Emptied] = field(default_factory=dict)
    """How Nodes lost their pods, by name, where that was seen between rounds."""
    gang_ends: GangEnds = field(default_factory=GangEnds)
    """As their training runs tell."""
    now_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRound:
    """What a round found and decided."""

    plan: NodePlan
    situation: Situation
    policies: Mapping[str, PoolPolicy]
    """By pool; of pools that a policy covers."""
    constants: Mapping[str, RuleConstants]
    """In force, of the same pools."""
    tuned: TunedPools
    """Of those whose policy has their constants chosen again each night."""
    remarks: tuple[str, ...]
    """Of what could not be counted or is left alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanningState:
    """What is remembered from one round to the next, and over restarts."""

    decisions: DecisionState = field(default_factory=DecisionState)
    seen: NodesSeen = field(default_factory=NodesSeen)
    usual_pools: Mapping[Workload, UsualPool] = field(default_factory=dict)
    spending: SpendingBook = field(default_factory=SpendingBook)
    demand: Mapping[str, SavedDemand] = field(default_factory=dict)
    """By pool."""
    tuned: TunedPools = field(default_factory=TunedPools)


class NodePlanning:
    """Plans the nodes of one cluster, round by round. It reads no clock and does no I/O."""

    def __init__(
        self,
        state: PlanningState | None = None,
        *,
        make_forecaster: MakeForecaster = RunningMaximumForecaster,
    ) -> None:
        state = state or PlanningState()
        self._decisions = state.decisions
        self._seen = state.seen
        self._usual_pools = state.usual_pools
        self._spending = state.spending
        self._tuned = state.tuned
        self._leads = PoolLeadTimes(LeadTimes(nodes=(), pods=()))
        self._demands = PoolDemands(make_forecaster)
        self.refused = tuple(self._demands.restore(state.demand))
        """Why parts of the state are not used."""

    @property
    def state(self) -> PlanningState:
        return PlanningState(
            decisions=self._decisions,
            seen=self._seen,
            usual_pools=self._usual_pools,
            spending=self._spending,
            demand=self._demands.saved(),
            tuned=self._tuned,
        )

    @property
    def lasting(self) -> object:
        """What a crash must not lose, to compare with what it was before.

        Of rules' notes that is which ones there are: each release has its own, and the values of
        some, such as when a node was to go last, move in each round.
        """
        notes = {pool: frozenset(noted) for pool, noted in self._decisions.pools.items()}
        return notes, self._tuned

    def learn(self, at_seconds: float, gpus: Mapping[str, float]) -> None:
        """Take the demand of pools in GPUs at a past moment, the oldest first."""
        self._demands.take(at_seconds, gpus)

    def pools_of(self, given: RoundInput) -> tuple[str, ...]:
        """The names of the pools that would be planned; nothing is remembered of it."""
        return tuple(pool.name for pool in self._assessed(given).pools)

    def tuning_input(self, round_: NodeRound, pool: str, until_seconds: float) -> TuningInput:
        """What a pool's constants are chosen from.

        Args:
            round_: the last one, in which a policy covers the pool.
            pool: its name.
            until_seconds: the moment of the choice.
        """
        (state,) = (one for one in round_.situation.pools if one.name == pool)
        policy = round_.policies[pool]
        return TuningInput(
            past=self._demands.past(pool),
            until_seconds=until_seconds,
            gpus_per_node=state.gpus_per_node,
            gpus_per_pod=state.gpus_per_pod,
            lead_time=state.lead_time,
            consolidate_after_seconds=state.consolidate_after_seconds,
            static=state.static,
            rho=policy.rho,
            trust=policy.trust,
            constants=round_.constants[pool],
        )

    def take_night(self, pool: str, found: TuningRecord | NoChoice) -> None:
        """Take a night's choice, which counts from the next round on."""
        self._tuned = self._tuned.with_night(pool, found)

    def plan(self, given: RoundInput) -> NodeRound:
        """Plan one round."""
        now = given.now_seconds
        kept = _kept(given.cluster)
        last = self._spending.at_seconds
        if last is not None and abs(now - last) > GAP_SECONDS:
            # Nodes that were empty then may have been used since, and nobody saw that.
            self._seen = NodesSeen()
            given = replace(given, emptied={})
        assessment = self._assessed(given)
        self._seen = assessment.seen
        self._usual_pools = usual_pools_of(assessment, self._usual_pools, now)
        choice = PolicyChoice(policies=given.policies)
        selectors = choice.selectors_of(assessment.pools)
        given = self._covered(given, selectors)
        found = [
            covered_pool(pool, assessment.pods[pool.name], selectors.get(pool.name))
            for pool in assessment.pools
        ]
        others = {one.pool.name: one.others_gpus for one in found}
        planned = planned_demand(given.planned, assessment, self._usual_pools)
        pools = [
            replace(
                _with_planned(one.pool, planned.gpus.get(one.pool.name)),
                gpus_per_pod=usual_pod_gpus(one.pool, self._usual_pools.values()),
            )
            for one in found
        ]
        self._demands.take(now, {pool.name: pool.demand_gpus - others[pool.name] for pool in pools})
        pools = self._with_forecasts(given, assessment, pools, others)
        self._spending = self._spending.passed(
            {one.name: one.spec.time_zone for one in given.policies}, now
        )
        situation = Situation(now_seconds=now, pools=tuple(pools), spending=self._spending.spending)
        decided, self._decisions = decide_pools(situation, choice.of, self._decisions, self._tuned)
        self._spend(situation, decided.plan, choice, _reasons(given, kept))
        return NodeRound(
            plan=decided.plan,
            situation=situation,
            policies=decided.policies,
            constants=decided.constants,
            tuned=decided.tuned,
            remarks=(
                *assessment.remarks,
                *planned.remarks,
                *([given.plans_missing] if given.plans_missing is not None else []),
                *given.gang_ends.remarks,
                *choice.faults,
            ),
        )

    def _assessed(self, given: RoundInput) -> Assessment:
        if self._leads.learned is not given.lead_times:
            self._leads = PoolLeadTimes(given.lead_times)
        beside = _beside(given, self._leads)
        return assess(given.cluster, given.snapshot, beside, self._seen, given.now_seconds)

    def _covered(self, given: RoundInput, selectors: Selectors) -> RoundInput:
        """Without the plans of workloads that their pool's policy is not about."""
        mine = {one for one in given.planned if is_covered(one, self._usual_pools, selectors)}
        return replace(
            given,
            planned={one: wanted for one, wanted in given.planned.items() if one in mine},
            planned_maxima={
                one: largest
                for one, largest in given.planned_maxima.items()
                if is_covered(one, self._usual_pools, selectors)
            },
        )

    def _with_forecasts(
        self,
        given: RoundInput,
        assessment: Assessment,
        pools: Sequence[PoolState],
        others: Mapping[str, float],
    ) -> list[PoolState]:
        """Each pool with the forecast of its own past; while that is short, of its plans.

        The demand that its policy is not about is taken to stay.
        """
        if given.plans_missing is not None:
            return list(pools)
        own = {
            name: one.beside(others.get(name, 0.0))
            for name, one in self._demands.forecasts().items()
        }
        of_plans = planned_forecasts(
            given.planned_maxima,
            given.planned,
            assessment,
            self._usual_pools,
            [pool for pool in pools if pool.name not in own],
        )
        return [
            replace(pool, forecast=of_plans[pool.name], remarks=(*pool.remarks, _FORECAST_OF_PLANS))
            if pool.name in of_plans
            else replace(pool, forecast=own.get(pool.name))
            for pool in pools
        ]

    def _spend(
        self,
        situation: Situation,
        plan: NodePlan,
        choice: PolicyChoice,
        reasons: Mapping[str, Reason],
    ) -> None:
        """Note what the idle nodes of this reading cost until the next one."""
        rates = idle_usd_per_hour(
            situation.pools,
            lambda pool: choice.of(pool, situation.now_seconds),
            reasons,
            {one.pool: one.set_aside for one in plan.pools},
        )
        self._spending = replace(self._spending, usd_per_hour=rates)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """Our hold, as a Node carries it."""

    until_seconds: float
    because: Reason | None
    """None = for a reason that a pod shows, such as one that loads."""


def _kept(cluster: Cluster) -> Mapping[str, _Kept]:
    return {
        node.name: _Kept(until_seconds=node.kept_until_seconds, because=node.kept_because)
        for node in cluster.nodes
        if node.kept_until_seconds is not None
    }


def _reasons(given: RoundInput, kept: Mapping[str, _Kept]) -> Mapping[str, Reason]:
    """Of holds that have not ended, by the NodeClaim's name, else the Node's."""
    claims = {one.node: one.name for one in given.cluster.node_claims or ()}
    return {
        claims.get(node, node): one.because
        for node, one in kept.items()
        if one.because is not None and one.until_seconds > given.now_seconds
    }


def _beside(given: RoundInput, leads: PoolLeadTimes) -> Beside:
    return Beside(
        lead_time_of=leads.of,
        held_until_seconds={node: one.until_seconds for node, one in _kept(given.cluster).items()},
        emptied=given.emptied,
        loads={one.uid: one for one in given.loads or ()},
        gang_ends_at=given.gang_ends.at_seconds,
        pod_groups=given.cluster.pod_groups,
        prices=given.prices,
    )


def _with_planned(pool: PoolState, gpus: float | None) -> PoolState:
    if not gpus:
        return pool
    text = f"{gpus:g} GPUs of its demand are of planned replicas that have no pods yet"
    return replace(pool, demand_gpus=pool.demand_gpus + gpus, remarks=(*pool.remarks, text))
