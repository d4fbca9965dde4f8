"""A ranking as a `ResourceClaimTemplate`: generations in cost order, the first that fits is taken.

Every selector is guarded: kube-scheduler gives up a pod on all nodes when an expression fails on
one device, and any driver may publish less than we know of. A generation is known by its product
name, which both vendors' drivers publish; not by the compute capability, which generations share.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from scheduler.ranking import Candidate, Ranking

ALTERNATIVES_MAX: Final = 8
"""Of `firstAvailable` (`resource.k8s.io/v1`)."""
REQUEST: Final = "gpus"
MANAGED_BY: Final = {"app.kubernetes.io/managed-by": "foresail"}
PCIE_ROOT: Final = "resource.kubernetes.io/pcieRoot"
_DIGEST_DIGITS: Final = 12

Manifest = dict[str, Any]


class NothingFitsError(ValueError):
    """No generation can serve the need; says why each is out."""

    def __init__(self, ranking: Ranking) -> None:
        why = "; ".join(f"{one.generation.name}: {one.excluded}" for one in ranking.candidates)
        super().__init__(f"no GPU generation serves {ranking.need}: {why}")


@dataclass(frozen=True, slots=True)
class Driver:
    """How a vendor's DRA driver speaks of whole GPUs."""

    name: str
    device_class: str
    kind: str
    """Its `type` of a whole GPU: neither a partition nor one passed through to a machine."""


DRIVERS: Final[Mapping[str, Driver]] = {
    "nvidia": Driver("gpu.nvidia.com", "gpu.nvidia.com", "gpu"),
    "amd": Driver("gpu.amd.com", "gpu.amd.com", "amdgpu"),
}
"""By vendor. kubernetes-sigs/dra-driver-nvidia-gpu, ROCm/k8s-gpu-dra-driver."""


def chosen(ranking: Ranking) -> tuple[Candidate, ...]:
    """The alternatives of the claim, in their order.

    Raises:
        NothingFitsError: there is none.
    """
    feasible = ranking.feasible
    if not feasible:
        raise NothingFitsError(ranking)
    return feasible[:ALTERNATIVES_MAX]


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
    """A template of ours: named by its content, labelled, and gone with its owner.

    Args:
        spec: of the claims.
        namespace: of the template and of its owner.
        owner: an owner reference; None = nobody, and it stays.
    """
    made = template(spec, name=content_name(spec, owner), namespace=namespace)
    made["metadata"]["labels"] = dict(MANAGED_BY)
    if owner is not None:
        made["metadata"]["ownerReferences"] = [dict(owner)]
    return made


def content_name(*parts: object) -> str:
    """A name that only the same content has: a template's spec cannot be changed."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return f"foresail-{sha256(text.encode()).hexdigest()[:_DIGEST_DIGITS]}"


def _alternative(one: Candidate) -> Manifest:
    driver = DRIVERS[one.generation.vendor]
    return {
        "name": one.generation.name,
        "deviceClassName": driver.device_class,
        "allocationMode": "ExactCount",
        "count": one.gpus,
        "selectors": [{"cel": {"expression": _selector(one, driver)}}],
    }


def _selector(one: Candidate, driver: Driver) -> str:
    """What must hold of a device; a name that it lacks makes it false, and not an error."""
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
    """One product for all GPUs of a replica, and one PCIe root where PCIe is all that joins them.

    No driver publishes NVLink, islands or cliques of whole GPUs: those are the extender's.
    """
    several = [one for one in alternatives if one.gpus > 1]
    constraints = []
    for vendor, driver in DRIVERS.items():
        requests = [_path(one) for one in several if one.generation.vendor == vendor]
        if requests:
            attribute = f"{driver.name}/productName"
            constraints.append({"requests": requests, "matchAttribute": attribute})
    requests = [_path(one) for one in several if not one.generation.nvlink_gb_s]
    if same_root and requests:
        constraints.append({"requests": requests, "matchAttribute": PCIE_ROOT})
    return constraints


def _path(one: Candidate) -> str:
    return f"{REQUEST}/{one.generation.name}"
