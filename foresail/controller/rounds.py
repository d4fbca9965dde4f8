"""One round of the controller for its cluster: all that is learned and decided from one reading.

Every replica makes rounds, so that it has learned of demand, starts and costs when it comes to
lead. It reads no clock and does no I/O.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from types import MappingProxyType
from typing import Final

from fleet.account.cost_book import CostBook
from fleet.account.lead_times import LeadTimes, learned
from fleet.account.loading import loads_of
from fleet.account.remembered_accounts import RememberedAccounts
from fleet.account.startups import StartUps
from fleet.account.watchdog import LateMachine, late_machines
from fleet.cluster.owners import Workload
from fleet.cluster.reading import Cluster
from fleet.snapshot import FleetSnapshot, Known, snapshot_of
from policies.planning.node_planning import NodePlanning, NodeRound, PlanningState, RoundInput
from policies.planning.tuning import NoChoice, TuningInput, TuningRecord
from policies.policy.schema import CapacityPolicy
from policies.reading.runs import GangEnds
from policies.rounds import Emptied
from scaler.forecast.running_maximum import MaximumForecast

_LEARN_SECONDS: Final = 60.0
"""Rounds may follow each other at once, and thousands of starts take a moment to learn from."""
_NO_ENDS: Final = GangEnds()
_NONE_EMPTIED: Final[Mapping[str, Emptied]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerState:
    """What is kept over restarts."""

    planning: PlanningState = field(default_factory=PlanningState)
    startups: StartUps = field(default_factory=StartUps)
    costs: CostBook = field(default_factory=CostBook)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedReplicas:
    """What plans of workloads want."""

    replicas: Mapping[Workload, float] = field(default_factory=dict)
    maxima: Mapping[Workload, MaximumForecast] = field(default_factory=dict)
    """The largest number wanted from now on."""
    missing: str | None = None
    """Why none are known although some are expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterRound:
    """The results of one round."""

    at_seconds: float
    cluster: Cluster
    snapshot: FleetSnapshot
    decided: NodeRound
    lead_times: LeadTimes
    late: Sequence[LateMachine]
    costs: CostBook


class ClusterRounds:
    """The rounds of one cluster, and what is remembered between them."""

    def __init__(self, known: Known, state: ControllerState | None = None) -> None:
        state = state or ControllerState()
        self._known = known
        self._accounts = RememberedAccounts()
        self._planning = NodePlanning(state.planning)
        self._startups = state.startups
        self._costs = state.costs
        self._lead_times = LeadTimes(nodes=(), pods=())
        self._learned_seconds = -inf
        self._done = frozenset[str]()
        """UIDs of the NodeClaims that start and were deleted."""
        self.refused = self._planning.refused
        """Why parts of the state are not used."""

    @property
    def state(self) -> ControllerState:
        return ControllerState(
            planning=self._planning.state, startups=self._startups, costs=self._costs
        )

    @property
    def spending_note(self) -> str:
        """What the policies have spent in their month, for a start without a state."""
        return self._planning.spending_note

    def take_spending(self, note: str, now_seconds: float) -> None:
        """Count at least what another controller noted."""
        self._planning.take_spending(note, now_seconds)

    @property
    def lasting(self) -> object:
        """What a crash must not lose, to compare with what it was before."""
        starting = self._startups.nodes.starting
        called_off = frozenset(uid for uid, one in starting.items() if one.called_off)
        return self._planning.lasting, called_off

    def make(
        self,
        cluster: Cluster,
        policies: tuple[CapacityPolicy, ...],
        plans: PlannedReplicas,
        now_seconds: float,
        gang_ends: GangEnds = _NO_ENDS,
        emptied: Mapping[str, Emptied] = _NONE_EMPTIED,
    ) -> ClusterRound:
        """Make a round of a reading.

        Args:
            cluster: the reading.
            policies: those in force.
            plans: of workloads.
            now_seconds: of the reading.
            gang_ends: as training runs tell.
            emptied: how Nodes lost their pods, by name, where that was seen.
        """
        snapshot = snapshot_of(cluster, self._known, None, now_seconds, self._accounts)
        self._startups = self._startups.read(cluster, self._known, now_seconds)
        # A clock that was set back must not stop the learning.
        if not 0 <= now_seconds - self._learned_seconds < _LEARN_SECONDS:
            self._lead_times = learned(self._startups, now_seconds)
            self._learned_seconds = now_seconds
        decided = self._planning.plan(
            RoundInput(
                cluster=cluster,
                snapshot=snapshot,
                lead_times=self._lead_times,
                loads=loads_of(cluster, self._startups, self._lead_times),
                policies=policies,
                planned=plans.replicas,
                planned_maxima=plans.maxima,
                plans_missing=plans.missing,
                prices=self._known.prices,
                gang_ends=gang_ends,
                emptied=emptied,
                now_seconds=now_seconds,
            )
        )
        self._costs = self._costs.read(snapshot, now_seconds, planned=decided.plan.reasons)
        return ClusterRound(
            at_seconds=now_seconds,
            cluster=cluster,
            snapshot=snapshot,
            decided=decided,
            lead_times=self._lead_times,
            late=late_machines(
                cluster, snapshot, self._startups, self._lead_times, self._known, now_seconds
            ),
            costs=self._costs,
        )

    def called_off(self, made: ClusterRound, uids: Collection[str], *, done: bool) -> None:
        """Take the starts that a round has called off.

        Args:
            made: the round.
            uids: of their NodeClaims.
            done: it was done, and no later round takes it back: its reading may be from before.
                False = the plan wants it, and another replica may do it.
        """
        claims = made.cluster.node_claims or ()
        going = {claim.uid for claim in claims if claim.deleted_seconds is not None}
        self._startups = self._startups.with_called_off(uids, going | self._done)
        if done:
            self._done = (self._done | set(uids)) & self._startups.nodes.starting.keys()

    def tuning_input(self, made: ClusterRound, pool: str, until_seconds: float) -> TuningInput:
        """What a pool's constants are chosen from, up to a moment."""
        return self._planning.tuning_input(made.decided, pool, until_seconds)

    def take_night(self, pool: str, found: TuningRecord | NoChoice) -> None:
        """Take a night's choice for a pool."""
        self._planning.take_night(pool, found)
