"""Jobs of clusters as a table for a terminal, and as JSON."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from fleet.cluster.owners import Workload
from foresail.figures import UNKNOWN, camel, dollars, gpus
from policies.reading.jobs import Job
from policies.reading.runs import LinkedRun
from scaler.durations import format_duration

_FIGURES = ("GPUs", "placed", "GPU-h", "$ so far", "$ to come", "ends in")
_LEGEND = (
    "ends in: by its MLflow run, its own status or the annotation foresail.io/expected-end; "
    "$ so far: of the pods that there are; $ to come: until the end, of a job that runs as a whole"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterJobs:
    """The jobs of one cluster."""

    cluster: str
    at_seconds: float
    """Of the reading; of a record the newest time stamp in it."""
    jobs: Sequence[Job]
    runs: Sequence[LinkedRun] = ()
    remarks: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Jobs:
    """Those of all clusters that were read."""

    clusters: Sequence[ClusterJobs]
    unreadable: Sequence[str] = field(default_factory=list)
    """Clusters that could not be read, with the reason."""


def render(found: Jobs) -> RenderableType:
    """A table of all jobs, and the notes below it."""
    several = len(found.clusters) + len(found.unreadable) > 1
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("job", overflow="fold")
    for head in _FIGURES:
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("waits for", overflow="fold")
    for one in found.clusters:
        for job in one.jobs:
            name = _name(job.made_by or job.workload)
            shown = f"{one.cluster}: {name}" if several else name
            table.add_row(shown, *_figures(job, one.at_seconds), _waits(job, one.runs))
    parts: list[RenderableType] = [table, Text(_LEGEND, style="dim")]
    if not any(one.jobs for one in found.clusters):
        parts = [Text("no gang with GPUs here: jobs are TrainJobs, JobSets, RayJobs and the like")]
    for one in found.clusters:
        prefix = f"{one.cluster}: " if several else ""
        parts += [Text(f"{prefix}{remark}", style="yellow") for remark in one.remarks]
    parts += [Text(f"not shown: {line}", style="bold red") for line in found.unreadable]
    return Group(*parts)


def payload(found: Jobs) -> dict[str, object]:
    """All of it as JSON, with null for unknown values."""
    document = {
        "clusters": [
            {
                "cluster": one.cluster,
                "at": _moment(one.at_seconds),
                "jobs": [_job_payload(job, one) for job in one.jobs],
                "remarks": list(one.remarks),
            }
            for one in found.clusters
        ],
        "not_shown": list(found.unreadable),
    }
    named = camel(document)
    assert isinstance(named, dict)
    return named


def _figures(job: Job, at_seconds: float) -> tuple[str, ...]:
    hours, spent = job.gpu_hours(at_seconds), job.usd(at_seconds)
    to_come = job.usd_to_come(at_seconds)
    least = "≥" if job.has_ended_pods else ""
    return (
        UNKNOWN if job.gpus is None else gpus(job.gpus),
        gpus(job.placed_gpus),
        UNKNOWN if hours is None else f"{least}{hours:,.1f}",
        UNKNOWN if spent is None else f"{least}{dollars(spent)}",
        UNKNOWN if to_come is None else dollars(to_come),
        _ends_in(job, at_seconds),
    )


def _ends_in(job: Job, at_seconds: float) -> str:
    if job.ends_at_seconds is None:
        return UNKNOWN
    left = round((job.ends_at_seconds - at_seconds) / 60) * 60
    return format_duration(left) if left >= 0 else f"late {format_duration(-left)}"


def _waits(job: Job, runs: Sequence[LinkedRun]) -> str:
    stalled = [
        f"a step of its run {one.run.name}, which is stalled"
        for one in runs
        if one.gang == job.workload and one.progress.stalled
    ]
    usd = job.waiting_usd_per_hour
    price = [f"${dollars(usd)}/h more once it runs"] if usd is not None and job.waits_for else []
    # Kueue's sentences hold names that tenants write.
    return escape("; ".join([*job.waits_for, *price, *stalled]))


def _name(workload: Workload) -> str:
    return f"{workload.kind} {workload.namespace}/{workload.name}"


def _job_payload(job: Job, one: ClusterJobs) -> dict[str, object]:
    ends = job.ends_at_seconds
    return {
        "kind": job.workload.kind,
        "namespace": job.workload.namespace,
        "name": job.workload.name,
        "made_by": None if job.made_by is None else _name(job.made_by),
        "queue": job.queue,
        "admission": job.admission,
        "flavors": list(job.flavors),
        "world_size": job.world_size,
        "stages": list(job.stages),
        "progress_percent": job.progress_percent,
        "pods": job.pods,
        "waiting_pods": job.waiting_pods,
        "gpus": job.gpus,
        "placed_gpus": job.placed_gpus,
        "gpu_hours": job.gpu_hours(one.at_seconds),
        "usd": job.usd(one.at_seconds),
        "usd_per_hour": job.usd_per_hour,
        "waiting_usd_per_hour": job.waiting_usd_per_hour,
        "usd_to_come": job.usd_to_come(one.at_seconds),
        "at_least": job.has_ended_pods,
        "ends_at": None if ends is None else _moment(ends),
        "waits_for": list(job.waits_for),
        "runs": [_run_payload(each) for each in one.runs if each.gang == job.workload],
    }


def _run_payload(one: LinkedRun) -> dict[str, object]:
    progress = one.progress
    return {
        "run_id": one.run.run_id,
        "name": one.run.name,
        "status": one.run.status,
        "done": progress.done,
        "total": progress.total,
        "unit": progress.unit.value,
        "stalled": None if progress.too_long else progress.stalled,
    }


def _moment(at_seconds: float) -> str:
    return datetime.fromtimestamp(at_seconds, UTC).isoformat(timespec="seconds")
