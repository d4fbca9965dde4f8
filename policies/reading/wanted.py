"""How many GPUs a pod asks for, by extended resources and by claims."""

from fleet.cluster.gpu_resources import WHOLE
from fleet.cluster.gpus import dra_resources, gpus_wanted
from fleet.cluster.pods import Pod
from fleet.cluster.reading import Cluster


def wanted_gpus(cluster: Cluster, pod: Pod) -> float | None:
    """GPUs that a waiting pod asks for; None = it does, and how many is unknown."""
    if not pod.may_take_gpus:
        return 0
    classes = cluster.classes or ()
    whole = {*WHOLE, *dra_resources(classes)}
    plugged = sum(float(count) for name, count in pod.requests.items() if name in whole)
    parts = any(name.startswith("nvidia.com/") and name not in whole for name in pod.requests)
    if parts or pod.claims_to_come or (pod.claims and cluster.claims is None):
        return None
    of_gpus = frozenset(one.name for one in classes if one.of_gpus)
    claims = [one for one in cluster.claims or () if one.name in pod.claims]
    return plugged + sum(gpus_wanted(one, of_gpus) for one in claims)
