"""Writes a ranking as a `ResourceClaimTemplate`: generations in cost order, first available.

Every selector is guarded. kube-scheduler gives up a pod on all nodes when an expression fails on
one device, and a driver may publish fewer attributes than expected. A selector matches a generation
by its product name, which both vendors' drivers publish, and not by the compute capability, which
several generations share.
"""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

from scheduler.drivers import DRIVERS, Driver
from scheduler.ranking import Candidate, Lack, Ranking, place

ALTERNATIVES_MAX: Final = 8
"""Of `firstAvailable` (`resource.k8s.io/v1`)."""
REQUEST: Final = "gpus"
MANAGED_BY: Final = {"app.kubernetes.io/managed-by": "foresail"}
PCIE_ROOT: Final = "resource.kubernetes.io/pcieRoot"
_DIGEST_DIGITS: Final = 12
_SHOWN_MAX: Final = 4

Manifest = dict[str, Any]


class NothingFitsError(ValueError):
    """No generation can serve the need; the message has one line for each kind of reason."""

    def __init__(self, ranking: Ranking) -> None:
        lines = [f"no GPU generation serves {ranking.need}"]
        by_lack: dict[Lack, list[Candidate]] = {}
        for one in ranking.candidates:
            if one.excluded is not None:
                by_lack.setdefault(one.excluded.lack, []).append(one)
        named = [lack for lack in Lack if lack in by_lack]
        # That GPUs were not named is only worth a line where no other reason excludes any.
        listed = [lack for lack in named if lack is not Lack.NAME or len(named) == 1]
        lines += [f"  {_why(lack, by_lack[lack])}" for lack in listed]
        super().__init__("\n".join(lines))


_TO_DO: Final[Mapping[Lack, str]] = {
    Lack.NAME: "change gpu-models or gpu-models-excluded",
    Lack.VENDOR: "name them if the engine's image runs on them",
    Lack.DEVICE_CLASS: "install the driver, or have device plugins hand out the GPUs",
    Lack.ARITHMETIC: "choose another precision",
    Lack.COUNT: "choose a smaller tensor-parallel",
    Lack.MEMORY: "choose fewer bits (precision), fewer concurrent-requests or shorter requests",
    Lack.SPEED: "allow more time (itl, ttft) or a larger tensor-parallel",
}


def _why(lack: Lack, out: Sequence[Candidate]) -> str:
    """The excluded generations, the closest first, with the reason and what to do."""
    if lack is Lack.MEMORY:
        out = sorted(out, key=lambda one: one.gpus * one.generation.memory_gib, reverse=True)
    elif lack is Lack.SPEED:
        out = sorted(out, key=lambda one: one.gpus * one.generation.bandwidth_gb_s, reverse=True)
    shown = 1 if lack in {Lack.MEMORY, Lack.SPEED} else _SHOWN_MAX
    names = ", ".join(one.generation.name for one in out[:shown])
    more = f" and {len(out) - shown} more" if len(out) > shown else ""
    closest = out[0].excluded
    if closest is None:
        raise ValueError(f"{names} is not excluded")
    wider = lack is Lack.MEMORY and closest.wider
    to_do = f"set tensor-parallel to {wider}" if wider else _TO_DO[lack]
    return f"{names}{more}: {closest.why}: {to_do}"


def chosen(ranking: Ranking) -> tuple[Candidate, ...]:
    """The alternatives of the claim, in their order.

    Each generation is listed at its best width, and at narrower ones while the list has room, so
    that the free part of a node can be used.

    Raises:
        NothingFitsError: no generation serves the need.
    """
    feasible = ranking.feasible
    if not feasible:
        raise NothingFitsError(ranking)

    def order(one: Candidate) -> tuple[object, ...]:
        return place(one, ranking.need)

    narrower = sorted((less for one in feasible for less in one.narrower), key=order)
    return tuple(sorted([*feasible, *narrower][:ALTERNATIVES_MAX], key=order))


def claim_spec(ranking: Ranking) -> Manifest:
    """A ResourceClaimSpec of `resource.k8s.io/v1`.

    Raises:
        NothingFitsError: no generation serves the need.
    """
    alternatives = chosen(ranking)
    devices: Manifest = {
        "requests": [
            {"name": REQUEST, "firstAvailable": [_alternative(one) for one in alternatives]}
        ]
    }
    constraints = _constraints(alternatives, same_root=ranking.need.same_pcie_root)
    if constraints:
        devices["constraints"] = constraints
    return {"devices": devices}


def template(
    spec: Manifest,
    *,
    name: str,
    namespace: str | None = None,
) -> Manifest:
    """A ResourceClaimTemplate."""
    metadata = {"name": name} if namespace is None else {"name": name, "namespace": namespace}
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaimTemplate",
        "metadata": metadata,
        "spec": {"spec": spec},
    }


def owned_template(
    spec: Manifest, *, namespace: str, owner: Mapping[str, object] | None
) -> Manifest:
    """A template that the webhook makes: named by its content, labelled, and owned.

    Args:
        spec: of the claims.
        namespace: of the template and of its owner.
        owner: an owner reference; None = no owner, and nothing deletes it.
    """
    made = template(spec, name=content_name(spec, owner), namespace=namespace)
    made["metadata"]["labels"] = dict(MANAGED_BY)
    if owner is not None:
        made["metadata"]["ownerReferences"] = [dict(owner)]
    return made


def content_name(*parts: object) -> str:
    """A hash of the content as a name, because the spec of a template is immutable."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return f"foresail-{sha256(text.encode()).hexdigest()[:_DIGEST_DIGITS]}"


def _alternative(one: Candidate) -> Manifest:
    driver = DRIVERS[one.generation.vendor]
    return {
        "name": one.name,
        "deviceClassName": driver.device_class,
        "allocationMode": "ExactCount",
        "count": one.gpus,
        "selectors": [{"cel": {"expression": _selector(one, driver)}}],
    }


def _selector(one: Candidate, driver: Driver) -> str:
    """CEL for a matching device; false, and no error, where an attribute is missing."""
    names = json.dumps(list(one.generation.names))
    return (
        f'device.driver == "{driver.name}"\n'
        f'&& cel.bind(gpu, device.attributes["{driver.name}"],\n'
        f'  has(gpu.type) && gpu.type == "{driver.kind}"\n'
        f"  && has(gpu.productName) && gpu.productName in {names})\n"
        f'&& cel.bind(room, device.capacity["{driver.name}"],\n'
        f'  has(room.memory) && room.memory.compareTo(quantity("{one.each_mib}Mi")) >= 0)'
    )


def _constraints(alternatives: Sequence[Candidate], *, same_root: bool) -> list[Manifest]:
    """One product for all GPUs of a replica; one PCIe root where only PCIe connects them.

    No driver publishes NVLink, islands or cliques of whole GPUs: the extender handles those.
    """
    several = [one for one in alternatives if one.gpus > 1]
    constraints = []
    for vendor, driver in DRIVERS.items():
        requests = [_path(one) for one in several if one.generation.vendor == vendor]
        if requests:
            attribute = f"{driver.name}/productName"
            constraints.append({"requests": requests, "matchAttribute": attribute})
    requests = [_path(one) for one in several if one.over_pcie]
    if same_root and requests:
        constraints.append({"requests": requests, "matchAttribute": PCIE_ROOT})
    return constraints


def _path(one: Candidate) -> str:
    return f"{REQUEST}/{one.name}"
