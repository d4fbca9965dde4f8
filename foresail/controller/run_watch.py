"""Training runs of MLflow beside the rounds: when gangs end, and what they have cost.

The server is asked each minute. While it does not answer, what it said last stands: an expected end
is a moment, and a hold ends half an hour after it. A run's cost is kept in its own tags, so that a
restart of the controller goes on from there.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Final

import structlog

from fleet.account.gpu_hours import GAP_SECONDS
from fleet.cluster.pods import Pod
from fleet.mlflow import Run
from foresail.controller.rounds import ClusterRound
from foresail.gpus.training_runs import RunsRead, read_runs
from foresail.meters.mlflow import MlflowClient, MlflowError, MlflowServer
from policies.reading.jobs import Job, jobs_of
from policies.reading.runs import GangEnds, gang_ends
from scaler.clock import Clock

log = structlog.get_logger()

ASK_SECONDS: Final = 60.0
WRITE_SECONDS: Final = 600.0
"""Between two writes of a run's cost, while it runs."""
GPU_HOURS_TAG: Final = "foresail.gpu_hours"
USD_TAG: Final = "foresail.usd"
_HOUR: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCost:
    """What a run has cost until a moment."""

    gpu_hours: float
    usd: float | None
    """None = the price of some GPU is not known."""
    at_seconds: float

    def after(self, job: Job, now_seconds: float) -> "RunCost":
        """With the GPUs that its job has, since then; nothing is known of a longer gap."""
        hours = min(max(0.0, now_seconds - self.at_seconds), GAP_SECONDS) / _HOUR
        price = job.usd_per_hour
        return RunCost(
            gpu_hours=self.gpu_hours + hours * job.placed_gpus,
            usd=None if self.usd is None or price is None else self.usd + hours * price,
            at_seconds=now_seconds,
        )


def first_cost(run: Run, job: Job, now_seconds: float) -> RunCost | None:
    """What a run has cost when it is first seen: as its tags say, or as its pods show.

    None = the pods do not tell when they started.
    """
    since = run.start_seconds or 0.0
    shown = job.gpu_hours(now_seconds, since)
    tagged, tagged_usd = _number(run.tags.get(GPU_HOURS_TAG)), _number(run.tags.get(USD_TAG))
    if tagged is not None and (shown is None or tagged > shown):
        return RunCost(gpu_hours=tagged, usd=tagged_usd, at_seconds=now_seconds)
    if shown is None:
        return None
    return RunCost(gpu_hours=shown, usd=job.usd(now_seconds, since), at_seconds=now_seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tagged:
    """The cost of a run, and whether its tags may have it."""

    cost: RunCost
    acts: bool
    """The policy of a pool that its gang is in acts."""
    is_over: bool = False
    """The run or its gang has ended: nothing more is added."""
    written: RunCost | None = None
    """What its tags have; None = nothing of ours yet."""

    @property
    def is_due(self) -> bool:
        if not self.acts or self.cost == self.written:
            return False
        if self.written is None or self.is_over:
            return True
        return self.cost.at_seconds - self.written.at_seconds >= WRITE_SECONDS


@dataclass(slots=True, kw_only=True)
class RunWatch:
    """The runs of a cluster's gangs."""

    server: MlflowServer
    wall: Clock
    pods: Callable[[], Iterable[Pod]]
    """Of the cluster, as they are known now."""
    writes: bool = False
    """Whether tags are written at all."""
    trouble: str | None = None
    """Why the server is not read."""
    _read: RunsRead = field(default_factory=RunsRead)
    _tagged: dict[str, _Tagged] = field(default_factory=dict)
    """By run."""

    @property
    def ends(self) -> GangEnds:
        """When gangs end, as far as the server has told."""
        trouble = [self.trouble] if self.trouble is not None else []
        return gang_ends(self._read.linked, [*self._read.remarks, *trouble])

    async def run(self) -> None:
        """Ask and write for good."""
        while True:
            await self.ask()
            await self.write()
            await asyncio.sleep(ASK_SECONDS)

    async def ask(self) -> None:
        """Ask once."""
        before, self.trouble = self.trouble, None
        try:
            self._read = await read_runs(self.server, self.pods(), self._read.linked, self.wall())
        except MlflowError as error:
            self.trouble = str(error)
            if self.trouble != before:
                log.warning("mlflow_unreadable", why=self.trouble)

    def take(self, made: ClusterRound, *, leads: bool) -> None:
        """Count what the runs cost until this round.

        Args:
            made: the round.
            leads: whether this replica carries it out; another writes no tags.
        """
        jobs = {job.workload: job for job in jobs_of(made.cluster, made.snapshot, {})}
        acting = {pool.pool for pool in made.decided.plan.pools if pool.act}
        running = set()
        for one in self._read.linked:
            run, job = one.run, jobs.get(one.gang)
            before = self._tagged.get(run.run_id)
            cost = _cost(run, job, before, made.at_seconds) if job is not None else None
            if job is None or cost is None or not run.running:
                continue
            running.add(run.run_id)
            acts = leads and self.writes and any(each.pool in acting for each in job.placed)
            written = before.written if before is not None else None
            self._tagged[run.run_id] = _Tagged(cost=cost, acts=acts, written=written)
        for run_id in self._tagged.keys() - running:
            ended = replace(self._tagged[run_id], is_over=True)
            if leads and ended.is_due:
                self._tagged[run_id] = ended
            else:
                del self._tagged[run_id]

    async def write(self) -> None:
        """Write the costs that are due."""
        due = {run_id: one for run_id, one in self._tagged.items() if one.is_due}
        if not due:
            return
        try:
            async with MlflowClient(server=self.server) as client:
                for run_id, one in due.items():
                    await client.set_tag(run_id, GPU_HOURS_TAG, f"{one.cost.gpu_hours:.4f}")
                    if one.cost.usd is not None:
                        await client.set_tag(run_id, USD_TAG, f"{one.cost.usd:.2f}")
                    if run_id in self._tagged:
                        self._tagged[run_id] = replace(self._tagged[run_id], written=one.cost)
        except MlflowError as error:
            log.warning("cost_not_written", why=str(error))


def _cost(run: Run, job: Job, before: _Tagged | None, now_seconds: float) -> RunCost | None:
    if before is not None:
        return before.cost.after(job, now_seconds)
    return first_cost(run, job, now_seconds)


def _number(text: str | None) -> float | None:
    try:
        found = float(text or "")
    except ValueError:
        return None
    return found if 0 <= found < float("inf") else None
