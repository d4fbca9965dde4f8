"""What DRA drivers offer: ResourceSlices with their devices."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from functools import lru_cache
from sys import intern
from typing import Final

from fleet.cluster.fields import (
    Json,
    Taint,
    UnreadableObjectError,
    as_object,
    listed,
    name_of,
    part,
    taints,
    text,
    texts,
)
from fleet.quantities import quantity

DEVICES_MAX: Final = 128
"""Of a slice, by the API."""
_KEPT_MAX: Final = 4096
GPU_DRIVERS: Final = "gpu."
"""How the names of drivers of GPUs begin: `gpu.nvidia.com`, `gpu.amd.com`, `gpu.intel.com`."""


class AttributeType(StrEnum):
    """As the API calls them; lists are an alpha feature and not read."""

    BOOL = "bool"
    INT = "int"
    STRING = "string"
    VERSION = "version"


@dataclass(frozen=True, slots=True)
class Attribute:
    """The value of an attribute."""

    type: AttributeType
    value: bool | int | str


class Face(StrEnum):
    """What a device is of a GPU."""

    WHOLE = "whole"
    PARTITION = "partition"
    """A MIG device."""
    PASSED_THROUGH = "passed through"
    """The whole GPU, for a virtual machine."""


_FACES: Final[Mapping[str, Face]] = {
    "gpu": Face.WHOLE,
    "amdgpu": Face.WHOLE,
    "mig": Face.PARTITION,
    "vfio": Face.PASSED_THROUGH,
}
"""By the attribute `type`; a GPU driver's device without one is a whole GPU. Of AMD's partitions
nothing tells which GPU they are cut from, so they are not counted."""

Place = tuple[str, str, str]
"""Driver, pool and name: how an allocation calls a device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One device of a slice."""

    driver: str
    pool: str
    slice: str
    index: int
    """Its place in the list of the slice."""
    name: str
    node: str | None
    """None = it is on no single node."""
    attributes: Mapping[str, Attribute]
    """By qualified name, such as `gpu.nvidia.com/productName`."""
    capacity: Mapping[str, str]
    """Quantities as the driver writes them, by qualified name."""
    taints: tuple[Taint, ...] = ()
    all_taints_known: bool = True
    """False = a DeviceTaintRule that cannot be read may add some."""
    counters: tuple[str, ...] = ()
    """Sets of counters that it consumes: devices that share one may exclude each other."""
    shared: bool = False
    """Several claims may have it at once."""
    binding_conditions: tuple[str, ...] = ()
    """That must hold before a pod is bound; the allocator takes such devices last."""

    @property
    def place(self) -> Place:
        return self.driver, self.pool, self.name

    @property
    def face(self) -> Face | None:
        """What it is of a GPU; None = it is no GPU."""
        if not self.driver.startswith(GPU_DRIVERS):
            return None
        return _FACES.get(self._text("type") or "gpu")

    @property
    def gpu(self) -> str:
        """The physical GPU behind it: the same for a GPU and everything that is cut from it."""
        return (
            self._text("parentUUID")
            or self._text("uuid")
            or f"{self.driver}/{self.pool}/{self.name}"
        )

    @property
    def product(self) -> str | None:
        return self._text("productName") or self._text("model")

    @property
    def profile(self) -> str | None:
        """Of a MIG device."""
        return self._text("profile")

    @property
    def memory_bytes(self) -> float | None:
        return memory_bytes(self.capacity)

    @property
    def repelling(self) -> Taint | None:
        """A taint that keeps claims away which do not tolerate it."""
        return next((taint for taint in self.taints if taint.repels), None)

    def _text(self, name: str) -> str | None:
        found = self.attributes.get(f"{self.driver}/{name}")
        if found is None or found.type is not AttributeType.STRING or not found.value:
            return None
        return str(found.value)


def memory_bytes(capacity: Mapping[str, str]) -> float | None:
    """The memory among capacities; None = it is not told."""
    amount = next(
        (one for name, one in capacity.items() if name.rpartition("/")[2] == "memory"), None
    )
    return None if amount is None else float(quantity(amount))


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """A ResourceSlice."""

    name: str
    uid: str
    driver: str
    pool: str
    node: str | None
    """None = its devices belong to no single node."""
    generation: int
    slices: int
    """Of the pool in this generation."""
    devices: tuple[Device, ...]


def slice_of(document: Json) -> Slice:
    """The slice of an API object.

    Raises:
        UnreadableObjectError: with the field that is not as the API has it.
    """
    name, spec = name_of(document), part(document, "spec")
    pool = part(spec, "pool")
    driver, pool_name = text(spec, "driver"), text(pool, "name")
    if driver is None or pool_name is None:
        raise UnreadableObjectError("spec.driver or spec.pool.name is missing")
    node = text(spec, "nodeName")
    devices = list(listed(spec, "devices"))
    if len(devices) > DEVICES_MAX:
        raise UnreadableObjectError(f"{len(devices)} devices; the API allows {DEVICES_MAX}")
    return Slice(
        name=name,
        uid=text(part(document, "metadata"), "uid") or "",
        driver=intern(driver),
        pool=intern(pool_name),
        node=node and intern(node),
        generation=_count(pool, "generation", 0),
        slices=_count(pool, "resourceSliceCount", 1),
        devices=tuple(
            _device(one, driver=intern(driver), pool=intern(pool_name), of=name, at=at, node=node)
            for at, one in enumerate(devices)
        ),
    )


def _device(
    document: Json, *, driver: str, pool: str, of: str, at: int, node: str | None
) -> Device:
    # Before 1.34 the fields stood below `basic`.
    fields = part(document, "basic") or document
    name = text(document, "name")
    if name is None:
        raise UnreadableObjectError(f"device {at} has no name")
    here = node or text(fields, "nodeName")
    return Device(
        driver=driver,
        pool=pool,
        slice=of,
        index=at,
        name=intern(name),
        node=here and intern(here),
        attributes=_attributes(part(fields, "attributes"), driver),
        capacity=_capacity(part(fields, "capacity"), driver),
        taints=taints(fields),
        counters=tuple(text(one, "counterSet") or "" for one in listed(fields, "consumesCounters")),
        shared=fields.get("allowMultipleAllocations") is True,
        binding_conditions=texts(fields, "bindingConditions"),
    )


def _count(of: Json, name: str, default: int) -> int:
    value = of.get(name, default)
    if not isinstance(value, int):
        raise UnreadableObjectError(f"spec.pool.{name} is {str(value)[:64]!r}, no number")
    return value


def _attributes(document: Json, driver: str) -> Mapping[str, Attribute]:
    found = {}
    for name in document:
        for kind, value in as_object(document[name], name).items():
            if kind in set(AttributeType) and isinstance(value, bool | int | str):
                found[_qualified(name, driver)] = _attribute(kind, value)
    return found


def _capacity(document: Json, driver: str) -> Mapping[str, str]:
    found = {}
    for name in document:
        value = part(document, name).get("value")
        try:
            _: Fraction = quantity(value)
        except ValueError as error:
            raise UnreadableObjectError(f"capacity {name}: {error}") from error
        found[_qualified(name, driver)] = intern(str(value))
    return found


# Tens of thousands of devices have the same few names and values: each is kept once.


@lru_cache(_KEPT_MAX, typed=True)
def _attribute(kind: str, value: bool | int | str) -> Attribute:  # noqa: FBT001
    return Attribute(AttributeType(kind), value)


@lru_cache(_KEPT_MAX)
def _qualified(name: str, driver: str) -> str:
    return name if "/" in name else f"{driver}/{name}"
