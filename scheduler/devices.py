"""The devices of each node, from the ResourceSlices that drivers publish.

A pool is read only when it is whole: as many slices of its newest generation as that declares. Of
an incomplete one kube-scheduler allocates nothing, so it has no devices here either.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from fleet.quantities import quantity
from scheduler.first_fit import Device, Taint
from scheduler.selectors import Amount, Version

Json = Mapping[str, object]

PRODUCT: Final = "gpu.nvidia.com/productName"
_TYPE: Final = "/type"
_KINDS: Final = ("bool", "int", "string", "version")
_DEVICES_MAX: Final = 128
_KEPT_MAX: Final = 4096
_UNPREDICTABLE: Final = {
    "consumesCounters": "it shares counters with other devices",
    "allowMultipleAllocations": "several claims may share it",
    "bindingConditions": "devices with binding conditions come last",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """One ResourceSlice, as far as it is of use here."""

    name: str
    node: str | None
    """None = its devices belong to no single node; which ones they serve is not followed."""
    driver: str
    pool: str
    generation: int
    slices: int
    """Of the pool."""
    devices: tuple[Device, ...]


def slice_of(document: Json) -> Slice:
    """The slice of an API object.

    Raises:
        ValueError: with the field that is not as the API has it.
    """
    spec = _object(document.get("spec"), "spec")
    name = str(_object(document.get("metadata"), "metadata").get("name"))
    pool = _object(spec.get("pool"), "spec.pool")
    driver, pool_name = str(spec.get("driver")), str(pool.get("name"))
    listed = spec.get("devices") or []
    if not isinstance(listed, list) or len(listed) > _DEVICES_MAX:
        raise ValueError(f"ResourceSlice {name}: devices is no list of {_DEVICES_MAX} at most")
    return Slice(
        name=name,
        node=str(spec["nodeName"]) if spec.get("nodeName") else None,
        driver=driver,
        pool=pool_name,
        generation=int(str(pool.get("generation", 0))),
        slices=int(str(pool.get("resourceSliceCount", 1))),
        devices=tuple(
            Device(
                driver=driver,
                pool=pool_name,
                slice=name,
                index=at,
                name=str(_object(one, "a device").get("name")),
                attributes=_attributes(_object(one, "a device"), driver),
                taints=_taints(_object(one, "a device")),
                unpredictable=_unpredictable(_object(one, "a device")),
            )
            for at, one in enumerate(listed)
        ),
    )


def whole(slices: Iterable[Slice]) -> list[Device]:
    """The devices of the pools that are complete, in the allocator's order."""
    pools: dict[tuple[str, str], list[Slice]] = defaultdict(list)
    for one in slices:
        pools[one.driver, one.pool].append(one)
    found: list[Device] = []
    for parts in pools.values():
        newest = max(part.generation for part in parts)
        current = [part for part in parts if part.generation == newest]
        if all(part.slices == len(current) for part in current):
            found += [device for part in current for device in part.devices]
    return sorted(found, key=lambda one: (one.driver, one.pool, one.slice, one.index))


def gpus(devices: Iterable[Device]) -> list[Device]:
    """The whole GPUs among them, by the number in their name: this is how islands count them."""
    whole_gpus = [device for device in devices if is_gpu(device)]
    return sorted(whole_gpus, key=lambda one: (_number(one.name), one.name))


def is_gpu(device: Device) -> bool:
    """Whether it is a whole GPU, by the names of the drivers: `gpu.nvidia.com`, `gpu.amd.com`."""
    kind = device.attributes.get(device.driver + _TYPE, "gpu")
    return device.driver.startswith("gpu.") and kind in {"gpu", "amdgpu"}


def _number(name: str) -> int:
    digits = name.rpartition("-")[2]
    return (
        int(digits) if digits.isascii() and digits.isdigit() and len(digits) < len("100000") else 0
    )


def _taints(device: Json) -> tuple[Taint, ...]:
    told = device.get("taints") or []
    if not isinstance(told, list):
        raise ValueError("a device's taints are no list")  # noqa: TRY004
    return tuple(
        Taint(
            key=str(one.get("key", "")),
            value=str(one.get("value", "")),
            effect=str(one.get("effect", "")),
        )
        for one in (_object(taint, "a taint") for taint in told)
    )


def _unpredictable(device: Json) -> str | None:
    """Why nobody can say here whether the device is free, or when the allocator comes to it."""
    return next((why for field, why in _UNPREDICTABLE.items() if device.get(field)), None)


def _attributes(device: Json, driver: str) -> dict[str, Hashable]:
    found: dict[str, Hashable] = {}
    for name, told in _object(device.get("attributes") or {}, "attributes").items():
        for kind, value in _object(told, name).items():
            if kind in _KINDS and isinstance(value, bool | int | str):
                found[_qualified(name, driver)] = _attribute(kind, value)
    for name, told in _object(device.get("capacity") or {}, "capacity").items():
        value = _object(told, name).get("value")
        quantity(value)  # one that is none is named here, and not found out later
        found[_qualified(name, driver)] = _amount(str(value))
    return found


# Tens of thousands of devices have the same few names and values: each is kept once.


@lru_cache(_KEPT_MAX, typed=True)
def _attribute(kind: str, value: bool | int | str) -> Hashable:  # noqa: FBT001
    return Version(str(value)) if kind == "version" else value


@lru_cache(_KEPT_MAX)
def _amount(text: str) -> Amount:
    return Amount(text)


@lru_cache(_KEPT_MAX)
def _qualified(name: str, driver: str) -> str:
    return name if "/" in name else f"{driver}/{name}"


def _object(value: object, name: str) -> Json:
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} is {type(value).__name__}, not an object")  # noqa: TRY004
    return value
