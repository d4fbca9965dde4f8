"""`foresail fleet --jobs`: what each gang has, costs and waits for, and when it ends."""

from typing import Final

from rich.console import Console

from fleet.account.lead_times import learned
from fleet.account.places import Place
from fleet.account.startups import StartUps
from fleet.cluster.kinds import GANG_KINDS, SNAPSHOT_KINDS
from fleet.cluster.owners import Workload
from fleet.cluster.reading import Cluster
from fleet.snapshot import FleetSnapshot, Known
from foresail.clock import wall_clock
from foresail.gpus.jobs_table import ClusterJobs, Jobs, payload, render
from foresail.gpus.options import FleetOptions, reference_data
from foresail.gpus.reading import Measured, measurements, read_once, snapshot_with, told_apart
from foresail.gpus.training_runs import RunsRead, tried
from foresail.meters.mlflow import MlflowServer
from foresail.printed import print_document
from policies.lead_time import lead_time_of
from policies.reading.assess import Beside, assess
from policies.reading.jobs import jobs_of
from policies.reading.nodes import NodesSeen
from policies.reading.runs import gang_ends

JOB_KINDS: Final = (*SNAPSHOT_KINDS, *GANG_KINDS)


async def show(options: FleetOptions, mlflow: MlflowServer | None, console: Console) -> None:
    """Print the jobs once.

    Raises:
        ForesailError: an option cannot be used, or no cluster can be read.
    """
    known = reference_data(options)
    read, unreadable = await read_once(options, JOB_KINDS)
    measured = await measurements(options, [one.name for one in read])
    found = Jobs(
        clusters=[
            await _of_cluster(one, known, of_one, mlflow)
            for one, of_one in told_apart(read, measured)
        ],
        unreadable=unreadable,
    )
    if options.as_document:
        print_document(payload(found), options.form, indent=None)
    else:
        console.print(render(found))


async def _of_cluster(
    cluster: Cluster, known: Known, measured: Measured, mlflow: MlflowServer | None
) -> ClusterJobs:
    # Of a record nothing got older since.
    at = wall_clock() if cluster.recorded_seconds is None else cluster.recorded_seconds
    runs = RunsRead() if mlflow is None else await tried(mlflow, cluster.pods or (), at)
    ends = gang_ends(runs.linked, runs.remarks)
    snapshot = snapshot_with(cluster, known, measured, at)
    prices = _prices_where_they_wait(cluster, snapshot, known, at)
    unread = ["pods were not read: there is no job without them"] if cluster.pods is None else []
    return ClusterJobs(
        cluster=cluster.name,
        at_seconds=at,
        jobs=jobs_of(cluster, snapshot, ends.at_seconds, prices),
        runs=runs.linked,
        remarks=(*unread, *ends.remarks, *snapshot.remarks),
    )


def _prices_where_they_wait(
    cluster: Cluster, snapshot: FleetSnapshot, known: Known, at: float
) -> dict[Workload, float | None]:
    """Dollars an hour of a new GPU, by the gang that waits for some."""
    lead_times = learned(StartUps(), at)
    beside = Beside(
        lead_time_of=lambda pool: lead_time_of(lead_times, Place(pool=pool)),
        pod_groups=cluster.pod_groups,
        prices=known.prices,
    )
    pools = assess(cluster, snapshot, beside, NodesSeen(), at).pools
    return {
        gang.workload: None if pool.usd_per_hour is None else pool.usd_per_hour / pool.gpus_per_node
        for pool in pools
        for gang in pool.gangs
        if gang.waiting_pods
    }
