"""Numbers for nodes that offer the same devices, so that a claim is tried on them once."""

from collections import Counter
from itertools import count
from typing import Final

import numpy as np

from scheduler.first_fit import Device
from scheduler.machines import Machine
from scheduler.placement import Int
from scheduler.resource_claim import Claim

_OWN: Final = ("/uuid", "/pciBusID", "/minor", "/index", "/serial")
"""Attributes that no two devices share: equal nodes differ in them, and nothing else does."""
_PCIE: Final = "pcie"
"""In names of attributes such as a PCIe root, which devices of one node share."""


def tells_equal_nodes_apart(claim: Claim) -> bool:
    """Whether the claim depends on attributes in which nodes of one profile may differ."""
    is_own = any(name[1:] in claim.key for name in _OWN)
    return is_own or any(_PCIE in expression.lower() for expression in claim.expressions)


class NodeProfiles:
    """A number a row; one that no node has any more is forgotten, and not given out again."""

    def __init__(self) -> None:
        self.numbers: Int = np.zeros(0, np.int64)
        """Of each row; -1 = no node."""
        self._number_of: dict[object, int] = {}
        self._profiles: dict[int, object] = {}
        """By number; rows keep none of their own, for thousands of nodes have the same few."""
        self._users: Counter[int] = Counter()
        self._fresh = count()

    def __len__(self) -> int:
        return len(self._number_of)

    def grow(self, rows: int) -> None:
        more = rows - len(self.numbers)
        if more:
            self.numbers = np.pad(self.numbers, (0, more), constant_values=-1)

    def put(self, row: int, machine: Machine | None) -> None:
        """The node of `row` is now this one."""
        before = int(self.numbers[row])
        self.numbers[row] = -1 if machine is None else self._taken(_profile(machine))
        if before >= 0:
            self._users[before] -= 1
            if not self._users[before]:
                del self._users[before], self._number_of[self._profiles.pop(before)]

    def _taken(self, profile: object) -> int:
        number = self._number_of.get(profile)
        if number is None:
            number = self._number_of[profile] = next(self._fresh)
            self._profiles[number] = profile
        self._users[number] += 1
        return number


def _profile(machine: Machine) -> tuple[object, ...]:
    """What a prediction can see of the node.

    Attributes that `matchAttribute` may compare, such as a PCIe root, count by which devices share
    them; the same text on another node means nothing. So with the names of pools and slices, of
    which only the order counts.
    """
    devices = (*machine.devices, *machine.others)
    first: dict[object, int] = {}
    seen = tuple(
        (
            device.driver,
            tuple(
                (name, first.setdefault((name, value), at) if _PCIE in name.lower() else value)
                for name, value in sorted(device.attributes.items())
                if not name.endswith(_OWN)
            ),
            device.taints,
            device.unpredictable,
        )
        for at, device in enumerate(devices)
    )
    listed = sorted(range(len(devices)), key=lambda at: _order(devices[at]))
    return machine.islands, machine.order, len(machine.devices), seen, tuple(listed)


def _order(device: Device) -> tuple[str, str, str, int]:
    return device.driver, device.pool, device.slice, device.index
