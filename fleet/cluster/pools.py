"""Pools of devices, put together from the slices of their newest generation."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fleet.cluster.devices import Device, Slice


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """The slices of a pool that count: those of its newest generation."""

    driver: str
    name: str
    slices: tuple[Slice, ...]
    """By name, in which order the allocator takes them."""

    @property
    def missing(self) -> str | None:
        """Why nothing of it is given to new claims; None = it is whole."""
        due = max(one.slices for one in self.slices)
        if all(one.slices == len(self.slices) for one in self.slices):
            return None
        return f"{len(self.slices)} of {due} slices of its pool"

    @property
    def devices(self) -> tuple[Device, ...]:
        return tuple(device for one in self.slices for device in one.devices)


def pools_of(slices: Iterable[Slice]) -> list[Pool]:
    """The pools of slices, in the order in which the allocator comes to them."""
    found: dict[tuple[str, str], list[Slice]] = defaultdict(list)
    for one in slices:
        found[one.driver, one.pool].append(one)
    return [
        Pool(driver=driver, name=name, slices=_newest(parts))
        for (driver, name), parts in sorted(found.items())
    ]


def _newest(slices: Sequence[Slice]) -> tuple[Slice, ...]:
    newest = max(one.generation for one in slices)
    current = [one for one in slices if one.generation == newest]
    return tuple(sorted(current, key=lambda one: one.name))
