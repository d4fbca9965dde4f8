"""Whether a pod with GPUs still loads its model, and until when that can be believed.

A pod loads from the moment it has a node until it is ready for the first time: image, weights,
warm-up. It does not load any more once it was ready, and it fails where a container waits for
something that loading does not wait for, or has started again more often than `RESTARTS_MAX`.

Loading is believed for `BELIEVED_FACTOR` times what 99 of 100 loads of its workload do not exceed,
`BELIEVED_SECONDS_MAX` at most. It is counted from when the pod got its node, which happens once: no
restart moves it, so that whatever holds a node for a loading pod ends for certain.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from fleet.account.lead_times import LeadTimes, Spread
from fleet.account.startups import StartUps
from fleet.cluster.fields import condition
from fleet.cluster.gpu_pods import gpu_pods
from fleet.cluster.owners import Workload
from fleet.cluster.pods import Pod
from fleet.cluster.reading import Cluster

BELIEVED_FACTOR: Final = 1.5
BELIEVED_SECONDS_MAX: Final = 7200.0
"""Whatever was learned."""
RESTARTS_MAX: Final = 2
_WAITS_WHILE_LOADING: Final = frozenset({"ContainerCreating", "PodInitializing"})


class Load(StrEnum):
    """How far a pod is."""

    LOADING = "loading"
    WAS_READY = "was ready"
    """It is not ready now, and was before: its model is loaded."""
    FAILING = "failing"


@dataclass(frozen=True, slots=True, kw_only=True)
class PodLoad:
    """The load of one pod with GPUs that has a node and is not ready."""

    pod: str
    """With its namespace."""
    uid: str
    node: str
    workload: Workload | None
    load: Load
    why: str | None = None
    """Of one that fails."""
    since_seconds: float
    """When it got its node."""
    usual_seconds: float
    """Half of its workload's loads take no longer."""
    believed_until_seconds: float

    def holds(self, now_seconds: float) -> bool:
        """Whether it loads, and that can still be believed."""
        return self.load is Load.LOADING and now_seconds < self.believed_until_seconds


def loads_of(
    cluster: Cluster, startups: StartUps, lead_times: LeadTimes
) -> tuple[PodLoad, ...] | None:
    """The load of each pod with GPUs that has a node and is not ready; None = pods were not read.

    They are in the order of their names.

    Args:
        cluster: the reading.
        startups: with that reading.
        lead_times: that were learned from them, or before.
    """
    if cluster.pods is None:
        return None
    takes_gpus = gpu_pods(cluster)
    loading = [pod for pod in cluster.pods if _may_load(pod) and takes_gpus(pod)]
    usual = lead_times.usual_loads({pod.workload for pod in loading})
    found = (_load_of(pod, startups, usual[pod.workload]) for pod in loading)
    return tuple(sorted(filter(None, found), key=lambda one: one.pod))


def _may_load(pod: Pod) -> bool:
    on_its_way_out = pod.ended or pod.deleted_seconds is not None
    return pod.node is not None and not pod.ready and not on_its_way_out


def _load_of(pod: Pod, startups: StartUps, usual: Spread) -> PodLoad | None:
    since_seconds = _placed_seconds(pod)
    if pod.node is None or since_seconds is None:
        return None
    load, why = _state(pod, startups)
    believed = min(BELIEVED_FACTOR * usual.p99_seconds, BELIEVED_SECONDS_MAX)
    return PodLoad(
        pod=pod.name,
        uid=pod.uid,
        node=pod.node,
        workload=pod.workload,
        load=load,
        why=why,
        since_seconds=since_seconds,
        usual_seconds=usual.p50_seconds,
        believed_until_seconds=since_seconds + believed,
    )


def _placed_seconds(pod: Pod) -> float | None:
    scheduled = condition(pod.conditions, "PodScheduled")
    if scheduled is not None and scheduled.holds and scheduled.since_seconds is not None:
        return scheduled.since_seconds
    return pod.created_seconds


def _state(pod: Pod, startups: StartUps) -> tuple[Load, str | None]:
    failures = list(_failures(pod))
    if failures:
        return Load.FAILING, ", ".join(failures)
    return (Load.WAS_READY if _was_ready(pod, startups) else Load.LOADING), None


def _failures(pod: Pod) -> Iterator[str]:
    yield from (reason for reason in pod.waits_for if reason not in _WAITS_WHILE_LOADING)
    if pod.restarts > RESTARTS_MAX:
        yield f"{pod.restarts} restarts"


def _was_ready(pod: Pod, startups: StartUps) -> bool:
    """A reading saw it ready, or it lost that after its containers had started."""
    if pod.uid in startups.pods.settled:
        return True
    ready, started = condition(pod.conditions, "Ready"), pod.containers_started_seconds
    if ready is None or ready.since_seconds is None or started is None:
        return False
    # A pod is not ready from before its containers start; the kubelet tells it to the second.
    return ready.since_seconds > started + 1
