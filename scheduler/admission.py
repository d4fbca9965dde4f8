"""Admission of a pod that states a need: the claim that it gets, and the patch that adds it.

A pod can refer to a `ResourceClaimTemplate` by name, in its own namespace, and only when it is
created. So the template must exist first. Its name is a hash of its content: equal needs of one
owner share a template, and other prices make another one. The pod's owner (a ReplicaSet, a Job)
owns the template, and Kubernetes deletes it with its owner; the template of a pod without an owner
stays.

A tenant controls everything in a review. A value that cannot be used denies the pod with a message,
and the patch grants nothing that the tenant could not have written.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from fleet.catalogue import Catalogue
from scheduler.claim_template import NothingFitsError, chosen, claim_spec, owned_template
from scheduler.device_plugin import (
    MODEL_LABELS,
    REQUIRED,
    VENDORS,
    affinity,
    device_plugin_request,
)
from scheduler.gpu_container import (
    CONTAINER,
    DeniedError,
    gpu_container,
    gpus_of,
    listed,
    part,
)
from scheduler.need import Need
from scheduler.need_annotations import DOMAIN, NeedError, annotated, called, check_width, misspelt
from scheduler.ranking import Candidate, Prices, Ranking, prices_of, rank

CLAIM: Final = f"{DOMAIN}claim"
"""Annotation that Foresail sets: the alternatives of the pod's claim, in their order."""
POD_CLAIM: Final = "foresail-gpus"
"""Name of the entry that Foresail adds to `spec.resourceClaims`."""
_RESERVED: Final = "kube-"
"""Prefix of namespaces that Kubernetes keeps for itself."""
_NAME_MAX: Final = 253

Json = Mapping[str, Any]


class GivenBy(StrEnum):
    """The mechanism that allocates the cluster's GPUs."""

    DRA = "dra"
    DEVICE_PLUGIN = "device-plugin"


class NotReadyError(Exception):
    """The pod cannot be answered before more is known of the cluster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The operator's settings for all pods."""

    catalogue: Catalogue
    given_by: GivenBy = GivenBy.DRA
    usd_per_gpu_hour: Mapping[str, float] | None = None
    """By generation; used before list prices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """The answer for a pod."""

    patch: tuple[Json, ...] = ()
    """JSONPatch (RFC 6902); empty = the pod stays as it is."""
    template: Json | None = None
    """It must exist before the pod does."""
    warnings: tuple[str, ...] = ()


def admit(
    pod: Json,
    namespace: str,
    policy: Policy,
    device_classes: frozenset[str] | None = None,
) -> Admission:
    """The claim, or the device plugin's resource, for a pod that is being created.

    Args:
        pod: a `v1` Pod as it was sent; its name and namespace may be missing.
        namespace: of the pod.
        policy: the operator's settings.
        device_classes: of the cluster; None = not known yet, so no claim can be made:
            kube-scheduler refuses a pod if one alternative of its claim has no class.

    Raises:
        NotReadyError: a claim must be made, and the device classes are not known.
        DeniedError: the need or the pod is invalid, or nothing serves the need.
    """
    metadata, spec = part(pod, "metadata"), part(pod, "spec")
    annotations = part(metadata, "annotations")
    warnings = tuple(misspelt(annotations))
    try:
        need = annotated(annotations, policy.catalogue)
        if need is None or _is_done(annotations, spec):
            return Admission(warnings=warnings)
        if namespace.startswith(_RESERVED):
            raise DeniedError(
                f"namespace {namespace} is Kubernetes' own, and gets no claims: make the pod in"
                " another namespace"
            )
        at = gpu_container(annotations, spec)
        if policy.given_by is GivenBy.DRA:
            _refuse_both(spec, at)
        else:
            need = _as_asked(need, spec, at)
        prices = prices_of(policy.catalogue, need.price_source, policy.usd_per_gpu_hour)
        if policy.given_by is GivenBy.DEVICE_PLUGIN:
            patch = _device_plugin_patch(spec, at, need, policy.catalogue, prices)
            return Admission(patch=patch, warnings=warnings)
        if device_classes is None:
            raise NotReadyError("the cluster's DeviceClasses are not read yet")
        ranking = rank(policy.catalogue, need, prices, device_classes)
        made = owned_template(claim_spec(ranking), namespace=namespace, owner=_owner(metadata))
        patch = _claim_patch(spec, at, ranking, str(made["metadata"]["name"]))
    except (NeedError, NothingFitsError, ValueError) as error:
        raise DeniedError(str(error)) from error
    return Admission(patch=patch, template=made, warnings=warnings)


def order(ranking: Ranking, alternatives: Sequence[Candidate]) -> str:
    """The alternatives as text: `2 x l40s 1.19, 1 x h100-sxm 2.38 $ per million tokens`."""
    parts = [
        f"{one.gpus} x {one.generation.name} {'?' if one.cost is None else format(one.cost, '.3g')}"
        for one in alternatives
    ]
    return f"{', '.join(parts)} {ranking.unit} ({ranking.prices} prices)"


def _refuse_both(spec: Json, at: int) -> None:
    """Device plugins and claims would give the GPUs of one node twice.

    Raises:
        DeniedError: the container that the need is of asks for GPUs.
    """
    containers = listed(spec, "containers")
    asked = sorted(gpus_of(containers[at]))
    if asked:
        other = f", or name another container in the annotation {CONTAINER}"
        raise DeniedError(
            f"container {containers[at].get('name')!r} asks for {' and '.join(asked)} beside its"
            " need, which is met by a claim: drop one of the two"
            f"{other if len(containers) > 1 else ''}"
        )


def _as_asked(need: Need, spec: Json, at: int) -> Need:
    """The need, of the vendor and at the width that its container asks device plugins for.

    Raises:
        DeniedError: the containers' GPUs are on no one node, or the need is of other ones.
        NeedError: engines do not divide by that width.
    """
    container = listed(spec, "containers")[at]
    name, asked = container.get("name"), gpus_of(container)
    others = [gpus_of(one) for key in ("containers", "initContainers") for one in listed(spec, key)]
    resources = set(asked).union(*others)
    if len(resources) > 1:
        raise DeniedError(
            f"the pod's containers ask for {' and '.join(sorted(resources))}, which no node has"
            " together: ask for one of them"
        )
    for resource in resources:
        vendor = VENDORS.get(resource)
        if vendor is None:
            raise DeniedError(
                f"a need is met by {' or '.join(VENDORS)}, and the pod asks for {resource}:"
                " drop one of the two"
            )
        if need.vendors is not None and vendor not in need.vendors:
            raise DeniedError(
                f"the pod asks for {resource}, and the {called('gpu-vendors')} does not name"
                f" {vendor}: drop one of the two"
            )
        need = replace(need, vendors=frozenset({vendor}))
    if need.tensor_parallel is not None or not asked:
        return need
    need = replace(need, tensor_parallel=sum(asked.values()))
    check_width(need, f"container {name!r} asks for {need.tensor_parallel} GPUs")
    return need


def _claim_patch(spec: Json, at: int, ranking: Ranking, template_name: str) -> tuple[Json, ...]:
    resources = part(listed(spec, "containers")[at], "resources")
    entry = {"name": POD_CLAIM, "resourceClaimTemplateName": template_name}
    claims = [*listed(resources, "claims"), {"name": POD_CLAIM}]
    return (
        _set("/spec/resourceClaims", [*listed(spec, "resourceClaims"), entry]),
        _set(f"/spec/containers/{at}/resources", {**resources, "claims": claims}),
        _annotation(order(ranking, chosen(ranking))),
    )


def _device_plugin_patch(
    spec: Json, at: int, need: Need, catalogue: Catalogue, prices: Prices
) -> tuple[Json, ...]:
    own = device_plugin_request(catalogue, rank(catalogue, need, prices), prices)
    resources = part(listed(spec, "containers")[at], "resources")
    amount = {own.resource: str(own.gpus)}
    limits = {**part(resources, "limits"), **amount}
    requests = {**part(resources, "requests"), **amount}
    return (
        _set("/spec/affinity", affinity(dict(part(spec, "affinity")), own)),
        _set(
            f"/spec/containers/{at}/resources",
            {**resources, "limits": limits, "requests": requests},
        ),
        _annotation(order(own.ranking, own.ranking.feasible)),
    )


def _set(path: str, value: object) -> Json:
    """`add` creates a member, or replaces the value of an existing one."""
    return {"op": "add", "path": path, "value": value}


def _annotation(text: str) -> Json:
    return _set(f"/metadata/annotations/{CLAIM.replace('/', '~1')}", text)


def _is_done(annotations: Json, spec: Json) -> bool:
    """Whether the pod was patched before: it is reviewed again when other webhooks change it.

    The annotation alone does not prove it: it is copied along when a pod is used as an example, and
    such a pod may have GPUs and an affinity of its own, if none to GPU models.
    """
    ours = any(one.get("name") == POD_CLAIM for one in listed(spec, "resourceClaims"))
    asked = any(gpus_of(one) for one in listed(spec, "containers"))
    required = part(part(part(spec, "affinity"), "nodeAffinity"), REQUIRED)
    to_models = any(
        one.get("key") in MODEL_LABELS
        for term in listed(required, "nodeSelectorTerms")
        for one in listed(term, "matchExpressions")
    )
    return ours or (CLAIM in annotations and asked and to_models)


def _owner(metadata: Json) -> dict[str, str] | None:
    """The pod's controller as an owner reference, without `blockOwnerDeletion`."""
    for one in listed(metadata, "ownerReferences"):
        reference = {key: one.get(key) for key in ("apiVersion", "kind", "name", "uid")}
        if one.get("controller") is True and all(
            isinstance(text, str) and 0 < len(text) <= _NAME_MAX for text in reference.values()
        ):
            return {key: str(text) for key, text in reference.items()}
    return None
