"""Resources by which device plugins give out GPUs, and how many of them a node may have."""

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Final

from fleet.cluster.fields import UnreadableObjectError

WHOLE: Final = ("nvidia.com/gpu", "amd.com/gpu", "gpu.intel.com/xe", "gpu.intel.com/i915")
"""Resources that count whole GPUs where nothing divides them."""
SHARED: Final = "nvidia.com/gpu.shared"
MIG: Final = re.compile(r"nvidia\.com/mig-([a-z0-9.+-]+?)(?:\.shared)?")
UNITS_MAX: Final = 2**16
"""Of one resource on one node: sixteen GPUs, shared by 4,096 pods each."""


def counts_gpus(resource: str) -> bool:
    """Whether a resource counts GPUs, or parts of them."""
    return resource in WHOLE or resource == SHARED or MIG.fullmatch(resource) is not None


def refuse_absurd(amounts: Mapping[str, Fraction]) -> None:
    """Refuse more units than any node has: GPUs are told apart one by one.

    Raises:
        UnreadableObjectError: names the resource.
    """
    for name, amount in amounts.items():
        if amount > UNITS_MAX and counts_gpus(name):
            raise UnreadableObjectError(
                f"{name} is {float(amount):g}; a node with more than {UNITS_MAX} is not read"
            )
