"""Which pods and claims hold GPUs, whole or in part, as records.

The placement state counts whole GPUs and shares of one. Parts by MIG or time-slicing, and GPUs that
a claim has while they are tainted, are counted from these records.
"""

from collections import defaultdict
from collections.abc import Collection

from fleet.cluster.claims import Claim
from fleet.cluster.pods import Pod


class GpuHolders:
    """The pods that run and have to do with GPUs, by node, and the claims that were given some."""

    def __init__(self) -> None:
        self._claims: dict[str, Claim] = {}
        self._pods: defaultdict[str, dict[str, Pod]] = defaultdict(dict)
        """By node and UID."""
        self._node_of: dict[str, str] = {}

    @property
    def claims(self) -> Collection[Claim]:
        return self._claims.values()

    def pods_on(self, node: str) -> list[Pod]:
        return list(self._pods.get(node, {}).values())

    def put_pod(self, pod: Pod) -> None:
        """The pod runs, or is not as it was."""
        self.drop_pod(pod.uid)
        if pod.node is not None and pod.may_take_gpus:
            self._pods[pod.node][pod.uid] = pod
            self._node_of[pod.uid] = pod.node

    def drop_pod(self, uid: str) -> None:
        """The pod has ended or was deleted."""
        node = self._node_of.pop(uid, None)
        if node is not None:
            del self._pods[node][uid]
            if not self._pods[node]:
                del self._pods[node]

    def put_claim(self, claim: Claim) -> None:
        """The claim is there, or is not as it was."""
        if claim.grants:
            self._claims[claim.name] = claim
        else:
            self.drop_claim(claim.name)

    def drop_claim(self, name: str) -> None:
        """The claim was deleted, or has nothing any more."""
        self._claims.pop(name, None)
