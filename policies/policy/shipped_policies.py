"""Ready-made policies for three kinds of team."""

from functools import lru_cache
from importlib.resources import files
from typing import Final

from policies.policy.documents import policies_in
from policies.policy.schema import CapacityPolicy

NAMES: Final = ("latency-first", "balanced", "cost-first")
"""From the dearest to the cheapest."""


@lru_cache
def shipped(name: str) -> CapacityPolicy:
    """The policy that comes with Foresail under one of `NAMES`."""
    (policy,) = policies_in({f"{name}.yaml": shipped_text(name)})
    return policy


def shipped_text(name: str) -> str:
    """Its file, with comments that say what it is for."""
    file = files("policies.policy").joinpath("shipped", f"{name}.yaml")
    return file.read_text(encoding="utf-8")
