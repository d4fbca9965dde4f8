"""DeviceTaintRules: taints that an administrator or a controller puts on devices of any driver.

A rule has the same effect as a taint that the driver itself writes into the ResourceSlice.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from fleet.cluster.devices import Device, Slice
from fleet.cluster.fields import (
    Json,
    Taint,
    UnreadableObjectError,
    as_object,
    name_of,
    part,
    taint,
    text,
)

_TOO_OLD: Final = ("deviceClassName", "selectors")
"""Of selectors before Kubernetes 1.35; they narrow a rule, so that without them it would taint too
many devices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSelector:
    """Which devices: those for which all that is given is the same."""

    driver: str | None = None
    pool: str | None = None
    device: str | None = None

    def covers(self, device: Device) -> bool:
        return (
            self.driver in {None, device.driver}
            and self.pool in {None, device.pool}
            and self.device in {None, device.name}
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TaintRule:
    """A DeviceTaintRule."""

    name: str
    uid: str = ""
    selector: DeviceSelector | None
    """None = it covers no device."""
    taint: Taint


def taint_rule_of(document: Json) -> TaintRule:
    """The rule of an API object.

    Raises:
        UnreadableObjectError: it is none, or selects devices in a way that Kubernetes 1.35 dropped.
    """
    spec = part(document, "spec")
    selector = None
    if spec.get("deviceSelector") is not None:
        fields = as_object(spec["deviceSelector"], "spec.deviceSelector")
        for field in _TOO_OLD:
            if fields.get(field):
                raise UnreadableObjectError(
                    f"spec.deviceSelector.{field} is not read; select by driver, pool and device"
                )
        selector = DeviceSelector(
            driver=text(fields, "driver"), pool=text(fields, "pool"), device=text(fields, "device")
        )
    return TaintRule(
        name=name_of(document),
        uid=text(part(document, "metadata"), "uid") or "",
        selector=selector,
        taint=taint(part(spec, "taint")),
    )


RulesByPool = Mapping[str | None, Iterable[TaintRule]]
"""Under None those that name no pool."""


def by_pool(rules: Iterable[TaintRule]) -> RulesByPool:
    """The rules by the pool that they name; those that cover no device are left out."""
    found: defaultdict[str | None, list[TaintRule]] = defaultdict(list)
    for one in sorted(rules, key=lambda rule: rule.name):
        if one.selector is not None:
            found[one.selector.pool].append(one)
    return found


def tainted(one: Slice, rules: RulesByPool) -> Slice:
    """The slice, each device with the taints that rules add to its own."""
    near = [*rules.get(one.pool, ()), *rules.get(None, ())]
    if not near:
        return one
    devices = tuple(_tainted(device, near) for device in one.devices)
    return one if devices == one.devices else replace(one, devices=devices)


def with_unknown_taints(one: Slice) -> Slice:
    """The slice while some rule cannot be read, which may taint any of its devices."""
    return replace(
        one, devices=tuple(replace(device, all_taints_known=False) for device in one.devices)
    )


def _tainted(device: Device, rules: Iterable[TaintRule]) -> Device:
    more = tuple(
        rule.taint for rule in rules if rule.selector is not None and rule.selector.covers(device)
    )
    return replace(device, taints=(*device.taints, *more)) if more else device
