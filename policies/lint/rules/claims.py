"""Dynamic Resource Allocation: claims, their templates, and the pods that have them."""

import re
from collections.abc import Iterator
from typing import Final

from fleet.documents import Json, is_object, listed, part, text
from policies.lint.finding import Fault, Path, Severity
from policies.lint.nodepools import gpu_pools, is_static
from policies.lint.objects import Inputs, Object
from policies.lint.pods import POD_TYPES, pods_in
from policies.lint.rule import rule

TEMPLATE: Final = "resource.k8s.io/ResourceClaimTemplate"
CLAIM: Final = "resource.k8s.io/ResourceClaim"
CLASS: Final = "resource.k8s.io/DeviceClass"
_ALL: Final = (TEMPLATE, CLAIM, CLASS)
_NOMINAL: Final = (16, 24, 32, 40, 48, 80, 94, 96, 141, 180, 192)
"""GiB on the label of a GPU; its driver reports a few per cent less."""
_QUANTITY: Final = re.compile(r"quantity\(\s*[\"'](\d{1,4})Gi[\"']\s*\)")
_EXACT: Final = re.compile(r">\s*=?\s*0|isGreaterThan|==\s*0")
_ATTRIBUTE: Final = re.compile(r"(attributes|capacity)\s*\[\s*[\"'][^\"']+[\"']\s*\]\s*\.\s*\w+")
_GUARD: Final = re.compile(
    r"device\.driver\s*==|\bhas\s*\(|\bin\s+device\.|\.\?|\.orValue\(|\[\s*\?"
)
_ALTERNATIVES_MAX: Final = 8
_REQUESTS_MAX: Final = 32


@rule(
    "FS541",
    Severity.WARNING,
    on=_ALL,
    what="a memory that no GPU reports",
    fix='compare with a few per cent less: quantity("76Gi") for an 80 GB GPU',
    source="NVIDIA DRA driver, device capacity (NVML memory)",
)
def nominal_memory(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """The driver publishes what NVML reports: an "80 GB" H100 has 79.6 GiB, so a claim for 80Gi
    matches none.
    """
    for at, expression in _expressions(of):
        for given in _QUANTITY.findall(expression):
            if int(given) in _NOMINAL and _EXACT.search(expression):
                why = f"a GPU sold with {given} GB reports less than {given}Gi"
                least = int(int(given) * 0.95)
                yield Fault(at=at, why=why, do=f'compare with quantity("{least}Gi")')
                break


@rule(
    "FS542",
    Severity.INFO,
    on=_ALL,
    what="an attribute that is read without asking whether it is there",
    fix='guard it: has(device.attributes["gpu.nvidia.com"].productName) && ...',
    source="Kubernetes, dynamic resource allocation: CEL (device.attributes)",
)
def unguarded(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """A device without the attribute (another driver's, a MIG partition, an older driver) makes the
    evaluation fail, and with it the pod's whole attempt, on every node.
    """
    for at, expression in _expressions(of):
        if _ATTRIBUTE.search(expression) and not _GUARD.search(expression):
            why = "a device without it fails the pod's attempt on every node"
            yield Fault(at=at, why=why, do="guard it with has(...), or compare device.driver first")


@rule(
    "FS543",
    Severity.INFO,
    on=TEMPLATE,
    what="a claim for one product without an alternative",
    fix="give firstAvailable with the generations that will do, the cheapest first",
    source="Kubernetes, dynamic resource allocation: prioritized list (1.36)",
)
def no_alternative(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """When that product is sold out the pod waits, although another generation would serve it.
    `foresail claim` writes the list.
    """
    for at, request in _requests(of):
        exactly = part(request, "exactly")
        names = [text(part(one, "cel"), "expression") or "" for one in listed(exactly, "selectors")]
        if any("productName" in name and "==" in name for name in names):
            why = "one product only, and no firstAvailable"
            do = "list what will do under firstAvailable (`foresail claim` writes it)"
            yield Fault(at=(*at, "exactly"), why=why, do=do)


@rule(
    "FS544",
    Severity.ERROR,
    on=(TEMPLATE, CLAIM),
    what="more than the API takes",
    fix="at most 8 alternatives a request and 32 requests a claim",
    source="Kubernetes API, resource.k8s.io/v1 (limits of DeviceClaim)",
)
def too_many(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """The API server refuses the claim."""
    requests = list(_requests(of))
    if len(requests) > _REQUESTS_MAX:
        why = f"{len(requests)} requests, and the API takes {_REQUESTS_MAX}"
        yield Fault(at=requests[0][0][:-1], why=why, do="join some with count")
    for at, request in requests:
        count = len(list(listed(request, "firstAvailable")))
        if count > _ALTERNATIVES_MAX:
            why = f"the API takes {_ALTERNATIVES_MAX} alternatives"
            yield Fault(at=(*at, "firstAvailable"), why=why, do="keep the first eight")


@rule(
    "FS545",
    Severity.INFO,
    on=_ALL,
    what="a version of resource.k8s.io that goes",
    fix="write it as resource.k8s.io/v1",
    source="Kubernetes, deprecated API migration guide: resource.k8s.io",
)
def old_version(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """v1 is there from Kubernetes 1.34 on. In it a request has `exactly` or `firstAvailable`; the
    fields of v1beta1 are one level higher.
    """
    if of.version != "v1":
        why = "Kubernetes 1.34 and later serve resource.k8s.io/v1"
        yield Fault(at=("apiVersion",), why=why, do="write resource.k8s.io/v1, with exactly")


@rule(
    "FS546",
    Severity.ERROR,
    on=POD_TYPES,
    what="a container whose claim is not in the pod",
    fix="add the claim to spec.resourceClaims, or correct its name",
    source="Kubernetes API, PodSpec.resourceClaims",
)
def claim_not_in_pod(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """The API server refuses the pod."""
    for pod in pods_in(of):
        names = {text(one, "name") for one in listed(pod.spec, "resourceClaims")}
        for at, container in pod.containers:
            for index, one in enumerate(listed(part(container, "resources"), "claims")):
                if text(one, "name") not in names:
                    where = (*at, "resources", "claims", index, "name")
                    known = ", ".join(sorted(name for name in names if name)) or "none"
                    why = f"no entry of spec.resourceClaims has that name ({known})"
                    yield Fault(at=where, why=why, do="add it there, or correct the name")


@rule(
    "FS547",
    Severity.WARNING,
    on=POD_TYPES,
    what="a claim that no container uses",
    fix="name it in resources.claims of the container",
    source="Kubernetes, dynamic resource allocation",
)
def claim_unused(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """The devices are allocated, and billed, but no container sees them."""
    for pod in pods_in(of):
        used = {
            text(claim, "name")
            for name in ("containers", "initContainers")
            for one in listed(pod.spec, name)
            for claim in listed(part(one, "resources"), "claims")
        }
        for index, one in enumerate(listed(pod.spec, "resourceClaims")):
            if text(one, "name") not in used:
                at = (*pod.at, "spec", "resourceClaims", index, "name")
                why = "its devices are taken, and no container sees them"
                yield Fault(at=at, why=why, do="name it in resources.claims of the container")


@rule(
    "FS548",
    Severity.WARNING,
    on=POD_TYPES,
    what="a claim for which Karpenter orders no node",
    fix="ask for the GPU as an extended resource, or give the pods a static pool",
    source="Karpenter, IGNORE_DRA_REQUESTS; kubernetes-sigs/karpenter#1231, #3228",
)
def no_node_for_claim(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """Karpenter before 1.15 refuses pods with resource claims, and later ones while
    IGNORE_DRA_REQUESTS is on: they wait for a node that is there already. Told where every GPU pool
    among the inputs is dynamic.
    """
    pools = inputs.once(dynamic_only)
    if not pools:
        return
    for pod in pods_in(of):
        if pod.has_claims:
            why = f"Karpenter before 1.15 orders no node for it, and {pools[0].title} is dynamic"
            do = "use a static pool (spec.replicas), or nvidia.com/gpu in place of the claim"
            yield Fault(at=(*pod.at, "spec", "resourceClaims"), why=why, do=do)


def dynamic_only(inputs: Inputs) -> list[Object]:
    """The GPU pools, if all of them are dynamic."""
    pools = inputs.once(gpu_pools)
    return [] if any(is_static(one) for one in pools) else pools


def _requests(of: Object) -> Iterator[tuple[Path, Json]]:
    at: Path = ("spec", "devices", "requests")
    if of.type == TEMPLATE:
        at = ("spec", *at)
    requests = of.at(at)
    for index, one in enumerate(requests if isinstance(requests, list) else ()):
        if is_object(one):
            yield (*at, index), one


def _expressions(of: Object) -> Iterator[tuple[Path, str]]:
    """Every CEL expression that selects devices."""
    if of.type == CLASS:
        yield from _selectors(("spec",), of.spec)
        return
    for at, request in _requests(of):
        yield from _selectors(at, request)
        yield from _selectors((*at, "exactly"), part(request, "exactly"))
        for index, one in enumerate(listed(request, "firstAvailable")):
            yield from _selectors((*at, "firstAvailable", index), one)


def _selectors(at: Path, of: Json) -> Iterator[tuple[Path, str]]:
    for index, one in enumerate(listed(of, "selectors")):
        expression = text(part(one, "cel"), "expression")
        if expression is not None:
            yield (*at, "selectors", index, "cel", "expression"), expression
