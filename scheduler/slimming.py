"""What is kept of an API object between the server and the intake.

A list is in memory as a whole before its first object is taken: of thousands of nodes, slices and
pods only what is read further on may be in it.
"""

from collections.abc import Mapping
from typing import Any, Final

from scheduler.devices import slice_of
from scheduler.intake import Json, Kind
from scheduler.machines import is_slow

_NODE_KEYS: Final = ("foresail.io/", "nvidia.com/", "amd.com/")
_CONTAINER: Final = ("image", "resources", "restartPolicy")
_POD_SPEC: Final = ("nodeName", "overhead", "resourceClaims", "schedulingGroup")
_POD_STATUS: Final = ("phase", "resourceClaimStatuses", "extendedResourceClaimStatus")


def slim(kind: Kind, document: Json) -> Json:
    """The object without what nobody reads; one that is not as the API has it stays as it is."""
    try:
        match kind:
            case Kind.NODE:
                return _node(document)
            case Kind.POD:
                return _pod(document)
            case Kind.SLICE:
                # Read at once: as JSON the devices of a node take ten times the room.
                return {"metadata": _metadata(document), "read": slice_of(document)}
            case Kind.CLAIM:
                allocation = (document.get("status") or {}).get("allocation")
                status = {"allocation": allocation} if allocation else {}
                return {**_some(document, ("spec",)), "metadata": _metadata(document),
                        "status": status}  # fmt: skip
            case _:
                return {**_some(document, ("spec",)), "metadata": _metadata(document)}
    except (ValueError, AttributeError, TypeError, KeyError):
        return document  # whoever reads it further on says what is wrong with it


def _node(document: Json) -> Json:
    metadata, status = document["metadata"], document.get("status") or {}
    told = {
        part: {key: one for key, one in metadata[part].items() if key.startswith(_NODE_KEYS)}
        for part in ("labels", "annotations")
        if metadata.get(part)
    }
    images = [
        {"names": one.get("names")}
        for one in status.get("images") or []
        if is_slow(one.get("sizeBytes"))
    ]
    # The boot that a node agent's report is of.
    boot = _some(status.get("nodeInfo") or {}, ("bootID",))
    return {
        "metadata": {"name": metadata["name"], **told},
        "status": {
            "allocatable": status.get("allocatable"),
            "images": images,
            "nodeInfo": boot,
        },
    }


def _pod(document: Json) -> Json:
    spec = document["spec"]
    containers = {
        part: [_some(one, _CONTAINER) for one in spec[part]]
        for part in ("containers", "initContainers")
        if spec.get(part)
    }
    return {
        "metadata": _metadata(document),
        "spec": {**_some(spec, _POD_SPEC), **containers},
        "status": _some(document.get("status") or {}, _POD_STATUS),
    }


def _metadata(document: Json) -> dict[str, Any]:
    return _some(
        document["metadata"],
        (
            "name", "generateName", "namespace", "uid", "labels", "annotations",
            "creationTimestamp",
        ),
    )  # fmt: skip


def _some(of: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: of[key] for key in keys if key in of}
