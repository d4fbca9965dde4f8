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
from fleet.quantities import quantity
from scheduler.claim_template import NothingFitsError, chosen, claim_spec, owned_template
from scheduler.device_plugin import affinity, device_plugin_request
from scheduler.need import Need
from scheduler.need_annotations import DOMAIN, GPUS_MAX, NeedError, annotated, misspelt
from scheduler.pods import GPU_RESOURCES
from scheduler.ranking import Candidate, Prices, Ranking, prices_of, rank

CLAIM: Final = f"{DOMAIN}claim"
"""Annotation that Foresail sets: the alternatives of the pod's claim, in their order."""
CONTAINER: Final = f"{DOMAIN}container"
"""Annotation: the container that gets the GPUs."""
_DEFAULT_CONTAINER: Final = "kubectl.kubernetes.io/default-container"
POD_CLAIM: Final = "foresail-gpus"
"""Name of the entry that Foresail adds to `spec.resourceClaims`."""
_RESERVED: Final = "kube-"
"""Prefix of namespaces that Kubernetes keeps for itself."""
_NAME_MAX: Final = 253
_SHOWN_MAX: Final = 64

Json = Mapping[str, Any]


class GivenBy(StrEnum):
    """The mechanism that allocates the cluster's GPUs."""

    DRA = "dra"
    DEVICE_PLUGIN = "device-plugin"


class DeniedError(ValueError):
    """The pod's request cannot be met; the message is for its author."""


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
    metadata, spec = _part(pod, "metadata"), _part(pod, "spec")
    annotations = _part(metadata, "annotations")
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
        at = _container(annotations, spec)
        need = replace(need, tensor_parallel=need.tensor_parallel or _asked(_containers(spec)[at]))
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
    listed = [
        f"{one.gpus} x {one.generation.name} {'?' if one.cost is None else format(one.cost, '.3g')}"
        for one in alternatives
    ]
    return f"{', '.join(listed)} {ranking.unit} ({ranking.prices} prices)"


def _claim_patch(spec: Json, at: int, ranking: Ranking, template_name: str) -> tuple[Json, ...]:
    container = _containers(spec)[at]
    resources = _part(container, "resources")
    if _asked(container) is not None:
        raise DeniedError(
            f"container {container.get('name')!r} asks for {' or '.join(GPU_RESOURCES)} beside its"
            " need, which is met by a claim: drop one of the two"
        )
    entry = {"name": POD_CLAIM, "resourceClaimTemplateName": template_name}
    claims = [*_listed(resources, "claims"), {"name": POD_CLAIM}]
    return (
        _set("/spec/resourceClaims", [*_listed(spec, "resourceClaims"), entry]),
        _set(f"/spec/containers/{at}/resources", {**resources, "claims": claims}),
        _annotation(order(ranking, chosen(ranking))),
    )


def _device_plugin_patch(
    spec: Json, at: int, need: Need, catalogue: Catalogue, prices: Prices
) -> tuple[Json, ...]:
    own = device_plugin_request(catalogue, rank(catalogue, need, prices), prices)
    resources = _part(_containers(spec)[at], "resources")
    amount = {own.resource: str(own.gpus)}
    limits = {**_part(resources, "limits"), **amount}
    requests = {**_part(resources, "requests"), **amount}
    return (
        _set("/spec/affinity", affinity(dict(_part(spec, "affinity")), own)),
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

    The annotation alone does not prove it: it is copied along when a pod is used as an example.
    """
    ours = any(one.get("name") == POD_CLAIM for one in _listed(spec, "resourceClaims"))
    asked = any(_asked(one) is not None for one in _containers(spec))
    affine = bool(_part(_part(spec, "affinity"), "nodeAffinity"))
    return ours or (CLAIM in annotations and asked and affine)


def _container(annotations: Json, spec: Json) -> int:
    """Index of the container that gets the GPUs: the one named, or the first."""
    names = [one.get("name") for one in _containers(spec)]
    if not names:
        raise DeniedError("the pod has no containers")
    for key in (CONTAINER, _DEFAULT_CONTAINER):
        wanted = annotations.get(key)
        if wanted in names:
            return names.index(wanted)
        if wanted is not None and key == CONTAINER:
            shown = str(wanted)[:_SHOWN_MAX]
            known = ", ".join(str(name)[:_NAME_MAX] for name in names[:8])
            raise DeniedError(f"annotation {key} has the value {shown!r}: it takes one of {known}")
    return 0


def _asked(container: Json) -> int | None:
    """GPUs that it requests as an extended resource; None = it requests none."""
    resources = _part(container, "resources")
    for side in ("limits", "requests"):
        amounts = _part(resources, side)
        for resource in GPU_RESOURCES:
            if resource in amounts:
                amount = quantity(amounts[resource])
                if amount not in range(GPUS_MAX + 1):
                    shown = str(amounts[resource])[:_SHOWN_MAX]
                    raise DeniedError(f"{resource} is {shown!r}, not a number up to {GPUS_MAX}")
                return int(amount) or None
    return None


def _owner(metadata: Json) -> dict[str, str] | None:
    """The pod's controller as an owner reference, without `blockOwnerDeletion`."""
    for one in _listed(metadata, "ownerReferences"):
        reference = {key: one.get(key) for key in ("apiVersion", "kind", "name", "uid")}
        if one.get("controller") is True and all(
            isinstance(text, str) and 0 < len(text) <= _NAME_MAX for text in reference.values()
        ):
            return {key: str(text) for key, text in reference.items()}
    return None


def _containers(spec: Json) -> list[Json]:
    return _listed(spec, "containers")


def _part(of: Json, name: str) -> Json:
    value = of.get(name)
    if value is not None and not isinstance(value, Mapping):
        raise DeniedError(f"{name} is {type(value).__name__}, not an object")
    return value or {}


def _listed(of: Json, name: str) -> list[Json]:
    value = of.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, Mapping) for one in value):
        raise DeniedError(f"{name} is not a list of objects")
    return value
