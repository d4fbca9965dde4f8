"""Turns nodes away where the GPUs of a pod that needs NVLink are known not to be joined by it.

Only pods that ask for it are concerned. With a ResourceClaim the GPUs are predicted, so an island
that is fragmented counts. A device plugin does not tell which GPUs it will give: there the node is
turned away only if no choice can be right. A node whose islands or devices are unknown passes.
"""

from scheduler.fit import Filtered
from scheduler.occupancy import Occupancy
from scheduler.offers import Offers
from scheduler.pods import Pod


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
        count = 0 if offer is None else len({islands[slot] for slot in offer.slots})
        largest = machine.largest_island if machine is not None else 0
        if offer is not None and count > 1:
            result.failed[name] = (
                f"the {len(offer.slots)} GPUs that its claim would get are in {count} NVLink"
                " islands"
            )
        elif 0 < largest < pod.shape.gpus:
            result.unresolvable[name] = (
                f"no NVLink island has more than {largest} GPUs, and {pod.shape.gpus} are asked for"
            )
        else:
            passed.append(name)
    result.passed = passed
