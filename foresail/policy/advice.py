"""What policies would do with the GPU nodes of a cluster, as one reading of it and a past tell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fleet.account.lead_times import learned
from fleet.account.loading import loads_of
from fleet.account.startups import StartUps
from fleet.cluster.reading import Cluster
from fleet.snapshot import FleetSnapshot, Known, snapshot_of
from foresail.policy.demand_file import PastDemand
from policies.decide import SETTLED
from policies.planning.node_planning import (
    NodePlanning,
    NodeRound,
    PlanningState,
    RoundInput,
)
from policies.policy.schema import CapacityPolicy
from scaler.errors import ForesailError


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """Of one cluster."""

    cluster: str
    at_seconds: float
    recorded: bool
    """Its objects are a record's, and `at_seconds` is the newest time stamp in it."""
    round: NodeRound
    snapshot: FleetSnapshot
    remarks: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AdviceBasis:
    """What advice is made of beside the cluster."""

    policies: tuple[CapacityPolicy, ...]
    known: Known
    startups: Mapping[str, StartUps] = field(default_factory=dict)
    """Starts that were seen before, by cluster."""
    past: PastDemand | None = None


def advice_of(cluster: Cluster, basis: AdviceBasis, now_seconds: float) -> Advice:
    """The advice for a cluster; of a record as of the newest time stamp in it.

    Raises:
        ForesailError: the past demand is of other pools.
    """
    # Of a record nothing got older since.
    at = now_seconds if cluster.recorded_seconds is None else cluster.recorded_seconds
    startups = basis.startups.get(cluster.name, StartUps()).read(cluster, basis.known, at)
    lead_times = learned(startups, at)
    snapshot = snapshot_of(cluster, basis.known, None, at)
    # A single decision must not wait for the state of earlier ones.
    planning = NodePlanning(PlanningState(decisions=SETTLED))
    given = RoundInput(
        cluster=cluster,
        snapshot=snapshot,
        lead_times=lead_times,
        loads=loads_of(cluster, startups, lead_times),
        policies=basis.policies,
        prices=basis.known.prices,
        now_seconds=at,
    )
    remarks = _learn(planning, given, basis.past)
    return Advice(
        cluster=cluster.name,
        at_seconds=at,
        recorded=cluster.recorded_seconds is not None,
        round=planning.plan(given),
        snapshot=snapshot,
        remarks=remarks,
    )


def _learn(planning: NodePlanning, given: RoundInput, past: PastDemand | None) -> list[str]:
    if past is None:
        return ["the forecast knows no past: give one with --demand"]
    known = past.before(given.now_seconds)
    later = 0 if past.relative else sum(at > given.now_seconds for at, _ in past.rows)
    named = [one for one in past.pools if one is not None]
    here = planning.pools_of(given)
    if None in past.pools and len(here) != 1:
        raise ForesailError(
            f"--demand: cluster {given.cluster.name} has the pools {', '.join(here) or 'none'}: "
            "say in a column `pool` which one a row is of"
        )
    for at, gpus in known.rows:
        planning.learn(at, {here[0] if name is None else name: one for name, one in gpus.items()})
    others = sorted(set(named) - set(here))
    remarks = []
    if others:
        remarks.append(f"--demand: no pool here is called {', '.join(others)}")
    if later:
        remarks.append(f"--demand: {later} rows are of after the reading, and not used")
    if not known.rows:
        remarks.append("--demand: no row is of before the reading: the forecast knows no past")
    return remarks
