"""GPU machines that are ordered, paid for or on their way out, and get no further.

A machine is late when it has been in a stage for longer than 99 of 100 starts of its place that
ended it, within `LEAST_SECONDS` and `MOST_SECONDS`. Karpenter gives up what does not launch or
register; for what registers and is never initialized, or never has GPUs, it has no limit, and the
machine is paid for until somebody deletes it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from fleet.account.lead_times import LeadTimes
from fleet.account.machines import node_to_come
from fleet.account.node import NodeGpus
from fleet.account.places import Place
from fleet.account.starts import NodeStart
from fleet.account.startups import StartUps
from fleet.cluster.fields import Condition, condition
from fleet.cluster.gpu_pods import gpu_pods
from fleet.cluster.karpenter import LAUNCH_LIMIT_SECONDS, REGISTRATION_LIMIT_SECONDS, NodeClaim
from fleet.cluster.nodes import Node
from fleet.cluster.reading import Cluster
from fleet.snapshot import FleetSnapshot, Known, held_on

DELETED: Final = "deleted"
"""The stage of a machine on its way out; nothing is learned of it."""
LEAST_SECONDS: Final[Mapping[str, float]] = {
    "launched": 60.0,
    "registered": 300.0,
    "node ready": 120.0,
    "initialized": 600.0,
    "GPUs": 300.0,
    DELETED: 900.0,
}
"""Whatever was learned: a pool that starts within seconds is not late after a minute."""
MOST_SECONDS: Final = 3600.0
"""Whatever was learned: one start that took a day does not excuse the next."""
_CONDITIONS: Final = {
    "launched": "Launched",
    "registered": "Registered",
    "node ready": "Initialized",
    "initialized": "Initialized",
}
"""That tell why a stage has not ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LateMachine:
    """A machine that is late."""

    machine: str
    """Its node, else its NodeClaim."""
    node_claim: str | None
    """None = Karpenter did not order it."""
    pool: str | None
    instance_type: str | None
    zone: str | None
    stage: str
    """That it has not ended."""
    seconds: float
    """Since that stage began."""
    normal_seconds: float | None
    """What 99 of 100 starts of its place that ended it do not exceed; None = nothing tells."""
    limit_seconds: float
    """Beyond which it is late."""
    reason: str | None
    """By the NodeClaim's condition."""
    karpenter_ends_it_in_seconds: float | None
    """0 = it is due; None = Karpenter has no limit for this, or does not know the machine."""
    usd_per_hour: float | None
    """0 = no machine is there yet; None = its price or the number of its GPUs is not known."""
    usd_so_far: float | None
    """Since its launch; of one on its way out, since it was deleted."""


def late_machines(
    cluster: Cluster,
    snapshot: FleetSnapshot,
    startups: StartUps,
    lead_times: LeadTimes,
    known: Known,
    now_seconds: float,
) -> tuple[LateMachine, ...]:
    """The machines of a cluster that are late, by pool and name.

    Args:
        cluster: the reading.
        snapshot: of that reading, with the prices that machines count at.
        startups: with that reading.
        lead_times: that were learned from them, or before.
        known: the catalogue and prices.
        now_seconds: of the reading.
    """
    takes_gpus = gpu_pods(cluster)
    reading = _Reading(
        known=known,
        accounts={
            one.claim or one.node: one for one in (*snapshot.nodes, *(snapshot.coming or ()))
        },
        now_seconds=now_seconds,
        nodes={node.name: node for node in cluster.nodes},
        claims={claim.uid: claim for claim in cluster.node_claims or ()},
        serving=frozenset(
            pod.node for pod in cluster.pods or () if pod.node is not None and takes_gpus(pod)
        ),
    )
    starting = startups.nodes.starting
    machines = starting.keys() | startups.nodes.settled
    # Many machines of one place hang at once when something of it breaks.
    usual = cache(lambda stage, place: lead_times.usual(stage, place).p99_seconds)
    found = [
        *filter(None, (_late_start(one, usual, reading) for one in starting.values())),
        *filter(None, (_late_end(uid, reading) for uid in machines & reading.claims.keys())),
    ]
    return tuple(sorted(found, key=lambda one: (one.pool or "", one.machine, one.stage)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    known: Known
    accounts: Mapping[str, NodeGpus]
    """By the NodeClaim, else the node."""
    now_seconds: float
    nodes: Mapping[str, Node]
    claims: Mapping[str, NodeClaim]
    """By UID."""
    serving: frozenset[str]
    """Nodes with a pod that takes GPUs: they had some, whatever they offer now."""

    def usd_per_hour(self, claim: NodeClaim | None, node: Node | None) -> float | None:
        """Of the whole machine, as its account has it."""
        name = claim.name if claim is not None else node.name if node is not None else ""
        account = self.accounts.get(name)
        if account is not None:
            price = account.usd_per_gpu_hour
            return None if price is None else price * account.gpus
        if claim is None:
            return None
        # Before its driver, a node may not tell how many GPUs it has: its NodeClaim does.
        held = held_on(node_to_come(claim), self.known, (), ())
        known = held.hardware.price
        return None if known is None or not held.gpus else known.usd_per_gpu_hour * held.gpus


def _late_start(
    start: NodeStart, usual: Callable[[str, Place], float], reading: _Reading
) -> LateMachine | None:
    claim = reading.claims.get(start.uid)
    node = reading.nodes.get((claim.node or "") if claim is not None else start.name)
    if claim is None and (start.claimed or node is None):
        return None  # its kind was not read
    if claim is not None and (claim.deleted_seconds is not None or _timeless(claim)):
        return None
    stage, since_seconds = _under_way(start)
    if stage == "GPUs" and (node is None or node.out is not None or node.name in reading.serving):
        return None
    seconds = reading.now_seconds - since_seconds
    normal_seconds = usual(stage, start.place)
    limit_seconds = min(max(normal_seconds, LEAST_SECONDS[stage]), MOST_SECONDS)
    if seconds <= limit_seconds:
        return None
    usd_per_hour: float | None = 0.0
    if not start.claimed or start.launched_seconds is not None or node is not None:
        usd_per_hour = reading.usd_per_hour(claim, node)
    paid_since = start.created_seconds if start.launched_seconds is None else start.launched_seconds
    return LateMachine(
        machine=node.name if node is not None else start.name,
        node_claim=start.name if start.claimed else None,
        pool=start.pool,
        instance_type=start.instance_type,
        zone=start.zone,
        stage=stage,
        seconds=seconds,
        normal_seconds=normal_seconds,
        limit_seconds=limit_seconds,
        reason=_reason(claim, stage),
        karpenter_ends_it_in_seconds=_ends_in(start, stage, reading.now_seconds),
        usd_per_hour=usd_per_hour,
        usd_so_far=_usd(usd_per_hour, reading.now_seconds - paid_since),
    )


def _under_way(start: NodeStart) -> tuple[str, float]:
    """The stage after the last one that has ended, and since when all before it have."""
    stages = list(start.stages.items())
    if not start.claimed:
        stages = [one for one in stages if one[0] in {"node ready", "GPUs"}]
    ended = [at for at, (_, end) in enumerate(stages) if end is not None]
    moments = [end for _, end in stages if end is not None]
    return stages[ended[-1] + 1 if ended else 0][0], max([start.created_seconds, *moments])


def _timeless(claim: NodeClaim) -> bool:
    """A condition holds, and it does not tell since when: so does no stage after it."""
    return any(
        one.holds and one.since_seconds is None
        for one in claim.conditions
        if one.type in _CONDITIONS.values()
    )


def _ends_in(start: NodeStart, stage: str, now_seconds: float) -> float | None:
    limit = {"launched": LAUNCH_LIMIT_SECONDS, "registered": REGISTRATION_LIMIT_SECONDS}.get(stage)
    if limit is None or not start.claimed:
        return None
    return max(0.0, start.created_seconds + limit - now_seconds)


def _late_end(uid: str, reading: _Reading) -> LateMachine | None:
    claim = reading.claims[uid]
    if claim.deleted_seconds is None:
        return None
    seconds, grace = reading.now_seconds - claim.deleted_seconds, claim.termination_grace_seconds
    limit_seconds = max(LEAST_SECONDS[DELETED], grace or 0.0)
    if seconds <= limit_seconds:
        return None
    launched = condition(claim.conditions, "Launched")
    node = reading.nodes.get(claim.node or "")
    there = node is not None or (launched is not None and launched.holds)
    usd_per_hour = reading.usd_per_hour(claim, node) if there else 0.0
    return LateMachine(
        machine=claim.node or claim.name,
        node_claim=claim.name,
        pool=claim.pool,
        instance_type=claim.instance_type,
        zone=claim.zone,
        stage=DELETED,
        seconds=seconds,
        normal_seconds=None,
        limit_seconds=limit_seconds,
        reason=_first_not_done(claim),
        karpenter_ends_it_in_seconds=None if grace is None else max(0.0, grace - seconds),
        usd_per_hour=usd_per_hour,
        usd_so_far=_usd(usd_per_hour, seconds),
    )


def _reason(claim: NodeClaim | None, stage: str) -> str | None:
    kind = _CONDITIONS.get(stage)
    found = condition(claim.conditions, kind) if claim is not None and kind is not None else None
    return found.reason or None if found is not None and not found.holds else None


def _first_not_done(claim: NodeClaim) -> str | None:
    """The first step of an end that is not done: `Drained`, then `VolumesDetached`."""
    steps = (condition(claim.conditions, kind) for kind in ("Drained", "VolumesDetached"))
    return next((_named(one) for one in steps if one is not None and not one.holds), None)


def _named(step: Condition) -> str:
    return f"{step.type}: {step.reason}" if step.reason else step.type


def _usd(usd_per_hour: float | None, seconds: float) -> float | None:
    return None if usd_per_hour is None else usd_per_hour * max(0.0, seconds) / 3600.0
