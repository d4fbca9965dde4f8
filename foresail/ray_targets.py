"""What the options of `foresail ray-scale` name: workloads, and what they run on in Ray."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from foresail.ray_groups import GroupTarget
from foresail.ray_serve import ServeDeployment
from scaler.errors import ForesailError
from scaler.message_text import printable

_KINDS: Final = ("raycluster", "rayservice")
_GROUP_PARTS: Final = 4
"""Namespace and name of the workload; object and group."""
_NAME: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")


def targets_of(texts: Sequence[str]) -> Mapping[str, ServeDeployment]:
    """Workloads and their deployments, each as `NAMESPACE/NAME=APPLICATION/DEPLOYMENT`.

    Raises:
        ForesailError: one is not of that form, or two name one workload or one deployment.
    """
    targets: dict[str, ServeDeployment] = {}
    for text in texts:
        workload, deployment = _target_of(text)
        if workload in targets or deployment in targets.values():
            raise ForesailError(
                f"--target {printable(text)!r}: its workload or its deployment is in another "
                "target; two plans cannot scale one deployment"
            )
        targets[workload] = deployment
    return targets


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
    groups: dict[str, GroupTarget] = {}
    for text in texts:
        workload, group = _group_of(text)
        if workload in groups or group in groups.values():
            raise ForesailError(
                f"--worker-group {printable(text)!r}: its workload or its group is in another one; "
                "two plans cannot set one floor"
            )
        groups[workload] = group
    return groups


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
