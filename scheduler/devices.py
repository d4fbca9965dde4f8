"""The devices of each node, as the prediction of the DRA allocator takes them.

A pool is used only when it is complete: kube-scheduler allocates nothing of an incomplete one.
"""

from collections.abc import Hashable, Iterable, Mapping
from functools import lru_cache
from typing import Final

from fleet.cluster import devices as records
from fleet.cluster.devices import Attribute, AttributeType, Face, Slice
from fleet.cluster.pools import pools_of
from scheduler.first_fit import Device
from scheduler.selectors import Amount, Version

_KEPT_MAX: Final = 4096


def offered(slices: Iterable[Slice]) -> list[records.Device]:
    """The devices that a claim may be given, in the allocator's order; some taints may repel it."""
    return [device for pool in pools_of(slices) if pool.missing is None for device in pool.devices]


def gpus(devices: Iterable[records.Device]) -> list[records.Device]:
    """The whole GPUs among them, by the number in their name, of NVIDIA's driver the minor."""
    whole_gpus = [device for device in devices if device.face is Face.WHOLE]
    return sorted(whole_gpus, key=lambda one: (_number(one.name), one.name))


def allocatable(device: records.Device, unpredictable: str | None = None) -> Device:
    """The device as the allocator's rules take it.

    Args:
        device: as its slice offers it.
        unpredictable: why its use cannot be predicted; None = as far as its own fields say.
    """
    return Device(
        driver=device.driver,
        pool=device.pool,
        slice=device.slice,
        index=device.index,
        name=device.name,
        attributes={**_attributes(device.attributes), **_amounts(device.capacity)},
        taints=device.taints,
        unpredictable=unpredictable or _unpredictable(device),
    )


def _unpredictable(device: records.Device) -> str | None:
    """Why it is not known whether the device is free, or when the allocator comes to it."""
    if not device.all_taints_known:
        return "a DeviceTaintRule that cannot be read may taint it"
    if device.counters:
        return "it shares counters with other devices"
    if device.shared:
        return "several claims may share it"
    return "devices with binding conditions come last" if device.binding_conditions else None


def _number(name: str) -> int:
    digits = name.rpartition("-")[2]
    return (
        int(digits) if digits.isascii() and digits.isdigit() and len(digits) < len("100000") else 0
    )


def _attributes(attributes: Mapping[str, Attribute]) -> Mapping[str, Hashable]:
    return {name: _attribute(one) for name, one in attributes.items()}


def _amounts(capacity: Mapping[str, str]) -> Mapping[str, Hashable]:
    return {name: _amount(text) for name, text in capacity.items()}


# Tens of thousands of devices have the same few values: each is kept once.


@lru_cache(_KEPT_MAX, typed=True)
def _attribute(one: Attribute) -> Hashable:
    return Version(str(one.value)) if one.type is AttributeType.VERSION else one.value


@lru_cache(_KEPT_MAX)
def _amount(text: str) -> Amount:
    return Amount(text)
