"""How many GPUs a pod asks for, by extended resources and by claims."""

from fleet.cluster.asked_gpus import AskedGpus
from fleet.cluster.pods import Pod
from fleet.cluster.reading import Cluster


def wanted_gpus(cluster: Cluster, pod: Pod) -> float | None:
    """GPUs that a waiting pod asks for; None = it does, and how many is unknown."""
    return AskedGpus(cluster).of(pod) if pod.may_take_gpus else 0.0
