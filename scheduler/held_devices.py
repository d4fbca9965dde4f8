"""Which devices of which nodes are allocated, and to whom: by claims, or by answers of ours.

Whole GPUs count on their node as well; NICs, partitions and all else that slices offer count only
here.
"""

from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from fleet.cluster.devices import Place
from scheduler.first_fit import Device
from scheduler.machines import Machine
from scheduler.placement import Int


class HeldDevices:
    """Allocated devices over rows of nodes."""

    def __init__(self) -> None:
        self.gpus: Int = np.zeros(0, np.int64)
        """Of each node, a bit for each GPU that is allocated."""
        self.others: dict[int, tuple[int, ...]] = {}
        """Of a node, its other devices that are allocated, by their place in `Machine.others`."""
        self.others_hash: Int = np.zeros(0, np.int64)
        self.version: Int = np.zeros(0, np.int64)
        """Counts the changes of each row."""
        self._machines: dict[int, Machine] = {}
        self._rows_of_pool: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
        self._holders: defaultdict[Place, set[str]] = defaultdict(set)
        self._places: dict[str, tuple[Place, ...]] = {}

    def grow(self, rows: int) -> None:
        more = (0, rows - len(self.gpus))
        if more[1]:
            self.gpus = np.pad(self.gpus, more)
            self.others_hash = np.pad(self.others_hash, more)
            self.version = np.pad(self.version, more)

    def put(self, row: int, machine: Machine | None) -> None:
        """The node of `row` is now this one."""
        before = self._machines.pop(row, None)
        for pool in _pools(before) if before else ():
            self._rows_of_pool[pool].discard(row)
            if not self._rows_of_pool[pool]:
                del self._rows_of_pool[pool]
        if machine is not None:
            self._machines[row] = machine
            for pool in _pools(machine):
                self._rows_of_pool[pool].add(row)
        self._take_stock(row)

    def hold(self, holder: str, places: Iterable[Place]) -> None:
        """These devices are allocated to `holder`, and no others are."""
        held = tuple(places)
        if self._places.get(holder, ()) == held:
            return
        self.let_go(holder)
        if held:
            self._places[holder] = held
        for place in held:
            self._holders[place].add(holder)
        self._touch(held)

    def let_go(self, holder: str) -> None:
        """Nothing is allocated to `holder`."""
        held = self._places.pop(holder, ())
        for place in held:
            self._holders[place].discard(holder)
            if not self._holders[place]:
                del self._holders[place]
        self._touch(held)

    def _touch(self, places: Iterable[Place]) -> None:
        for driver, pool in {(driver, pool) for driver, pool, _ in places}:
            for row in self._rows_of_pool.get((driver, pool), ()):
                self._take_stock(row)

    def _take_stock(self, row: int) -> None:
        machine = self._machines.get(row)
        self.gpus[row] = sum(1 << at for at in self._held(machine.devices)) if machine else 0
        held = tuple(self._held(machine.others)) if machine else ()
        self.others.pop(row, None)
        if held:
            self.others[row] = held
        self.others_hash[row] = hash(held) if held else 0
        self.version[row] += 1

    def _held(self, devices: tuple[Device, ...]) -> list[int]:
        return [at for at, device in enumerate(devices) if device.place in self._holders]


def _pools(machine: Machine) -> set[tuple[str, str]]:
    return {(one.driver, one.pool) for one in (*machine.devices, *machine.others)}
