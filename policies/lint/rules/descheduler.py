"""The descheduler's policy, beside controllers that hold nodes and fill them in an order."""

from collections.abc import Iterator, Mapping
from typing import Final

from fleet.documents import Json, listed, part, text
from policies.lint.finding import Fault, Path, Severity
from policies.lint.nodepools import gpu_pools
from policies.lint.objects import Inputs, Object
from policies.lint.pods import SERVING_TYPES, gpu_workloads
from policies.lint.rule import rule
from policies.lint.scaled import SCALED_OBJECT, foresail_triggers

POLICY: Final = "descheduler/DeschedulerPolicy"
_CAPACITY_POLICY: Final = "foresail.io/CapacityPolicy"
_BALANCE: Final[Mapping[str, str]] = {
    "LowNodeUtilization": "it evicts replicas from full nodes, which Foresail's scheduler and "
    "Karpenter fill on purpose",
    "HighNodeUtilization": "it empties nodes that are little used, such as those that are held or "
    "ordered for replicas to come",
    "RemoveDuplicates": "it evicts replicas that share a node, such as two on one machine of "
    "eight GPUs",
}
_AGE: Final = "PodLifeTime"


@rule(
    "FS621",
    Severity.WARNING,
    on=POLICY,
    what="a descheduler that moves replicas which load for minutes",
    fix="keep GPU nodes out with nodeSelector, or model servers with the evictor's labelSelector",
    source="Descheduler, LowNodeUtilization, HighNodeUtilization, RemoveDuplicates, PodLifeTime; "
    "DefaultEvictor",
)
def moves_model_servers(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """It sees requests of CPU and memory, and no GPU unless thresholds name one; no load time, no
    request in flight, and no reason why a node is kept empty. What it evicts comes back after a
    whole start, often on a node that then has to be bought.
    """
    beside = _collides_with(inputs)
    if beside is None or of.value.get("nodeSelector"):
        return
    profiles = of.value.get("profiles")
    for number, profile in enumerate(profiles if isinstance(profiles, list) else ()):
        if not isinstance(profile, dict) or _spares_some(profile):
            continue
        for path, name in _enabled(profile):
            why = _BALANCE.get(name) or (
                "it evicts pods for their age, and a replica has none that hurts"
                if name == _AGE
                else None
            )
            if why is not None:
                do = "set nodeSelector to nodes without GPUs, or leave the plugin out"
                at = ("profiles", number, *path)
                yield Fault(at=at, why=f"{why}; {beside} is here too", do=do)


def _collides_with(inputs: Inputs) -> str | None:
    """What is there for it to disturb: a policy, a planned workload, a GPU workload, a GPU pool."""
    for one in inputs.of(_CAPACITY_POLICY):
        return one.title
    for one in inputs.of(SCALED_OBJECT):
        if foresail_triggers(one):
            return one.title
    for one in inputs.once(gpu_workloads):
        if one.type in SERVING_TYPES:
            return one.title
    return next((one.title for one in inputs.once(gpu_pools)), None)


def _enabled(profile: Json) -> Iterator[tuple[Path, str]]:
    """The plugins of a profile that evict, and where each stands."""
    for point in ("balance", "deschedule"):
        enabled = part(profile, "plugins", point).get("enabled")
        for index, name in enumerate(enabled if isinstance(enabled, list) else ()):
            if isinstance(name, str):
                yield ("plugins", point, "enabled", index), name


def _spares_some(profile: Json) -> bool:
    """Whether its evictor takes only pods of some nodes or with some labels."""
    for one in listed(profile, "pluginConfig"):
        if text(one, "name") == "DefaultEvictor":
            arguments = part(one, "args")
            if any(arguments.get(name) for name in ("nodeSelector", "labelSelector")):
                return True
    return False
