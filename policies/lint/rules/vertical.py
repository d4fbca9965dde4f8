"""VerticalPodAutoscalers, and resizes in place, on workloads that others scale."""

from collections.abc import Iterator
from typing import Final

from fleet.documents import Json, listed, part, text
from policies.lint.finding import Fault, Severity
from policies.lint.objects import Inputs, Object
from policies.lint.pods import SERVING_TYPES, pods_in
from policies.lint.rule import rule
from policies.lint.scaled import (
    HPA,
    foresail_triggers,
    scalers_by_target,
    target_of,
    triggers_of,
)

VPA: Final = "autoscaling.k8s.io/VerticalPodAutoscaler"
_MODE: Final = ("spec", "updatePolicy", "updateMode")
_EVICTING: Final = {
    "Recreate": "it evicts a pod to change its requests",
    "Auto": "it means Recreate: it evicts a pod to change its requests",
    "InPlaceOrRecreate": "it evicts a pod where its node has no room for the change",
}
"""Modes that evict running pods."""
_RESOURCES: Final = ("cpu", "memory")
_EVERY: Final = "*"


@rule(
    "FS601",
    Severity.WARNING,
    on=VPA,
    what="a VerticalPodAutoscaler that evicts a model server",
    fix="set updateMode: Initial, or Off and read its recommendation",
    source="Vertical Pod Autoscaler, updateMode (Auto is deprecated since 1.4)",
)
def evicts_model_servers(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """Each change of a request is then a new pod: image, weights and warm-up again, in the middle
    of the day, and the replica that goes is one that the plan counts on. Neither mode can change
    GPUs, or GPU memory: extended resources and claims of a running pod stay as they are.
    """
    mode = _mode(of)
    why = _EVICTING.get(mode)
    if why is not None and _serves_models(of, inputs):
        if of.at(_MODE) != mode:
            why = f"Recreate is the default: {why}"
        yield Fault(at=_MODE, why=f"{why}, and the new pod loads the model again", do="set Initial")


@rule(
    "FS602",
    Severity.ERROR,
    on=VPA,
    what="a VerticalPodAutoscaler and an HPA on the same resource",
    fix="scale by another metric, or leave the resource out of controlledResources",
    source="Vertical Pod Autoscaler, known limitations",
)
def same_resource(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """The HPA compares use with the request, and the VPA moves the request to the use: each answers
    the other's last change, and replicas go up and down without any change of load.
    """
    if _mode(of) == "Off":
        return
    workload = target_of(of, "targetRef")
    containers = _containers(of, inputs.find(*workload))
    for scaler in inputs.once(scalers_by_target).get(workload, ()):
        for resource, container in _scaled_by(scaler):
            names = containers if container is None else (container,)
            if any(resource in _controlled(of, name) for name in names):
                why = f"{scaler.title} scales by {resource}, which this changes too"
                do = f"leave {resource} out of controlledResources, or set updateMode: Off"
                yield Fault(at=("spec", "targetRef", "name"), why=why, do=do)


@rule(
    "FS603",
    Severity.WARNING,
    on=SERVING_TYPES,
    what="a model server that restarts when it is resized in place",
    fix="set restartPolicy: NotRequired in resizePolicy",
    source="Kubernetes, resize CPU and memory of pods (1.33 on): container resize policies",
)
def restarts_on_resize(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """A resize of CPU or memory then restarts the container, and it loads the weights again, while
    the pod stays on its node and nothing counts it as a start. GPUs are never resized.
    """
    for pod in pods_in(of):
        engine = pod.engine
        if engine is None:
            continue
        at, container = engine
        for index, one in enumerate(listed(container, "resizePolicy")):
            if text(one, "restartPolicy") == "RestartContainer":
                resource = text(one, "resourceName") or "resources"
                yield Fault(
                    at=(*at, "resizePolicy", index, "restartPolicy"),
                    why=f"a resize of {resource} restarts the engine, which loads the model again",
                    do="set NotRequired",
                )


def _mode(of: Object) -> str:
    return text(part(of.spec, "updatePolicy"), "updateMode") or "Recreate"


def _serves_models(of: Object, inputs: Inputs) -> bool:
    """Whether its target has GPUs, or Foresail plans its replicas."""
    key = target_of(of, "targetRef")
    found = inputs.find(*key)
    if found is not None and any(pod.has_gpus for pod in pods_in(found)):
        return True
    return any(foresail_triggers(one) for one in inputs.once(scalers_by_target).get(key, ()))


def _containers(of: Object, workload: Object | None) -> list[str]:
    """The names of a workload's containers, else, where it is not among the inputs, of policies."""
    pods = () if workload is None else pods_in(workload)
    names = [text(one, "name") or "" for pod in pods for _, one in pod.containers]
    return names or list(_policies(of)) or [_EVERY]


def _policies(of: Object) -> dict[str, Json]:
    """By container; that of `*` holds for those without one of their own."""
    policies = listed(part(of.spec, "resourcePolicy"), "containerPolicies")
    return {text(one, "containerName") or "": one for one in policies}


def _controlled(of: Object, container: str) -> tuple[str, ...]:
    """The resources of a container that it changes; without any policy for it all."""
    policies = _policies(of)
    policy = policies.get(container, policies.get(_EVERY, {}))
    given = policy.get("controlledResources")
    if text(policy, "mode") == "Off":
        return ()
    if not isinstance(given, list):
        return _RESOURCES
    return tuple(one for one in given if isinstance(one, str))


def _scaled_by(scaler: Object) -> Iterator[tuple[str, str | None]]:
    """The resources of pods by which an HPA or a ScaledObject scales, and of which container.

    None = of all containers.
    """
    if scaler.type != HPA:
        for trigger in triggers_of(scaler):
            if trigger.type in _RESOURCES:
                yield trigger.type, text(trigger.metadata, "containerName")
        return
    for metric in listed(scaler.spec, "metrics"):
        for name in ("resource", "containerResource"):
            resource = text(part(metric, name), "name")
            if resource in _RESOURCES:
                yield resource, text(part(metric, name), "container")
