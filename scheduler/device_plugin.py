"""Writes a ranking for device plugins: node affinity, and an amount of an extended resource.

A pod requests one amount on all nodes, so all alternatives are ranked at the width of the best.
There are three sets of node labels (GPU feature discovery or AMD's labeller, Karpenter, GKE), and a
node that does not exist yet has only its cloud's. The node selector terms are alternatives.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from fleet.catalogue import Catalogue, Generation
from scheduler.claim_template import Manifest, NothingFitsError
from scheduler.machines import PRODUCT
from scheduler.ranking import Candidate, Prices, Ranking, rank

TERMS_MAX: Final = 64
"""Terms of the pod's own affinity times those added here."""
_MEMORY: Final = "nvidia.com/gpu.memory"
_PRODUCTS: Final = {"nvidia": PRODUCT, "amd": "amd.com/gpu.product-name"}
_RESOURCES: Final = {"nvidia": "nvidia.com/gpu", "amd": "amd.com/gpu"}
VENDORS: Final = {resource: vendor for vendor, resource in _RESOURCES.items()}
"""Whose GPUs a resource counts."""
_KARPENTER_NAME: Final = "karpenter.k8s.aws/instance-gpu-name"
_KARPENTER_MEMORY: Final = "karpenter.k8s.aws/instance-gpu-memory"
_GKE: Final = "cloud.google.com/gke-accelerator"
MODEL_LABELS: Final = (*_PRODUCTS.values(), _KARPENTER_NAME, _GKE)
"""That tell a node's GPU model; each required term names one."""
REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"
_WEIGHT_MAX: Final = 100
_WEIGHT_STEP: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicePluginRequest:
    """The affinity and resource of a pod, where GPUs are an extended resource."""

    ranking: Ranking
    resource: str
    gpus: int
    required: tuple[Manifest, ...]
    """Node selector terms; a node must meet one."""
    preferred: tuple[Manifest, ...]
    """Preferred terms; a cheaper generation has more weight."""


def device_plugin_request(
    catalogue: Catalogue, ranking: Ranking, prices: Prices
) -> DevicePluginRequest:
    """The affinity and the resource of the best generation's vendor, at its width.

    Raises:
        NothingFitsError: no generation serves the need.
    """
    if not ranking.feasible:
        raise NothingFitsError(ranking)
    best = ranking.feasible[0]
    at_width = rank(catalogue, replace(ranking.need, tensor_parallel=best.gpus), prices)
    vendor = best.generation.vendor
    same = [one for one in at_width.feasible if one.generation.vendor == vendor]
    return DevicePluginRequest(
        ranking=at_width,
        resource=_RESOURCES[vendor],
        gpus=best.gpus,
        required=tuple(_required(same, vendor)),
        preferred=tuple(_preferred(same, vendor)),
    )


def affinity(existing: Manifest, request: DevicePluginRequest) -> Manifest:
    """A pod's affinity with the request added: a node must meet a term of each.

    Raises:
        ValueError: the product of both sets of terms is too large.
    """
    node = dict(existing.get("nodeAffinity") or {})
    theirs = list((node.get(REQUIRED) or {}).get("nodeSelectorTerms") or [{}])
    if len(theirs) * len(request.required) > TERMS_MAX:
        raise ValueError(
            f"{len(theirs)} nodeSelectorTerms times {len(request.required)} are too many"
        )
    both = [_both(one, ours) for one in theirs for ours in request.required]
    node[REQUIRED] = {"nodeSelectorTerms": both}
    key = "preferredDuringSchedulingIgnoredDuringExecution"
    node[key] = [*(node.get(key) or []), *request.preferred]
    return {**existing, "nodeAffinity": node}


def _both(term: Manifest, ours: Manifest) -> Manifest:
    expressions = [*(term.get("matchExpressions") or []), *ours["matchExpressions"]]
    return {**term, "matchExpressions": expressions}


def _required(same: Sequence[Candidate], vendor: str) -> list[Manifest]:
    generations = [one.generation for one in same]
    least_mib = str(same[0].each_mib - 1)
    products = [_in(_PRODUCTS[vendor], [label for one in generations for label in _labels(one)])]
    if vendor == "nvidia":
        # MIG partitions and shared GPUs have other product names; this excludes smaller models.
        products.append(_above(_MEMORY, least_mib))
    terms = [products]
    karpenter = [one.karpenter for one in generations if one.karpenter]
    if karpenter:
        terms.append([_in(_KARPENTER_NAME, karpenter), _above(_KARPENTER_MEMORY, least_mib)])
    gke = [one.gke for one in generations if one.gke]
    if gke:
        terms.append([_in(_GKE, gke)])
    return [{"matchExpressions": term} for term in terms]


def _preferred(same: Sequence[Candidate], vendor: str) -> list[Manifest]:
    """By product only: every preferred term that a node meets would add its weight."""
    return [
        {
            "weight": max(_WEIGHT_MAX - _WEIGHT_STEP * at, 1),
            "preference": {
                "matchExpressions": [_in(_PRODUCTS[vendor], _labels(one.generation))],
            },
        }
        for at, one in enumerate(same)
    ]


def _labels(generation: Generation) -> list[str]:
    """The names, as the node's product label spells them."""
    if generation.vendor == "amd":
        return [name for name in generation.names if " " not in name]
    return [name.replace(" ", "-") for name in generation.names]


def _in(key: str, values: Sequence[str]) -> dict[str, Any]:
    return {"key": key, "operator": "In", "values": list(dict.fromkeys(values))}


def _above(key: str, value: str) -> dict[str, Any]:
    return {"key": key, "operator": "Gt", "values": [value]}
