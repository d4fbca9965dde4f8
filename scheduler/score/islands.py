"""Whether the GPUs that a pod would get are in one island, and how much of it they leave.

An island is a set of GPUs of one node that NVLink joins. A node without a report of its
links has unknown islands: nothing is said for or against it.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from scheduler.score.columns import Term, signed

SPLIT_PRICE_MILLI = 4000.0
"""Of a pod over two islands where one would do: more than any places for wide pods are worth."""
REMAINDER_PRICE_MILLI = 40.0
"""Of each free GPU that is left in an island which the pod breaks."""

ISLANDS: Final = Term(
    name="islands",
    meaning="the pod's GPUs over more NVLink islands than needed; each free GPU left in a broken "
    "island",
    amount=f"{signed(-SPLIT_PRICE_MILLI)}; {signed(-REMAINDER_PRICE_MILLI)}",
)


def island_price_milli(islands: Sequence[int], free: Sequence[int], given: Sequence[int]) -> float:
    """What putting a pod on the GPUs `given` costs, in GPU milli; 0 where islands are unknown.

    Best fit: the fewer free GPUs stay behind in the islands that are touched, the better. A pod
    that spans more islands than it must pays for each island too many.

    Args:
        islands: of each GPU of the node; empty = unknown.
        free: indices of the GPUs that are not in use, those given included.
        given: indices of the GPUs that the pod would get.
    """
    if not islands or not given:
        return 0.0
    room = Counter(islands[gpu] for gpu in free)
    touched = Counter(islands[gpu] for gpu in given)
    spare = sum(room[island] - count for island, count in touched.items())
    needed, left = 0, len(given)
    for size in sorted(room.values(), reverse=True):
        if left > 0:
            needed, left = needed + 1, left - size
    splits = max(len(touched) - needed, 0)
    return SPLIT_PRICE_MILLI * splits + REMAINDER_PRICE_MILLI * spare
