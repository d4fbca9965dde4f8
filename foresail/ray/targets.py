"""What the options of `foresail ray-scale` name: workloads, and what they run on in Ray."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

from foresail.ray.groups import GroupTarget
from foresail.ray.serve import ServeDeployment
from scaler.errors import ForesailError
from scaler.message_text import printable

Target = TypeVar("Target", ServeDeployment, GroupTarget)
_KINDS: Final = ("raycluster", "rayservice")
_GROUP_PARTS: Final = 4
"""Namespace and name of the workload; object and group."""
_NAME: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")


def targets_of(texts: Sequence[str]) -> Mapping[str, ServeDeployment]:
    """Workloads and their deployments, each as `NAMESPACE/NAME=APPLICATION/DEPLOYMENT`.

    Raises:
        ForesailError: one is not of that form, or two name one workload or one deployment.
    """
    taken = (
        "its workload or its deployment is in another target; two plans cannot scale one deployment"
    )
    return _each_once(texts, _target_of, "--target", taken)


def _target_of(text: str) -> tuple[str, ServeDeployment]:
    workload, _, deployment = text.partition("=")
    application, _, name = deployment.partition("/")
    if (
        workload.count("/") != 1
        or not all((*workload.split("/"), application, name))
        or "/" in name
    ):
        raise ForesailError(
            f"--target {printable(text)!r}: write it as NAMESPACE/NAME=APPLICATION/DEPLOYMENT, "
            "with the workload as `foresail plans` shows it"
        )
    return workload, ServeDeployment(application=application, name=name)


def groups_of(texts: Sequence[str]) -> Mapping[str, GroupTarget]:
    """Workloads and their worker groups, each as `NAMESPACE/NAME=KIND/OBJECT/GROUP`.

    Raises:
        ForesailError: one is not of that form, or two name one workload or one group.
    """
    taken = "its workload or its group is in another one; two plans cannot set one floor"
    return _each_once(texts, _group_of, "--worker-group", taken)


def _group_of(text: str) -> tuple[str, GroupTarget]:
    workload, _, place = text.partition("=")
    kind, *rest = place.split("/")
    named = [*workload.split("/"), *rest]
    if kind not in _KINDS or len(named) != _GROUP_PARTS or not all(map(_NAME.fullmatch, named)):
        raise ForesailError(
            f"--worker-group {printable(text)!r}: write it as NAMESPACE/NAME=KIND/OBJECT/GROUP, "
            "with the kind raycluster or rayservice; the object is in the workload's namespace"
        )
    namespace, _, owner, group = named
    target = GroupTarget(
        namespace=namespace, of_service=kind == "rayservice", owner=owner, group=group
    )
    return workload, target


def _each_once(
    texts: Sequence[str], read: Callable[[str], tuple[str, Target]], option: str, taken: str
) -> Mapping[str, Target]:
    """What each text names, by its workload; no workload and no target twice."""
    found: dict[str, Target] = {}
    for text in texts:
        workload, target = read(text)
        if workload in found or target in found.values():
            raise ForesailError(f"{option} {printable(text)!r}: {taken}")
        found[workload] = target
    return found
