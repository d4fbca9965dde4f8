"""Turns nodes away where the GPUs of a pod that needs NVLink are known not to be joined by it.

Only pods that ask for it are concerned. With a ResourceClaim the GPUs are predicted, so an island
that is fragmented counts. A device plugin does not tell which GPUs it will give: there the node is
turned away only if no choice can be right. A node whose islands or devices are unknown passes.
"""

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from scheduler.fit import Filtered
from scheduler.occupancy import Occupancy
from scheduler.offers import Offers
from scheduler.pods import Pod

_KEPT_MAX: Final = 1024
_NO_ISLAND: Final = -1
"""In a report, of a GPU that does not answer."""


def refuse_split(occupancy: Occupancy, pod: Pod, result: Filtered, offers: Offers | None) -> None:
    """Turn away the nodes that have passed and would give the pod GPUs of several islands.

    Args:
        occupancy: of the nodes.
        pod: whose GPUs must be joined by NVLink.
        result: of the filter so far.
        offers: what each node would give its claims; None = it has none.
    """
    passed = []
    for name in result.passed:
        machine = occupancy.machines.get(name)
        islands = machine.islands if machine is not None else ()
        offer = offers.at(occupancy.row[name]) if pod.claim and offers and islands else None
        count = 0 if offer is None else islands_of(islands, offer.slots)
        largest = largest_island(islands)
        if offer is not None and count > 1:
            result.failed[name] = (
                f"the {len(offer.slots)} GPUs that its claim would get are in {count} NVLink"
                " islands"
            )
        elif islands and pod.shape.gpus > largest:
            result.unresolvable[name] = (
                f"no NVLink island has more than {largest} GPUs, and {pod.shape.gpus} are asked for"
            )
        else:
            passed.append(name)
    result.passed = passed


def islands_of(islands: Sequence[int], slots: Sequence[int]) -> int:
    """How many islands these GPUs are in; one that does not answer is joined to none."""
    touched = [islands[slot] for slot in slots]
    alone = touched.count(_NO_ISLAND)
    return len(set(touched) - {_NO_ISLAND}) + alone


@lru_cache(_KEPT_MAX)
def largest_island(islands: tuple[int, ...]) -> int:
    """GPUs of the largest island; 0 = no islands are known."""
    sizes = Counter(islands)
    alone = min(sizes.pop(_NO_ISLAND, 0), 1)
    return max(sizes.values(), default=alone)
