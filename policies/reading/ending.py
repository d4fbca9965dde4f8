"""What is said of nodes that go whatever anybody does."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from policies.situation import GangDemand, PoolNode


def ending_remarks(
    nodes: Sequence[PoolNode], gangs: Sequence[GangDemand], until_seconds: float
) -> Iterator[str]:
    """A line for each node that ends before another could be there, or before a gang on it does.

    Args:
        nodes: of the pool.
        gangs: of the pool.
        until_seconds: when a node that is ordered now would be there.
    """
    gang_ends = {one.workload: one.ends_at_seconds for one in gangs}
    for node in nodes:
        if node.ends_at_seconds is None:
            continue
        end = f"{node.name} ends at {_utc(node.ends_at_seconds)} ({node.ends_because})"
        for workload in dict.fromkeys(pod.workload for pod in node.pods):
            ends = gang_ends.get(workload) if workload is not None else None
            if workload is not None and ends is not None and node.ends_at_seconds < ends:
                gang = f"{workload.namespace}/{workload.name}"
                yield f"{end}, before gang {gang}, which is expected to end at {_utc(ends)}"
        if node.ends_at_seconds <= until_seconds:
            yield f"{end}, before another node could be there: it counts as gone"


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%d %H:%MZ")
