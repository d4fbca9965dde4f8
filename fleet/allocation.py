"""The GPUs that OpenCost allocates to pods, beside those that the pods' objects tell."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

from fleet.documents import Json, number_of, part, text
from fleet.snapshot import FleetSnapshot

QUERY: Final = (
    "sum by (namespace, pod, exported_namespace, exported_pod) (container_gpu_allocation) > 0"
)
_PODS_SHOWN: Final = 3
_SAME_GPUS: Final = 0.01


def gpus_of_pods(answer: Iterable[Json]) -> Mapping[str, float]:
    """By namespace and name, the GPUs that OpenCost allocates; of two OpenCosts the larger."""
    found: dict[str, float] = {}
    for series in answer:
        labels = part(series, "metric")
        # A scrape that sets these labels itself, to where OpenCost runs, renames OpenCost's own.
        space = text(labels, "exported_namespace") or text(labels, "namespace")
        pod = text(labels, "exported_pod") or text(labels, "pod")
        value = number_of(series)
        if space and pod and value is not None:
            name = f"{space}/{pod}"
            found[name] = max(value, found.get(name, 0.0))
    return found


def unlike(allocated: Mapping[str, float], snapshot: FleetSnapshot) -> str | None:
    """Where OpenCost's GPUs of pods are not those that the pods have; None = nowhere.

    A pod that one of the two does not know has ended, or has just begun.
    """
    held: dict[str, float] = defaultdict(float)
    for node in snapshot.nodes:
        for use in node.uses:
            held[f"{use.namespace}/{use.pod}"] += use.gpus
    pods = [
        f"{name} ({allocated[name]:g}, not {gpus:g})"
        for name, gpus in sorted(held.items())
        if name in allocated and abs(allocated[name] - gpus) > _SAME_GPUS
    ]
    if not pods:
        return None
    more = f" and {len(pods) - _PODS_SHOWN} more" if len(pods) > _PODS_SHOWN else ""
    shown = ", ".join(pods[:_PODS_SHOWN])
    return f"OpenCost allocates other numbers of GPUs than pods have: {shown}{more}"
