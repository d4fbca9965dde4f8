"""Which pods take GPUs: others ask for network interfaces, or for what else a node has few of."""

from collections.abc import Callable

from fleet.cluster.claims import Claim
from fleet.cluster.devices import GPU_DRIVERS
from fleet.cluster.gpu_resources import counts_gpus
from fleet.cluster.gpus import dra_resources, gpu_classes
from fleet.cluster.pods import Pod
from fleet.cluster.reading import Cluster


def gpu_pods(cluster: Cluster) -> Callable[[Pod], bool]:
    """Whether a pod of a cluster takes GPUs, or asks for some.

    Claims that nothing can tell, since their kind or that of their classes was not read, are taken
    to be of GPUs. One that is not made yet is of nothing.
    """
    classes = cluster.classes or ()
    resources = dra_resources(classes)
    of_gpus = gpu_classes(classes)
    claims = {one.name: one for one in cluster.claims or ()}

    def is_of_gpus(claim: Claim | None) -> bool:
        if claim is None:
            return cluster.claims is None
        if claim.grants is not None:
            return any(
                one.place[0].startswith(GPU_DRIVERS) and not one.admin_access
                for one in claim.grants
            )
        asked = {one.device_class for request in claim.requests for one in request.alternatives}
        return cluster.classes is None or not of_gpus.isdisjoint(asked)

    def takes_gpus(pod: Pod) -> bool:
        plugged = any(name in resources or counts_gpus(name) for name in pod.requests)
        return plugged or any(is_of_gpus(claims.get(name)) for name in pod.claims)

    return takes_gpus
