"""API objects as the watch tells them, with only what matters here."""

from collections.abc import Mapping, Sequence
from typing import Any

from fleet.annotations import REPORT
from fleet.cluster.kinds import Kind, identity_of, record_of
from scheduler.intake import Intake
from tests.agent.islands import reported

Json = dict[str, Any]

CLASS = "gpu.nvidia.com"
H100, A100, L40S = "NVIDIA H100 80GB HBM3", "NVIDIA A100-SXM4-80GB", "NVIDIA L40S"


def put(made: Intake, kind: Kind, document: Json, now_seconds: float = 0.0) -> None:
    """The watch tells of an object that is new or changed."""
    made.changed(kind, record_of(kind, document), now_seconds)
    for _ in made.settle():
        pass


def drop(made: Intake, kind: Kind, document: Json) -> None:
    """The watch tells that an object was deleted."""
    made.gone(kind, *identity_of(document))
    for _ in made.settle():
        pass


def node(
    name: str,
    *,
    gpus: int = 0,
    product: str = H100,
    islands: Sequence[int | None] = (),
    labels: Mapping[str, str] | None = None,
    **annotations: str,
) -> Json:
    allocatable = {"cpu": "64", "memory": "512Gi"}
    if gpus:
        allocatable["nvidia.com/gpu"] = str(gpus)
    told = {f"foresail.io/{key}": value for key, value in annotations.items()}
    if islands:
        told[REPORT] = reported(*islands, node=name)
    return {
        "metadata": {
            "name": name,
            "labels": {"nvidia.com/gpu.product": product.replace(" ", "-"), **(labels or {})},
            "annotations": told,
        },
        "status": {"allocatable": allocatable, "capacity": allocatable},
    }


def resource_slice(
    node_name: str, *products: str, name: str | None = None, slices: int = 1, generation: int = 1
) -> Json:
    return {
        "metadata": {"name": name or f"{node_name}-gpus"},
        "spec": {
            "driver": "gpu.nvidia.com",
            "nodeName": node_name,
            "pool": {
                "name": node_name,
                "generation": generation,
                "resourceSliceCount": slices,
            },
            "devices": [
                {
                    "name": f"gpu-{at}",
                    "attributes": {
                        "type": {"string": "gpu"},
                        "productName": {"string": product},
                        "uuid": {"string": f"GPU-{node_name}-{at}"},
                        "cudaComputeCapability": {"version": "9.0.0"},
                    },
                    "capacity": {"memory": {"value": "81559Mi"}},
                }
                for at, product in enumerate(products)
            ],
        },
    }


def taint_rule(name: str, effect: str = "NoSchedule", **selector: str) -> Json:
    """A DeviceTaintRule; the selector's fields are `driver`, `pool` and `device`."""
    taint = {"key": "xid", "value": "79", "effect": effect}
    return {"metadata": {"name": name}, "spec": {"deviceSelector": selector, "taint": taint}}


def device_class(name: str = CLASS) -> Json:
    expression = (
        "device.driver == 'gpu.nvidia.com' && device.attributes['gpu.nvidia.com'].type == 'gpu'"
    )
    return {
        "metadata": {"name": name},
        "spec": {"selectors": [{"cel": {"expression": expression}}]},
    }


def is_product(product: str) -> str:
    domain = "device.attributes['gpu.nvidia.com']"
    return f"has({domain}.productName) && {domain}.productName == '{product}'"


def claim(
    name: str,
    *alternatives: tuple[str, int],
    given: tuple[str, ...] = (),
    pool: str = "",
    constraints: list[Json] | None = None,
) -> Json:
    """The first of `alternatives` that fits; `given` = devices of `pool` that it has."""
    wanted = [
        {
            "name": f"a{at}",
            "deviceClassName": CLASS,
            "count": count,
            "selectors": [{"cel": {"expression": is_product(product)}}],
        }
        for at, (product, count) in enumerate(alternatives)
    ]
    devices: Json = {"requests": [{"name": "gpus", "firstAvailable": wanted}]}
    if constraints:
        devices["constraints"] = constraints
    results = [
        {"request": "gpus/a0", "driver": "gpu.nvidia.com", "pool": pool, "device": device}
        for device in given
    ]
    status = {"allocation": {"devices": {"results": results}}} if given else {}
    return {
        "metadata": {"name": name, "namespace": "llm"},
        "spec": {"devices": devices},
        "status": status,
    }


def pod(
    name: str,
    *,
    gpus: int = 0,
    claims: tuple[str, ...] = (),
    on: str | None = None,
    phase: str = "Running",
) -> Json:
    resources: Json = {"requests": {"cpu": "1", "memory": "1Gi"}}
    if gpus:
        resources["requests"]["nvidia.com/gpu"] = str(gpus)
    spec: Json = {"containers": [{"name": "main", "resources": resources}]}
    if claims:
        spec["resourceClaims"] = [{"name": one, "resourceClaimName": one} for one in claims]
    if on is not None:
        spec["nodeName"] = on
    return {
        "metadata": {"name": name, "namespace": "llm", "uid": name},
        "spec": spec,
        "status": {"phase": phase if on else "Pending"},
    }
