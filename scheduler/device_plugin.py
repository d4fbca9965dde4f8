"""A ranking for device plugins: node affinity, and a number of an extended resource.

A pod has one number for all nodes, so all alternatives are ranked at the width of the best. Labels
come in three vocabularies (GPU feature discovery or AMD's labeller, Karpenter, GKE), and a node
that is yet to be made has only its cloud's: the terms are alternatives.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from fleet.catalogue import Catalogue, Generation
from scheduler.claim_template import Manifest, NothingFitsError
from scheduler.machines import PRODUCT
from scheduler.ranking import Candidate, Prices, Ranking, rank

TERMS_MAX: Final = 64
"""Of a pod's own affinity times ours; nobody writes more."""
_MEMORY: Final = "nvidia.com/gpu.memory"
_PRODUCTS: Final = {"nvidia": PRODUCT, "amd": "amd.com/gpu.product-name"}
_RESOURCES: Final = {"nvidia": "nvidia.com/gpu", "amd": "amd.com/gpu"}
_KARPENTER_NAME: Final = "karpenter.k8s.aws/instance-gpu-name"
_KARPENTER_MEMORY: Final = "karpenter.k8s.aws/instance-gpu-memory"
_GKE: Final = "cloud.google.com/gke-accelerator"
_WEIGHT_MAX: Final = 100
_WEIGHT_STEP: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicePluginRequest:
    """What a pod asks for where GPUs are an extended resource."""

    ranking: Ranking
    resource: str
    gpus: int
    required: tuple[Manifest, ...]
    """Terms, one of which a node must meet."""
    preferred: tuple[Manifest, ...]
    """The cheaper the generation, the heavier."""


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


def affinity(told: Manifest, own: DevicePluginRequest) -> Manifest:
    """A pod's affinity with ours in it: a node must meet one of its terms and one of ours.

    Raises:
        ValueError: the pod has more terms than anybody writes.
    """
    node = dict(told.get("nodeAffinity") or {})
    key = "requiredDuringSchedulingIgnoredDuringExecution"
    theirs = list((node.get(key) or {}).get("nodeSelectorTerms") or [{}])
    if len(theirs) * len(own.required) > TERMS_MAX:
        raise ValueError(f"{len(theirs)} nodeSelectorTerms times {len(own.required)} are too many")
    both = [_both(one, ours) for one in theirs for ours in own.required]
    node[key] = {"nodeSelectorTerms": both}
    key = "preferredDuringSchedulingIgnoredDuringExecution"
    node[key] = [*(node.get(key) or []), *own.preferred]
    return {**told, "nodeAffinity": node}


def _both(term: Manifest, ours: Manifest) -> Manifest:
    expressions = [*(term.get("matchExpressions") or []), *ours["matchExpressions"]]
    return {**term, "matchExpressions": expressions}


def _required(same: Sequence[Candidate], vendor: str) -> list[Manifest]:
    generations = [one.generation for one in same]
    least_mib = str(same[0].each_mib - 1)
    products = [_in(_PRODUCTS[vendor], [label for one in generations for label in _labels(one)])]
    if vendor == "nvidia":
        # A partition and a shared GPU have other products; a whole one with less memory is none.
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
    """By product alone: of several terms that a node meets, each would add its weight."""
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
    """As the node's product label has the names."""
    if generation.vendor == "amd":
        return [name for name in generation.names if " " not in name]
    return [name.replace(" ", "-") for name in generation.names]


def _in(key: str, values: Sequence[str]) -> dict[str, Any]:
    return {"key": key, "operator": "In", "values": list(dict.fromkeys(values))}


def _above(key: str, value: str) -> dict[str, Any]:
    return {"key": key, "operator": "Gt", "values": [value]}
