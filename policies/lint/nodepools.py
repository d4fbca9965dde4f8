"""Karpenter's NodePools in manifests."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from fleet.cluster.fields import UnreadableObjectError
from fleet.cluster.karpenter import node_claim_of
from fleet.cluster.nodes import INSTANCE_TYPE
from fleet.documents import Json, listed, part, text
from policies.lint.objects import Inputs, Object
from policies.lint.scaled import SCALED_OBJECT, foresail_triggers

NODE_POOL: Final = "karpenter.sh/NodePool"
_TEMPLATE: Final = ("spec", "template", "spec")
_GPU_WORDS: Final = re.compile(r"gpu|nvidia|amd\.com/|accelerator|neuron|gaudi")
_GPU_LABELS: Final = re.compile(r"(instance|sku)-(gpu|accelerator)-|gke-accelerator|nvidia\.com/")
_GPU_FAMILY: Final = re.compile(
    r"(p[2-6][a-z0-9-]*|g[2-7][a-z0-9-]*|gr6[a-z]*)(\..+)?|a[2-9]x?(-.+)?|standard_n[cdgv].*"
)
"""Of AWS, Google (a3-highgpu-8g) and Azure (Standard_ND96isr_H100_v5), in small letters."""
_GPU_CATEGORIES: Final = frozenset({"g", "p"})


def template_spec(of: Object) -> Json:
    return part(of.value, *_TEMPLATE)


def template_metadata(of: Object) -> Json:
    return part(of.value, "spec", "template", "metadata")


def is_static(of: Object) -> bool:
    return of.spec.get("replicas") is not None


def is_gpu_pool(of: Object) -> bool:
    """Whether it makes nodes with GPUs: by limits, taints, labels or requirements.

    A pool that a requirement keeps away from GPUs is none.
    """
    if any(_GPU_WORDS.search(name) for name in part(of.spec, "limits")):
        return True
    spec = template_spec(of)
    if any(_GPU_WORDS.search(text(one, "key") or "") for one in listed(spec, "taints")):
        return True
    return any(_asks_for_gpus(one) for one in listed(spec, "requirements"))


def _asks_for_gpus(requirement: Json) -> bool:
    key, operator = text(requirement, "key") or "", text(requirement, "operator") or ""
    given = requirement.get("values")
    values = [one for one in given if isinstance(one, str)] if isinstance(given, list) else []
    if operator in {"NotIn", "DoesNotExist", "Lt", "Lte"}:
        return False
    if _GPU_LABELS.search(key):
        return values != ["0"] or operator in {"Gt", "Gte"}
    if operator != "In" or not values:
        return False
    if key.endswith("/instance-category"):
        return set(values) <= _GPU_CATEGORIES
    if key.endswith(("/instance-family", "/sku-name", INSTANCE_TYPE)):
        return all(_GPU_FAMILY.fullmatch(one.lower()) for one in values)
    return False


def node_lead(pool: Object, inputs: Inputs) -> tuple[float, str] | None:
    """How long a new node of a pool takes, and whose word that is.

    The operator's, else the longer one of what the pool's NodeClaims took and of what triggers say.
    """
    stated = inputs.context.node_lead_seconds
    if stated is not None:
        return stated, "--node-lead-time"
    known = (inputs.once(_longest_lead), inputs.once(_slowest_claims).get(pool.name))
    return max((one for one in known if one is not None), default=None)


def _slowest_claims(inputs: Inputs) -> Mapping[str, tuple[float, str]]:
    """By pool, the longest time from an order to an initialized node, and the NodeClaim."""
    found: dict[str, tuple[float, str]] = {}
    for one in inputs.of("karpenter.sh/NodeClaim"):
        try:
            claim = node_claim_of(one.value)
        except UnreadableObjectError:
            continue
        ready = claim.since_seconds("Initialized")
        if claim.pool is None or claim.created_seconds is None or ready is None:
            continue
        took = (ready - claim.created_seconds, one.title)
        found[claim.pool] = max(took, found.get(claim.pool, took))
    return found


def _longest_lead(inputs: Inputs) -> tuple[float, str] | None:
    leads = [
        (trigger.lead_seconds, f"leadTime of {one.title}")
        for one in inputs.of(SCALED_OBJECT)
        for trigger in foresail_triggers(one)
        if "leadTime" in trigger.metadata
    ]
    return max(leads, default=None)


def gpu_pools(inputs: Inputs) -> list[Object]:
    return [one for one in inputs.of(NODE_POOL) if is_gpu_pool(one)]


def budgets_of(of: Object) -> Iterator[tuple[int, Json]]:
    budgets = part(of.spec, "disruption").get("budgets")
    for index, one in enumerate(budgets if isinstance(budgets, list) else ()):
        if isinstance(one, dict):
            yield index, one
