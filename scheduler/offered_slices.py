"""The ResourceSlices of a cluster, by the node that their devices are on."""

from collections import defaultdict
from collections.abc import Collection, Iterator
from itertools import chain
from typing import Final

from fleet.cluster.devices import Slice
from scheduler.devices import allocatable
from scheduler.first_fit import Device

_OF_NO_NODE: Final = "it belongs to no single node"


class OfferedSlices:
    """As they are now."""

    def __init__(self) -> None:
        self._slices: dict[str, Slice] = {}
        self._on: defaultdict[str, set[str]] = defaultdict(set)
        self._shared: dict[str, tuple[Device, ...]] = {}
        """Devices that belong to no single node, by slice."""

    @property
    def all(self) -> Collection[Slice]:
        return self._slices.values()

    def on(self, node: str) -> list[Slice]:
        """The slices with devices of one node."""
        return [self._slices[name] for name in sorted(self._on.get(node, ()))]

    @property
    def shared(self) -> Iterator[Device]:
        """The devices that belong to no single node."""
        return chain.from_iterable(self._shared.values())

    def put(self, record: Slice) -> list[str | None]:
        """The slice is there, or is not as it was; the nodes concerned, None for no single one."""
        before = self._without(record.name)
        self._slices[record.name] = record
        if record.node is not None:
            self._on[record.node].add(record.name)
        else:
            self._shared[record.name] = tuple(
                allocatable(device, _OF_NO_NODE) for device in record.devices
            )
        moved = before is not None and before.node != record.node
        return [before.node, record.node] if before is not None and moved else [record.node]

    def drop(self, name: str) -> list[str | None]:
        """The slice was deleted; the nodes concerned, None for no single one."""
        before = self._without(name)
        return [] if before is None else [before.node]

    def _without(self, name: str) -> Slice | None:
        """The slice as it was, which is not among the others any more."""
        before = self._slices.pop(name, None)
        if before is not None and before.node is not None:
            self._on[before.node].discard(name)
            if not self._on[before.node]:
                del self._on[before.node]
        self._shared.pop(name, None)
        return before
