"""A cluster that exists only as an API server's answers: nodes, slices, and pods that get bound.

Lists come in pages and watches as lines, as from the real one, so that the program under test reads
all of it as it would on a cluster. Nodes differ as those of a used cluster do: pods are on them
from the start, at random.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from aiohttp import web

from scheduler.placement import Shape
from scheduler.pods import GPU_MILLI

Json = Mapping[str, Any]

GPUS = 8
PRODUCTS = ("NVIDIA H100 80GB HBM3", "NVIDIA A100-SXM4-80GB", "NVIDIA L40S", "NVIDIA H200")
_IMAGES = 20
_FILLED = 0.6
"""Of the GPUs, in use from the start."""
_LIST_KINDS = {
    "/api/v1/nodes": ("v1", "NodeList"),
    "/api/v1/pods": ("v1", "PodList"),
    "/apis/resource.k8s.io/v1/resourceslices": ("resource.k8s.io/v1", "ResourceSliceList"),
    "/apis/resource.k8s.io/v1/resourceclaims": ("resource.k8s.io/v1", "ResourceClaimList"),
    "/apis/resource.k8s.io/v1/deviceclasses": ("resource.k8s.io/v1", "DeviceClassList"),
}


def usual_pods(random: np.random.Generator, count: int) -> list[Shape]:
    """Pods of an LLM cluster: wide and narrow engines, shares, and what runs beside them."""
    kinds = [
        (0.30, 1, 1000), (0.15, 2, 1000), (0.10, 4, 1000), (0.10, 8, 1000), (0.20, 1, 0),
        (0.15, 0, 0),
    ]  # fmt: skip
    chances = [chance for chance, _, _ in kinds]
    made = []
    for at in random.choice(len(kinds), count, p=chances).tolist():
        _, gpus, milli = kinds[at]
        share = int(random.choice([100, 200, 250, 400, 500, 700])) if gpus and not milli else milli
        cores = int(random.choice([2, 4, 6, 8])) * max(gpus, 1)
        made.append(
            Shape(
                cpu_milli=1000 * cores, memory_mib=8192 * cores, gpus=gpus,
                gpu_milli=share if gpus else 0,
            )
        )  # fmt: skip
    return made


def pod(shape: Shape, uid: str, node: str | None = None) -> dict[str, Any]:
    requests = {"cpu": f"{shape.cpu_milli}m", "memory": f"{shape.memory_mib}Mi"}
    annotations = {"kubernetes.io/config.source": "api"}
    if shape.gpus:
        requests["nvidia.com/gpu"] = str(shape.gpus)
    if shape.is_share:
        annotations[GPU_MILLI] = str(shape.gpu_milli)
    spec: dict[str, Any] = {
        "containers": [
            {"name": "engine", "image": "vllm/vllm-openai:v0.33.0",
             "resources": {"requests": requests, "limits": requests}}
        ],
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
    }  # fmt: skip
    if node is not None:
        spec["nodeName"] = node
    return {
        "metadata": {"name": uid, "namespace": "llm", "uid": uid, "annotations": annotations,
                     "labels": {"app": "engine"}, "resourceVersion": "1"},
        "spec": spec,
        "status": {"phase": "Running" if node else "Pending"},
    }  # fmt: skip


class Cluster:
    """The objects, and who is told of their changes."""

    def __init__(self, nodes: int, seed: int) -> None:
        random = np.random.default_rng(seed)
        self.names = [f"ip-10-{at // 250}-{at % 250}-17.eu-west-1.compute.internal"
                      for at in range(nodes)]  # fmt: skip
        products = random.choice(PRODUCTS, nodes).tolist()
        told = zip(self.names, products, strict=True)
        self._objects: dict[str, list[Json]] = {path: [] for path in _LIST_KINDS}
        for name, product in told:
            self._objects["/api/v1/nodes"].append(_node(name, product))
            self._objects["/apis/resource.k8s.io/v1/resourceslices"].append(_slice(name, product))
        self._objects["/api/v1/pods"] = list(self._running(random))
        self._version = 1
        self._watchers: list[asyncio.Queue[Json]] = []

    def _running(self, random: np.random.Generator) -> list[Json]:
        running: list[Json] = []
        for name in self.names:
            free, number = GPUS - int(random.binomial(GPUS, _FILLED)), 0
            left = GPUS - free
            for shape in usual_pods(random, GPUS):
                if 0 < shape.gpus <= left:
                    running.append(pod(shape, f"{name}-{number}", name))
                    left, number = left - shape.gpus, number + 1
        return running

    def bind(self, document: dict[str, Any], node: str) -> None:
        """The pod is on the node now, as the watch of pods will tell."""
        self._version += 1
        document["spec"]["nodeName"] = node
        document["metadata"]["resourceVersion"] = str(self._version)
        for queue in self._watchers:
            queue.put_nowait({"type": "MODIFIED", "object": document})

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """The API server's address."""
        app = web.Application()
        app.add_routes([web.get("/{path:.*}", self._answer)])
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.path not in _LIST_KINDS:
            return web.json_response({"kind": "Status", "code": 404}, status=404)
        if request.query.get("watch"):
            return await self._watch(request)
        objects = self._objects[request.path]
        start, limit = int(request.query.get("continue") or 0), int(request.query.get("limit", 500))
        version, kind = _LIST_KINDS[request.path]
        metadata = {"resourceVersion": "1"}
        if start + limit < len(objects):
            metadata["continue"] = str(start + limit)
        return web.json_response(
            {"apiVersion": version, "kind": kind, "metadata": metadata,
             "items": objects[start : start + limit]}
        )  # fmt: skip

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        queue: asyncio.Queue[Json] = asyncio.Queue()
        if request.path == "/api/v1/pods":
            self._watchers.append(queue)
        while True:
            await response.write(json.dumps(await queue.get()).encode() + b"\n")


def _node(name: str, product: str) -> Json:
    images = [
        {
            "names": [f"registry.example/team-{at}/image@sha256:{at:064d}"],
            "sizeBytes": 2**24 << at % 9,
        }
        for at in range(_IMAGES)
    ]
    return {
        "metadata": {
            "name": name, "uid": name, "resourceVersion": "1",
            "labels": {"nvidia.com/gpu.product": product.replace(" ", "-"),
                       "nvidia.com/gpu.count": str(GPUS), "kubernetes.io/hostname": name,
                       **{f"example.com/label-{at}": f"value-{at}" for at in range(25)}},
            "annotations": {"example.com/config": "x" * 400},
            "managedFields": [{"manager": "kubelet", "fieldsV1": {"f:x": "y" * 2000}}],
        },
        "spec": {},
        "status": {
            "allocatable": {"cpu": "190", "memory": "2000Gi", "pods": "110",
                            "nvidia.com/gpu": str(GPUS)},
            "images": images,
            "conditions": [{"type": "Ready", "status": "True", "message": "z" * 300}],
        },
    }  # fmt: skip


def _slice(name: str, product: str) -> Json:
    devices = [
        {
            "name": f"gpu-{at}",
            "attributes": {
                "type": {"string": "gpu"}, "uuid": {"string": f"GPU-{name}-{at}"},
                "productName": {"string": product}, "brand": {"string": "Nvidia"},
                "architecture": {"string": "Hopper"},
                "cudaComputeCapability": {"version": "9.0.0"},
                "driverVersion": {"version": "580.95.5"},
                "cudaDriverVersion": {"version": "13.0.0"},
                "resource.kubernetes.io/pciBusID": {"string": f"0000:{at:02x}:00.0"},
                "resource.kubernetes.io/pcieRoot": {"string": f"pci0000:{at // 2:02x}"},
            },
            "capacity": {"memory": {"value": "81559Mi"}},
        }
        for at in range(GPUS)
    ]  # fmt: skip
    return {
        "metadata": {"name": f"{name}-gpu", "resourceVersion": "1"},
        "spec": {
            "driver": "gpu.nvidia.com", "nodeName": name,
            "pool": {"name": name, "generation": 1, "resourceSliceCount": 1}, "devices": devices,
        },
    }  # fmt: skip
