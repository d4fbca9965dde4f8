"""Whether NCCL got of a node's NVLinks what they allow, for pods of several GPUs."""

from typing import Final

import numpy as np

from fleet.cluster.report import SLOW_BELOW
from scheduler.placement import Float
from scheduler.score.columns import Term, signed

SLOW_PRICE_MILLI = 1000.0
"""Of each GPU of a pod of several, times the part of the bandwidth that is missing."""

BUS_BANDWIDTH: Final = Term(
    name="bus_bandwidth",
    meaning="each GPU of a pod of several where NCCL realised less than "
    f"{SLOW_BELOW:.0%} of the bus bandwidth that the NVLinks allow, times the part that is missing",
    amount=signed(-SLOW_PRICE_MILLI),
)


def bus_bandwidth_column(shares: Float, gpus: Float) -> Float:
    """The column, shape ``(N,)``, in GPU milli; 0 where nothing is known.

    Args:
        shares: shape ``(N,)``, of the bandwidth that the links allow, what NCCL realised; nan = not
            known.
        gpus: shape ``(N,)``, GPUs that the pod would take on each node.
    """
    slow = (shares < SLOW_BELOW) & (gpus > 1)
    return np.where(slow, -SLOW_PRICE_MILLI * gpus * (1 - np.nan_to_num(shares)), 0.0)
