"""Every rule that a replay can run, by name. A new rule is one more file of `replay.peers`."""

from replay.peers import (
    aibrix,
    aibrix_predictive,
    dynamo,
    hpa_inflight,
    hpa_kv,
    keda_composite,
    keda_waiting,
    knative,
    llmd_queue,
    llmd_saturation,
    llmd_slo_aware,
    llmd_token_aware,
    phpa,
    predictkube,
    ray_serve,
    sageserve,
    sky_serve,
    static,
    wva,
)
from replay.policies.port import PolicyKind
from replay.policies.shipped import FORESAIL
from replay.policies.variants import variant

KINDS: dict[str, PolicyKind] = {
    kind.name: kind
    for kind in (
        FORESAIL,
        *static.KINDS,
        *knative.KINDS,
        *aibrix.KINDS,
        *aibrix_predictive.KINDS,
        *ray_serve.KINDS,
        *sky_serve.KINDS,
        *hpa_inflight.KINDS,
        *hpa_kv.KINDS,
        *keda_waiting.KINDS,
        *keda_composite.KINDS,
        *llmd_queue.KINDS,
        *llmd_saturation.KINDS,
        *llmd_token_aware.KINDS,
        *llmd_slo_aware.KINDS,
        *wva.KINDS,
        *dynamo.KINDS,
        *phpa.KINDS,
        *predictkube.KINDS,
        *sageserve.KINDS,
    )
}


def kind_named(name: str) -> PolicyKind:
    """The rule of this name, or the variant of the shipped one.

    Raises:
        UnknownVariantError: there is neither.
    """
    return KINDS.get(name) or variant(name)
