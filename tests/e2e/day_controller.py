"""The rounds of `foresail controller` in a day that is played in minutes.

It works in the time of the day: its clock and the time stamps of the objects that it reads are
stretched, so that its rounds, leases, lead times and forecasts are as long as in production.
"""

import asyncio
import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from kubernetes_asyncio.client import ApiClient

from fleet.account.gpu_hours import Cost
from fleet.catalogue import shipped
from fleet.cluster.follow.clients import connected
from fleet.cluster.follow.mirror import mirrored
from fleet.cluster.kinds import PLANNING_KINDS
from fleet.reasons import Reason
from fleet.snapshot import Known
from foresail.api.change_executor import ChangeExecutor
from foresail.api.discovering import discover, made_objects
from foresail.clock import wall_clock
from foresail.controller.pod_specs import PodSpecs
from foresail.controller.rounds import (
    ClusterRound,
    ClusterRounds,
    ControllerState,
    PlannedReplicas,
)
from foresail.prices import price_list
from policies.decide import SETTLED
from policies.levers.discovery import Discovery
from policies.levers.ladder import LeverInput, actions
from policies.levers.objects import Objects
from policies.planning.demand import STEP_SECONDS
from policies.planning.node_planning import NodePlanning, PlanningState
from policies.policy.documents import policies_in
from tests.e2e.bed import Bed

ROUND_SECONDS = 120.0
OURS = "foresail"
_STAMPS = frozenset(
    {
        "created_seconds",
        "deleted_seconds",
        "started_seconds",
        "first_container_seconds",
        "containers_started_seconds",
        "since_seconds",
    }
)
"""Fields of records that the API server, Karpenter and kwok write; leases are ours."""
POLICY = """
apiVersion: foresail.io/v1alpha1
kind: CapacityPolicy
metadata: {name: day}
spec: {mode: act, idleCeiling: {usdPerHour: 1000}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DayTime:
    """The time of the day that is played, by real times."""

    dawn_seconds: float
    """Of the day, as Unix time."""
    real_dawn_seconds: float
    times_faster: float

    def at(self, real_seconds: float) -> float:
        return self.dawn_seconds + (real_seconds - self.real_dawn_seconds) * self.times_faster

    def now(self) -> float:
        return self.at(wall_clock())

    def stretched(self, value: Any) -> Any:
        """A record, or records, with all stamps in the time of the day."""
        if isinstance(value, tuple):
            return tuple(self.stretched(one) for one in value)
        if not is_dataclass(value) or isinstance(value, type):
            return value
        changed = {}
        for field in fields(value):
            before = getattr(value, field.name)
            stamp = field.name in _STAMPS and isinstance(before, float)
            after = self.at(before) if stamp else self.stretched(before)
            if after is not before and field.init:
                changed[field.name] = after
        return replace(value, **changed) if changed else value


def past_of(
    pool: str, wanted: Sequence[float], bin_seconds: float, dawn_seconds: float
) -> PlanningState:
    """What the controller would have learned of the days before.

    Args:
        pool: that it is about.
        wanted: GPUs by bin, the last bin ends at dawn; NaN = a gap.
        bin_seconds: the length of one.
        dawn_seconds: Unix time, of the day that follows.
    """
    planning = NodePlanning(PlanningState(decisions=SETTLED))
    past_seconds = len(wanted) * bin_seconds
    for step in range(int(past_seconds // STEP_SECONDS)):
        gpus = wanted[int(step * STEP_SECONDS // bin_seconds)]
        if not math.isnan(gpus):
            at_seconds = dawn_seconds - past_seconds + step * STEP_SECONDS
            planning.learn(at_seconds, {pool: float(math.ceil(gpus))})
    return planning.state


@dataclass(slots=True, kw_only=True)
class NodeController:
    """The rounds of `foresail controller` in the time of a day, in a thread of their own."""

    bed: Bed
    time: DayTime
    planning: PlanningState
    acts: bool
    last: ClusterRound | None = None
    failure: BaseException | None = None
    writes: int = 0

    @contextmanager
    def running(self) -> Iterator["NodeController"]:
        over = threading.Event()
        thread = threading.Thread(target=self._run, args=(over,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            over.set()
            thread.join(timeout=60)
        if self.failure is not None:
            raise self.failure

    def cost(self, pool: str, *reasons: Reason) -> Cost:
        """What a pool cost in a day, for some reasons or for all, as `foresail cost` counts it.

        A part of the day is taken for the whole: the first round is some minutes after dawn.
        """
        assert self.last is not None, "no round was made"
        hours = self.last.costs.gpu_hours
        assert hours.first_seconds is not None
        assert hours.at_seconds is not None
        total = Cost()
        for series, cost in hours.totals.items():
            if series.pool == pool and (not reasons or series.reason in reasons):
                total += cost
        return total.times(86_400 / (hours.at_seconds - hours.first_seconds))

    def _run(self, over: threading.Event) -> None:
        try:
            asyncio.run(self._rounds(over))
        except BaseException as error:  # noqa: BLE001 - shown by the one who started it
            self.failure = error

    async def _rounds(self, over: threading.Event) -> None:
        kubeconfig = self.bed.kubeconfig("admin")
        policies = policies_in({"day.yaml": POLICY})
        known = Known(catalogue=shipped(), prices=price_list(None))
        rounds = ClusterRounds(known, ControllerState(planning=self.planning))
        async with (
            await connected("bed", kubeconfig) as client,
            mirrored(client, "bed", asyncio.Event(), kinds=PLANNING_KINDS) as mirror,
        ):
            specs = PodSpecs(client)
            discovery = await discover(client, mirror.cluster)
            while not over.is_set():
                if mirror.trouble is None:
                    cluster = self.time.stretched(mirror.cluster)
                    made = rounds.make(cluster, policies, PlannedReplicas(), self.time.now())
                    self.last = made
                    if self.acts:
                        await self._carry_out(client, made, specs, discovery)
                await asyncio.sleep(ROUND_SECONDS / self.time.times_faster)

    async def _carry_out(
        self,
        client: ApiClient,
        made: ClusterRound,
        specs: PodSpecs,
        discovery: Discovery,
    ) -> None:
        # None is known to be unanswered: a controller answers within a moment of the day's minutes.
        ours = [replace(one, created_seconds=None) for one in await made_objects(client, OURS)]
        pools = made.decided.situation.pools
        found = actions(
            LeverInput(
                plan=made.decided.plan,
                pools={pool.name: pool for pool in pools},
                policies=made.decided.policies,
                discovery=discovery,
                objects=Objects.of(made.cluster, ours),
                pod_specs=await specs.of(pools),
                namespace=OURS,
            )
        )
        self.writes += len(await ChangeExecutor(client=client).carry_out(found.changes))
