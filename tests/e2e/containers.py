"""The part of a kubelet that kwok leaves out: one container of each pod, as a process on loopback.

Its arguments, ConfigMaps and Secrets are read back from the API server. A process has no file
system of its own, so each path that is mounted becomes a folder of the test; nor an address of its
own, so the test names what it listens on.
"""

import base64
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.e2e.bed import Bed
from tests.e2e.processes import Program


def pods_of(bed: Bed, namespace: str, deployment: str) -> list[dict[str, Any]]:
    """The pods of a Deployment, in the order of their names."""
    selector = f"app.kubernetes.io%2Fname%3D{deployment}"
    found = bed.read(f"/api/v1/namespaces/{namespace}/pods?labelSelector={selector}")["items"]
    return sorted(found, key=lambda one: str(one["metadata"]["name"]))


def start(
    bed: Bed,
    pod: dict[str, Any],
    *,
    addresses: Mapping[str, str],
    more: tuple[str, ...] = (),
    container: str = "foresail",
) -> Program:
    """The container's process, which ends with the bed.

    Args:
        bed: whose API server has the pod.
        pod: as it was read.
        addresses: what stands in arguments and files → what is possible on this machine.
        more: arguments that only a process outside a cluster needs.
        container: of the pod; its image's entry point is `foresail`.
    """
    name = pod["metadata"]["name"]
    folder = bed.folder / name
    (spec,) = [one for one in pod["spec"]["containers"] if one["name"] == container]
    changes = {**addresses}
    for mount in spec["volumeMounts"]:
        changes[mount["mountPath"]] = str(folder / mount["name"])
    for mount in spec["volumeMounts"]:
        _mount(bed, pod, mount["name"], folder / mount["name"], changes)
    arguments = [_changed(one, changes) for one in spec["args"]]
    return bed.start(name, [sys.executable, "-m", "foresail.cli", *arguments, *more])


def _mount(
    bed: Bed, pod: dict[str, Any], volume: str, folder: Path, changes: Mapping[str, str]
) -> None:
    folder.mkdir(parents=True)
    namespace = pod["metadata"]["namespace"]
    (source,) = [one for one in pod["spec"]["volumes"] if one["name"] == volume]
    for name, content in _files(bed, namespace, source):
        (folder / name).write_text(_changed(content, changes))


def _files(bed: Bed, namespace: str, source: dict[str, Any]) -> Iterator[tuple[str, str]]:
    match source:
        case {"configMap": {"name": name}}:
            found = bed.read(f"/api/v1/namespaces/{namespace}/configmaps/{name}")
            yield from found["data"].items()
        case {"secret": {"secretName": name}}:
            found = bed.read(f"/api/v1/namespaces/{namespace}/secrets/{name}")
            for key, content in found["data"].items():
                yield key, base64.b64decode(content).decode()
        case {"emptyDir": _}:
            return
        case _:
            raise AssertionError(f"no such volume here: {source}")


def _changed(text: str, changes: Mapping[str, str]) -> str:
    # The longest first: /etc/foresail is the beginning of /etc/foresail-tls.
    for before in sorted(changes, key=len, reverse=True):
        text = text.replace(before, changes[before])
    return text
