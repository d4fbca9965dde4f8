"""What is known of a pod's load, in the record that the rules take."""

from dataclasses import replace

from fleet.account.loading import Load, PodLoad
from policies.situation import NodePod


def with_load(pod: NodePod, load: PodLoad | None) -> NodePod:
    """The pod, with whether it loads and until when that can be believed.

    Args:
        pod: as its objects have it.
        load: of the same pod; None = nothing is known of it, and the pod stays as it is.
    """
    if load is None:
        return pod
    return replace(
        pod,
        loads=load.load is Load.LOADING,
        loading_until_seconds=load.believed_until_seconds,
    )
