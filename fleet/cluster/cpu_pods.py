"""Pods on nodes that ask for no device, and that would be evicted with their node.

A pod of a DaemonSet and the mirror of a static pod are parts of their node, and go with it: what
Karpenter does not count either (`pkg/utils/pod/scheduling.go`, `IsReschedulable`). In a cluster
there are many more such pods than pods with GPUs, so no more is kept of them than where they are.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from sys import intern

from fleet.cluster.pods import Pod


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuPod:
    """A pod that runs on a node, asks for no device and is no part of the node."""

    name: str
    """With its namespace."""
    uid: str
    node: str


def cpu_pod_of(pod: Pod) -> CpuPod | None:
    """The record of such a pod; None = it is another one, has no node or has ended."""
    if pod.node is None or pod.ended or pod.may_take_gpus or pod.of_daemon_set or pod.static:
        return None
    return CpuPod(name=pod.name, uid=pod.uid, node=intern(pod.node))


def cpu_pod_by_node(kept: Iterable[CpuPod], pods: Iterable[Pod]) -> dict[str, str]:
    """The first one of each Node that has any, by the Node's name.

    Args:
        kept: as a mirror has them.
        pods: others, as a file has all of them.
    """
    found: dict[str, str] = {}
    others = (one for pod in pods if (one := cpu_pod_of(pod)) is not None)
    for source in (kept, others):
        for one in source:
            found[one.node] = min(found.get(one.node, one.name), one.name)
    return found
