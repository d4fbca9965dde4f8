"""How many GPUs pods ask for, by extended resources and by claims."""

from collections.abc import Iterable

from fleet.cluster.gpu_resources import WHOLE
from fleet.cluster.gpus import dra_resources, gpu_classes, gpus_wanted
from fleet.cluster.pods import Pod
from fleet.cluster.reading import Cluster


class AskedGpus:
    """What pods of a cluster ask for."""

    def __init__(self, cluster: Cluster) -> None:
        classes = cluster.classes or ()
        self._whole = frozenset({*WHOLE, *dra_resources(classes)})
        self._of_gpus = gpu_classes(classes)
        self._claims = {one.name: one for one in cluster.claims or ()}
        self._claims_known = cluster.claims is not None and cluster.classes is not None

    def of(self, pod: Pod, but: frozenset[str] = frozenset()) -> float | None:
        """GPUs that a pod asks for; None = it does, and how many is unknown.

        A part of a GPU is of no known size without a node, and a claim that is to be made of none.

        Args:
            pod: of the cluster.
            but: claims that are not counted.
        """
        if not pod.may_take_gpus:
            return 0.0
        parts = any(name.startswith("nvidia.com/") for name in pod.requests.keys() - self._whole)
        claimed = bool(pod.claims or pod.by_claims)
        if parts or pod.claims_to_come or (claimed and not self._claims_known):
            return None
        plugged = sum(float(count) for name, count in pod.requests.items() if name in self._whole)
        names = set(pod.claims) - but
        claims = (self._claims[name] for name in names if name in self._claims)
        return plugged + sum(gpus_wanted(one, self._of_gpus) for one in claims)

    def of_waiting(self, pods: Iterable[Pod]) -> tuple[float, list[str]]:
        """GPUs that are to come for pods, and the pods of which that is unknown.

        Those of a claim that pods share count once, and those of one that has its devices not.
        """
        counted = frozenset(name for name, one in self._claims.items() if one.grants is not None)
        total, unknown = 0.0, []
        for pod in pods:
            gpus = self.of(pod, but=counted)
            counted |= frozenset(pod.claims)
            if gpus is None:
                unknown.append(pod.name)
            else:
                total += gpus
        return total, unknown
