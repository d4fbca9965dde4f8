"""Which GPUs are busy, by the DCGM exporter's series in a Prometheus.

Memory does not show idleness, because weights stay in it; the activity of the compute engine does.
`GPU_UTIL` is used where the profiling counters are missing: it is coarse, but 0 when nothing runs.
A GPU without a series is unknown, never idle.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from fleet.documents import Json, number_of, part, text

IDLE_RATIO: Final = 0.02
"""An engine that is busy for no larger part of the window is idle."""
_METRICS: Final = {"DCGM_FI_PROF_GR_ENGINE_ACTIVE": 1.0, "DCGM_FI_DEV_GPU_UTIL": 0.01}
"""With the factor that makes a ratio of each."""
_HOSTS: Final = ("Hostname", "hostname", "node", "kubernetes_node", "exported_node")
"""Labels that may name the node. All of them count: without `NODE_NAME` the exporter's own is the
name of its pod, and another may be the short name of a host whose node has the full one."""
_GPUS: Final = ("UUID", "uuid", "gpu")


def queries(window: str) -> tuple[str, ...]:
    """PromQL for `activity_of`; for a GPU the first answer that has it counts.

    Args:
        window: over which a GPU must do nothing to be idle, such as `30m`.
    """
    return tuple(f"max_over_time({name}[{window}]) * {by}" for name, by in _METRICS.items())


@dataclass(slots=True)
class Host:
    """The GPUs of a node that are measured."""

    busy: dict[str, bool] = field(default_factory=dict)
    """By UUID, else by index."""
    owners: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """The pods of each, with their namespaces, where the exporter knows them; they share it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """The GPUs that were measured."""

    window_seconds: float
    hosts: Mapping[str, Host]
    """By node name; some are names that no node has."""


def activity_of(answers: Iterable[Iterable[Json]], window_seconds: float) -> Activity:
    """The activity in the answers to `queries`, in their order.

    Args:
        answers: the `result` of each: series with `metric` and `value`.
        window_seconds: the window that was asked for.
    """
    hosts: dict[str, Host] = defaultdict(Host)
    for series in answers:
        seen: dict[tuple[str, str], bool] = {}
        for one in series:
            labels = part(one, "metric")
            gpu = next(filter(None, (text(labels, label) for label in _GPUS)), None)
            ratio = number_of(one)
            if gpu is None or ratio is None:
                continue
            pod = text(labels, "exported_pod") or text(labels, "pod")
            namespace = text(labels, "exported_namespace") or text(labels, "namespace")
            for name in set(filter(None, (text(labels, label) for label in _HOSTS))):
                # The instances of a MIG GPU have a series each: one that is busy is enough.
                seen[name, gpu] = seen.get((name, gpu), False) or ratio > IDLE_RATIO
                if pod and namespace:
                    hosts[name].owners[gpu].add(f"{namespace}/{pod}")
        for (name, gpu), busy in seen.items():
            hosts[name].busy.setdefault(gpu, busy)
    return Activity(window_seconds=window_seconds, hosts=dict(hosts))
