"""Which pools, and which workloads, a policy or one of its rules is about."""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Protocol

from pydantic import Field

from fleet.cluster.nodes import CapacityType
from policies.policy.cross_rules import PolicyPart
from policies.policy.values import GenerationOrGlob, Labels, NameOrGlob

_GLOB = "*"


class Pool(Protocol):
    """What a policy needs to know of a pool; `PoolState` is one."""

    @property
    def name(self) -> str: ...
    @property
    def labels(self) -> Mapping[str, str]: ...
    @property
    def generation(self) -> str | None: ...
    @property
    def capacity_type(self) -> CapacityType | None: ...
    @property
    def gpus_per_node(self) -> int: ...
    @property
    def usd_per_hour(self) -> float | None: ...


class PoolSelector(PolicyPart):
    """Pools that all the stated fields match; within a field one entry is enough."""

    names: Annotated[tuple[NameOrGlob, ...], Field(min_length=1, max_length=64)] | None = Field(
        default=None, description="a list of names, or globs such as gpu-*"
    )
    """Names of pools."""
    match_labels: Labels | None = None
    """Labels that the pool has, all of them."""
    generations: (
        Annotated[tuple[GenerationOrGlob, ...], Field(min_length=1, max_length=64)] | None
    ) = Field(default=None, description="a list of GPUs that `foresail gpus` lists, or h100-*")
    """GPU generations of the pool's nodes."""
    capacity_types: (
        Annotated[tuple[CapacityType, ...], Field(min_length=1, max_length=3)] | None
    ) = Field(default=None, description="a list of on-demand, spot, reserved")
    """How new nodes of the pool are paid for. A pool that allows several types has none of them."""

    def matches(self, pool: Pool) -> bool:
        labels = self.match_labels or {}
        return (
            _any_matches(self.names, pool.name)
            and all(pool.labels.get(key) == value for key, value in labels.items())
            and _any_matches(self.generations, pool.generation)
            and (self.capacity_types is None or pool.capacity_type in self.capacity_types)
        )

    def specificity(self, pool: Pool) -> tuple[int, int, int, int]:
        """How closely it describes a pool that it matches; the largest goes first.

        In this order: the pool's name, a glob of its name, more labels, a generation, a glob of
        generations, a capacity type.
        """
        return (
            _closeness(self.names, pool.name),
            len(self.match_labels or {}),
            _closeness(self.generations, pool.generation),
            int(self.capacity_types is not None),
        )

    def surely_meets(self, other: "PoolSelector") -> bool:
        """Whether a pool of `other` is one of this selector too, of whatever cluster."""
        return (
            _covers(self.names, other.names)
            and (self.match_labels or {}).items() <= (other.match_labels or {}).items()
            and _covers(self.generations, other.generations)
            and _covers(self.capacity_types, other.capacity_types)
        )


class WorkloadSelector(PolicyPart):
    """Workloads that all the stated fields match; within a field one entry is enough."""

    namespaces: Annotated[tuple[NameOrGlob, ...], Field(min_length=1, max_length=64)] | None = (
        Field(default=None, description="a list of namespaces, or globs such as llm-*")
    )
    """Namespaces of the workloads."""
    match_labels: Labels | None = None
    """Labels that the workload's pods have, all of them."""

    def covers(self, namespace: str, labels: Mapping[str, str]) -> bool:
        """Whether a workload's demand counts.

        Args:
            labels: of its pods.
        """
        stated = self.match_labels or {}
        return _any_matches(self.namespaces, namespace) and all(
            labels.get(key) == value for key, value in stated.items()
        )


def _any_matches(patterns: Iterable[str] | None, name: str | None) -> bool:
    if patterns is None:
        return True
    return name is not None and any(fnmatchcase(name, pattern) for pattern in patterns)


def _closeness(patterns: tuple[str, ...] | None, name: str | None) -> int:
    """0 = it says nothing, 1 = by a glob, 2 = by the name itself."""
    if patterns is None:
        return 0
    return 2 if name in patterns else 1


def _covers(patterns: tuple[str, ...] | None, others: tuple[str, ...] | None) -> bool:
    """Whether something that one of `others` names is matched by `patterns`."""
    if patterns is None:
        return True
    return any(_GLOB not in other and _any_matches(patterns, other) for other in others or ())
