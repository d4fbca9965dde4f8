"""The training runs of a cluster's gangs, read from MLflow."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from fleet.cluster.pods import Pod
from fleet.mlflow import Run, goal_of, watched_metric
from fleet.run_progress import Progress, Unit, progress_of
from foresail.meters.mlflow import (
    MlflowClient,
    MlflowError,
    MlflowServer,
    NotFoundError,
    TooMuchError,
)
from policies.reading.gangs import gang_of
from policies.reading.runs import LinkedRun, gangs_of_runs, run_ids_of

_NAMED_MAX: Final = 200
"""Runs that are looked up by their id: tenants write these."""
_AT_ONCE: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsRead:
    """The runs that gangs of a cluster have."""

    linked: tuple[LinkedRun, ...] = ()
    remarks: tuple[str, ...] = ()


async def read_runs(
    server: MlflowServer, pods: Iterable[Pod], seen: Iterable[LinkedRun], now_seconds: float
) -> RunsRead:
    """The runs of the pods' gangs.

    Args:
        server: to ask.
        pods: of the cluster.
        seen: those that gangs had at an earlier reading, and that may have ended since.
        now_seconds: now.

    Raises:
        MlflowError: the server does not answer, or refuses.
    """
    members = [pod for pod in pods if not pod.ended and gang_of(pod) is not None]
    if not members:
        return RunsRead()
    async with MlflowClient(server=server) as client:
        runs = {run.run_id: run for run in await client.running()}
        too_long = {one.run.run_id: one.progress.too_long for one in seen}
        others = [one for one in {*run_ids_of(members), *too_long} if one not in runs]
        remarks = []
        for run_id in sorted(others)[:_NAMED_MAX]:
            try:
                runs[run_id] = await client.run(run_id)
            except NotFoundError as error:
                remarks.append(str(error))
        gangs = gangs_of_runs(runs.values(), members)
        slots = asyncio.Semaphore(_AT_ONCE)

        async def progress(run: Run) -> Progress:
            if run.running and too_long.get(run.run_id):
                return _unread(run)  # a history grows, and reading this much takes seconds
            async with slots:
                return await _progress(client, run, now_seconds)

        ids = list(gangs)
        found = await asyncio.gather(*(progress(runs[one]) for one in ids))
    linked = (
        LinkedRun(run=runs[one], gang=gangs[one], progress=each)
        for one, each in zip(ids, found, strict=True)
    )
    return RunsRead(linked=tuple(linked), remarks=tuple(remarks))


async def _progress(client: MlflowClient, run: Run, now_seconds: float) -> Progress:
    if not run.running:
        return Progress(ends_at_seconds=run.end_seconds or run.start_seconds)
    goal = goal_of(run)
    metric = goal.metric if goal is not None else watched_metric(run)
    unit = goal.unit if goal is not None else Unit.STEPS
    try:
        points = [] if metric is None else await client.history(run.run_id, metric, unit)
    except TooMuchError:
        return _unread(run)
    return progress_of(points, goal, run.start_seconds, now_seconds)


def _unread(run: Run) -> Progress:
    """What a run tells without its history: its newest step."""
    goal, metric = goal_of(run), watched_metric(run)
    if goal is not None and goal.unit is Unit.EPOCHS:
        return Progress(total=goal.total, unit=goal.unit, too_long=True)
    return Progress(
        done=None if metric is None else run.latest_step[metric],
        total=None if goal is None else goal.total,
        too_long=True,
    )


async def tried(server: MlflowServer, pods: Iterable[Pod], now_seconds: float) -> RunsRead:
    """The same for one look: a server that fails is a remark."""
    try:
        return await read_runs(server, pods, (), now_seconds)
    except MlflowError as error:
        return RunsRead(remarks=(str(error),))
