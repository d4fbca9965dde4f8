"""Which gang a training run is of, and what its progress says of the gang's nodes.

A pod names its run: by the annotation `foresail.io/mlflow-run-id`, or by the variable
`MLFLOW_RUN_ID`, with which a job logs to a run that was made before it. Else the run names its
workload, by the tag `foresail.io/workload: NAMESPACE/NAME`. The pod goes before, because whoever
may write a run's tags need not be who may write the pod; runs inside another run name none.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from fleet.annotations import EXPECTED_END
from fleet.cluster.owners import Workload
from fleet.cluster.pods import Pod
from fleet.mlflow import PARENT_TAG, Run
from fleet.run_progress import Progress
from policies.reading.gangs import gang_of

WORKLOAD_TAG: Final = "foresail.io/workload"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkedRun:
    """A run of a gang, and how far it is."""

    run: Run
    gang: Workload
    progress: Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class GangEnds:
    """When gangs are expected to end, by their runs."""

    at_seconds: Mapping[Workload, float] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    """Of runs that do not go on, and of what could not be read."""


def run_ids_of(pods: Iterable[Pod]) -> dict[str, Workload]:
    """The gang of each run that a pod names."""
    found: dict[str, Workload] = {}
    for pod in pods:
        gang = gang_of(pod) if pod.run_id is not None else None
        if gang is not None and pod.run_id is not None and not pod.ended:
            found[pod.run_id] = gang
    return found


def gangs_of_runs(runs: Iterable[Run], pods: Iterable[Pod]) -> dict[str, Workload]:
    """The gang of each run that has one, by the run's id."""
    members = list(pods)
    named = run_ids_of(members)
    by_name = {
        f"{gang.namespace}/{gang.name}": gang
        for pod in members
        if not pod.ended and (gang := gang_of(pod)) is not None
    }
    taken = {*named.values()}
    found = {}
    for run in runs:
        tagged = by_name.get(run.tags.get(WORKLOAD_TAG, "")) if PARENT_TAG not in run.tags else None
        if run.run_id in named:
            found[run.run_id] = named[run.run_id]
        elif tagged is not None and tagged not in taken:
            found[run.run_id] = tagged
    return found


def gang_ends(linked: Iterable[LinkedRun], remarks: Iterable[str] = ()) -> GangEnds:
    """When each gang is expected to end: with the last of its runs.

    A gang whose running run does not tell its end has none; one whose runs have all ended, ended
    with the last of them.
    """
    by_gang: dict[Workload, list[LinkedRun]] = defaultdict(list)
    for one in linked:
        by_gang[one.gang].append(one)
    ends: dict[Workload, float] = {}
    for gang, runs in by_gang.items():
        known = [one.progress.ends_at_seconds for one in runs]
        if None not in known:
            ends[gang] = max(end for end in known if end is not None)
    every = [one for runs in by_gang.values() for one in runs]
    stalled = [_stalled(one) for one in every if one.progress.stalled]
    too_long = [_too_long(one) for one in every if one.progress.too_long]
    return GangEnds(at_seconds=ends, remarks=(*remarks, *stalled, *too_long))


def _too_long(one: LinkedRun) -> str:
    return (
        f"{_of(one)} has logged more points than are read: its end, and whether it still goes on, "
        "are not known; let it log less often, or say the end by the pods' annotation "
        f"{EXPECTED_END}"
    )


def _stalled(one: LinkedRun) -> str:
    newest = one.progress.newest_seconds
    since = "yet" if newest is None else f"since {datetime.fromtimestamp(newest, UTC):%F %H:%MZ}"
    return (
        f"{_of(one)} is stalled, with no new step {since}: nodes are held for it for no more than "
        "half an hour"
    )


def _of(one: LinkedRun) -> str:
    gang = one.gang
    return f"{gang.kind} {gang.namespace}/{gang.name}: its MLflow run {one.run.name}"
