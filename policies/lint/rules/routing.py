"""Services that keep calls near, in front of replicas that are planned for the sum of all calls."""

from collections.abc import Iterator
from typing import Final

from fleet.documents import listed, part, text
from policies.lint.finding import Fault, Severity
from policies.lint.objects import Inputs, Object
from policies.lint.pods import Pod, pods_in
from policies.lint.rule import rule
from policies.lint.scaled import bounds, foresail_triggers, scaler_of
from policies.lint.selected import selected

_DISTRIBUTION: Final = ("spec", "trafficDistribution")
_MODES: Final = (
    ("metadata", "annotations", "service.kubernetes.io/topology-mode"),
    ("metadata", "annotations", "service.kubernetes.io/topology-aware-hints"),
)
_PLACES: Final = {
    "PreferSameZone": "zone",
    "PreferClose": "zone",
    "PreferSameNode": "node",
    "Auto": "zone",
    "auto": "zone",
}
_LABELS: Final = {
    "zone": ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"),
    "node": ("kubernetes.io/hostname",),
}


@rule(
    "FS611",
    Severity.WARNING,
    on="Service",
    what="calls that stay in their zone, in front of replicas that are planned together",
    fix="spread the replicas over zones, scale each zone by itself, or leave it out",
    source="Kubernetes, traffic distribution (PreferSameZone, PreferSameNode: 1.35) and "
    "topology-aware routing",
)
def keeps_calls_near(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """The calls of one zone then queue before that zone's replicas while others idle: the sum, by
    which replicas are planned, looks calm. Replicas that are spread over zones follow calls that
    are; where calls are not, a workload and a ScaledObject for each zone plan each by itself.
    """
    for at in (_DISTRIBUTION, *_MODES):
        value = of.at(at)
        place = _PLACES.get(value) if isinstance(value, str) else None
        labels = part(of.spec, "selector")
        if place is None or not labels:
            continue
        for workload in selected(of.scope, {"matchLabels": labels}, inputs):
            scaler = scaler_of(workload, inputs)
            if scaler is None or not foresail_triggers(scaler) or bounds(scaler)[1] <= 1:
                continue
            if any(_is_held(pod, place) for pod in pods_in(workload)):
                continue
            why = (
                f"calls stay in their {place}, and {scaler.title} plans {workload.title} "
                f"by the sum of all"
            )
            do = f"add topologySpreadConstraints by {place} to its pods, or leave this out"
            yield Fault(at=at, why=why, do=do)
            return


def _is_held(pod: Pod, place: str) -> bool:
    """Whether the pods are spread over such places, or are all in one."""
    keys = _LABELS[place]
    if any(
        text(one, "topologyKey") in keys for one in listed(pod.spec, "topologySpreadConstraints")
    ):
        return True
    return any(key in part(pod.spec, "nodeSelector") for key in keys)
