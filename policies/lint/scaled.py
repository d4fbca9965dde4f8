"""ScaledObjects and HorizontalPodAutoscalers: triggers, targets and behaviors."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from fleet.documents import Json, is_object, listed, part, text
from policies.lint.finding import Path
from policies.lint.objects import ABSENT, Inputs, Object
from policies.lint.pods import pods_in
from scaler.durations import parse_duration
from scaler.trigger import ALIASES, KEDA_KEYS, TriggerSpec

SCALED_OBJECT: Final = "keda.sh/ScaledObject"
SCALED_JOB: Final = "keda.sh/ScaledJob"
HPA: Final = "autoscaling/HorizontalPodAutoscaler"
EXTERNAL: Final = ("external", "external-push")
PAUSED_SCALE_IN: Final = "autoscaling.keda.sh/paused-scale-in"
_HPA_CONFIG: Final = ("spec", "advanced", "horizontalPodAutoscalerConfig")
MIN_DEFAULT: Final = 0
MAX_DEFAULT: Final = 100
BESIDE_METADATA: Final = ("metricType", "useCachedMetrics", "name", "authenticationRef")
"""Fields of a trigger that KEDA reads beside its metadata."""
_OUR_KEYS_MIN: Final = 2
"""Keys besides `model` that make metadata ours where neither name nor address says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """One trigger of a ScaledObject or ScaledJob."""

    at: Path
    type: str
    name: str
    metadata: Json
    value: Json

    @property
    def is_external(self) -> bool:
        return self.type in EXTERNAL

    @property
    def is_foresail(self) -> bool:
        """Whether Foresail answers it: by name, by address, or by its keys."""
        if not self.is_external:
            return False
        named = f"{self.name} {text(self.metadata, 'scalerAddress') or ''}".lower()
        keys = set(self.metadata) & (set(ALIASES) - KEDA_KEYS)
        return "foresail" in named or ("model" in keys and len(keys) > _OUR_KEYS_MIN)

    @property
    def lead_seconds(self) -> float:
        """From one more replica to "it serves", as the trigger has it or by default."""
        given = parse_duration(self.metadata.get("leadTime"))
        default = TriggerSpec.model_fields["lead_time"].default
        return float(given if isinstance(given, int | float) else default)

    @property
    def mode(self) -> str:
        return text(self.metadata, "mode") or "advise"


def triggers_of(of: Object) -> Iterator[Trigger]:
    triggers = of.spec.get("triggers")
    for index, one in enumerate(triggers if isinstance(triggers, list) else ()):
        if is_object(one):
            yield Trigger(
                at=("spec", "triggers", index),
                type=text(one, "type") or "",
                name=text(one, "name") or "",
                metadata=part(one, "metadata"),
                value=one,
            )


def foresail_triggers(of: Object) -> list[Trigger]:
    return [one for one in triggers_of(of) if one.is_foresail]


def advised_by_poll(of: Object) -> list[Trigger]:
    """The only trigger, where KEDA may take Foresail's mode advise for idle and go to 0."""
    if len(list(triggers_of(of))) != 1:
        return []
    return [one for one in to_zero(of) if one.mode == "advise" and one.type == "external"]


def reaches_zero(of: Object) -> bool:
    """Whether KEDA may stop a ScaledObject's last replica: at once, from any count."""
    return 0 in {bounds(of)[0], number(of, "idleReplicaCount", 1)}


def to_zero(of: Object) -> list[Trigger]:
    """Foresail's triggers with which KEDA may go to zero.

    With idleReplicaCount that is a choice of the trigger too: above minReplicas 0 it is always
    active.
    """
    least, idle = bounds(of)[0], reaches_zero(of)
    return [
        one
        for one in foresail_triggers(of)
        if least == 0 or (idle and str(one.metadata.get("minReplicas")).strip() == "0")
    ]


def number(of: Object, name: str, default: int) -> int:
    """A count of the spec; the default where it is left out or is no number."""
    value = of.spec.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def bounds(of: Object) -> tuple[int, int]:
    """The least and the most replicas, with KEDA's or the HPA's defaults."""
    if of.type == HPA:
        return number(of, "minReplicas", 1), number(of, "maxReplicas", MAX_DEFAULT)
    least = number(of, "minReplicaCount", MIN_DEFAULT)
    return least, number(of, "maxReplicaCount", MAX_DEFAULT)


def target(of: Object) -> tuple[str, str, str]:
    """Type, scope and name of what is scaled; a name may be empty."""
    return target_of(of, "scaleTargetRef")


def target_of(of: Object, field: str) -> tuple[str, str, str]:
    """Type, scope and name of the workload that a field of the spec refers to."""
    reference = part(of.spec, field)
    kind = text(reference, "kind") or "Deployment"
    group, slash, _ = (text(reference, "apiVersion") or "apps/v1").rpartition("/")
    return (
        f"{group}/{kind}" if slash else kind,
        of.scope,
        text(reference, "name") or "",
    )


def scalers_by_target(inputs: Inputs) -> Mapping[tuple[str, str, str], list[Object]]:
    """ScaledObjects, and HPAs that people wrote, by what they scale."""
    found: dict[tuple[str, str, str], list[Object]] = {}
    for one in inputs.of(SCALED_OBJECT, HPA):
        if not made_by_keda(one):
            found.setdefault(target(one), []).append(one)
    return found


def made_by_keda(of: Object) -> bool:
    """Whether it is the HPA of a ScaledObject, which says all that the HPA does."""
    owners = listed(part(of.value, "metadata"), "ownerReferences")
    return of.type == HPA and any(text(one, "kind") == "ScaledObject" for one in owners)


def scaler_of(workload: Object, inputs: Inputs) -> Object | None:
    """The ScaledObject or HPA that scales a workload; a ScaledObject goes first."""
    key = (workload.type, workload.scope, workload.name)
    scalers = inputs.once(scalers_by_target).get(key, ())
    return min(scalers, key=lambda one: one.type != SCALED_OBJECT, default=None)


def target_has_gpus(of: Object, inputs: Inputs) -> bool:
    """Whether the workload is among the inputs and its pods have GPUs."""
    found = inputs.find(*target(of))
    return found is not None and any(pod.has_gpus for pod in pods_in(found))


def behavior(of: Object, direction: str) -> tuple[Path, Json]:
    """The scaling rules of a direction, `scaleUp` or `scaleDown`; empty where none are given."""
    at: Path = ("spec", "behavior") if of.type == HPA else (*_HPA_CONFIG, "behavior")
    found = of.at((*at, direction))
    return (*at, direction), found if is_object(found) else {}


def policies_of(rules: Json) -> Iterator[tuple[int, Json]]:
    policies = rules.get("policies")
    for index, one in enumerate(policies if isinstance(policies, list) else ()):
        if is_object(one):
            yield index, one


def is_given(of: Object, *path: str | int) -> bool:
    return of.at(path) is not ABSENT
