"""A cluster that exists only as an API server's answers: what is there, and what changes.

Lists come in pages and watches as lines, as from the real one, so that the program under test reads
all of it as it would on a cluster. Nodes differ as those of a used cluster do: pods are on them
from the start, at random. CPU, memory, GPUs of device plugins and devices of claims are counted as
kube-scheduler and its allocator count them.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from aiohttp import web

from bench._extender_objects import (
    CLAIM_SPECS,
    CORES_MILLI,
    GPU_DRIVER,
    GPUS,
    MEMORY_MIB,
    NIC_DRIVER,
    PRODUCTS,
    Json,
    claim,
    device_class,
    node,
    pod,
    slices,
    usual_pods,
)
from fleet.cluster.claims import claim_of as record_of
from fleet.cluster.devices import slice_of
from scheduler.devices import allocatable
from scheduler.first_fit import Device, UnpredictableError, first_fit
from scheduler.placement import Shape
from scheduler.resource_claim import Claim, claim_of

_FILLED = 0.6
"""Of the GPUs, in use from the start."""
_COUNTERS_EACH = 20
"""Of so many nodes with claims, one whose GPUs have counters."""
_ALLOCATIONS_MAX = 50_000
_NODES, _PODS = "/api/v1/nodes", "/api/v1/pods"
_SLICES = "/apis/resource.k8s.io/v1/resourceslices"
_CLAIMS = "/apis/resource.k8s.io/v1/resourceclaims"
_CLASSES = "/apis/resource.k8s.io/v1/deviceclasses"
_LIST_KINDS = {
    _NODES: ("v1", "NodeList"),
    _PODS: ("v1", "PodList"),
    _SLICES: ("resource.k8s.io/v1", "ResourceSliceList"),
    _CLAIMS: ("resource.k8s.io/v1", "ResourceClaimList"),
    _CLASSES: ("resource.k8s.io/v1", "DeviceClassList"),
}


@dataclass(slots=True, kw_only=True)
class Waiting:
    """A pod that is to be placed."""

    document: dict[str, Any]
    shape: Shape
    claim_document: dict[str, Any] | None = None
    claim: Claim | None = None


@dataclass(slots=True)
class _Running:
    pod: Waiting
    row: int
    devices: list[int]


class Cluster:
    """The objects, who is told of their changes, and what is left on each node."""

    def __init__(self, nodes: int, seed: int, *, has_claims: bool) -> None:
        self._random = np.random.default_rng(seed)
        self._has_claims = has_claims
        self.names: list[str] = []
        self._products: list[str] = []
        self._cpu = np.full(nodes, CORES_MILLI)
        self._memory = np.full(nodes, MEMORY_MIB)
        self._plugged = np.zeros(nodes, np.int64)
        """GPUs that device plugins have left."""
        self._devices: list[list[Device]] = [[] for _ in range(nodes)]
        self._open: list[list[bool]] = [[] for _ in range(nodes)]
        self._objects: dict[str, dict[str, Json]] = {path: {} for path in _LIST_KINDS}
        self._watchers: defaultdict[str, list[asyncio.Queue[bytes]]] = defaultdict(list)
        self._running: dict[str, _Running] = {}
        self._uids: list[str] = []
        self._running_at_start = 0
        self._allocations: dict[object, list[int] | None] = {}
        self._version = self._nodes_made = self._pods_made = 0
        self._classes = {name: [f"device.driver == '{name}'"] for name in (GPU_DRIVER, NIC_DRIVER)}
        for name in self._classes if has_claims else ():
            self._tell("ADDED", _CLASSES, device_class(name))
        for row in range(nodes):
            self.names.append("")
            self._products.append("")
            self._new_node(row)
            self._fill(row)
        self._running_at_start = len(self._running)

    # -- nodes -----------------------------------------------------------------------------------

    def _is_plugged(self, row: int) -> bool:
        return not self._has_claims or row % 2 == 0

    def _new_node(self, row: int) -> None:
        at = self._nodes_made
        self._nodes_made += 1
        self.names[row] = name = f"ip-10-{at // 250}-{at % 250}-17.eu-west-1.compute.internal"
        self._products[row] = product = str(self._random.choice(PRODUCTS))
        self._cpu[row], self._memory[row] = CORES_MILLI, MEMORY_MIB
        is_plugged = self._is_plugged(row)
        self._plugged[row] = GPUS if is_plugged else 0
        made = slices(
            name,
            product,
            has_counters=not is_plugged and row % _COUNTERS_EACH == 1,
            has_nics=not is_plugged,
        )
        self._devices[row] = [
            allocatable(one) for document in made for one in slice_of(document).devices
        ]
        self._open[row] = [True] * len(self._devices[row])
        self._tell("ADDED", _NODES, node(name, product, is_plugged=is_plugged))
        for document in made:
            self._tell("ADDED", _SLICES, document)

    def _fill(self, row: int) -> None:
        left = int(self._random.binomial(GPUS, _FILLED))
        for shape in usual_pods(self._random, GPUS):
            if 0 < shape.gpus <= left:
                left -= shape.gpus
                waiting = self.made(shape, None if self._is_plugged(row) else shape.gpus)
                self.bind(waiting, self.names[row])

    def node_tells(self) -> None:
        """A node's kubelet reports: it has pulled an image."""
        row = int(self._random.integers(len(self.names)))
        changed = node(
            self.names[row], self._products[row], is_plugged=self._is_plugged(row),
            images=int(self._random.integers(20)),
        )  # fmt: skip
        self._tell("MODIFIED", _NODES, changed)

    def node_is_replaced(self) -> None:
        """A node goes with its pods, and another one comes."""
        row = int(self._random.integers(len(self.names)))
        for uid in [uid for uid, one in self._running.items() if one.row == row]:
            self.leaves(uid)
        gone = self.names[row]
        self._tell("DELETED", _NODES, self._objects[_NODES][gone])
        for driver in (GPU_DRIVER, NIC_DRIVER):
            if f"{gone}-{driver}" in self._objects[_SLICES]:
                self._tell("DELETED", _SLICES, self._objects[_SLICES][f"{gone}-{driver}"])
        self._new_node(row)

    # -- pods ------------------------------------------------------------------------------------

    @property
    def running(self) -> int:
        return len(self._running)

    def made(self, shape: Shape, claimed: int | None = None) -> Waiting:
        """A new pod; with `claimed` GPUs by a claim, where it is 0 by one of the usual claims."""
        uid = f"pod-{self._pods_made}"
        self._pods_made += 1
        if claimed is None:
            return Waiting(document=pod(shape, uid), shape=shape)
        at = int(self._random.integers(len(CLAIM_SPECS)))
        spec = CLAIM_SPECS[at]
        if claimed:
            spec = next(
                one for one in CLAIM_SPECS[:4] if one["requests"][0]["exactly"]["count"] >= claimed
            )
        bare = replace(shape, gpus=0, gpu_milli=0)
        document = claim(f"{uid}-gpus", spec)
        return Waiting(
            document=pod(bare, uid, claim=f"{uid}-gpus"),
            shape=bare,
            claim_document=document,
            claim=claim_of(record_of(document), self._classes),
        )

    def waits(self, waiting: Waiting) -> None:
        """The pod and its claim are told of before anybody places it."""
        if waiting.claim_document is not None:
            self._tell("ADDED", _CLAIMS, waiting.claim_document)
        self._tell("ADDED", _PODS, waiting.document)

    def fitting(self, waiting: Waiting) -> list[str]:
        """The nodes that kube-scheduler would ask about."""
        shape = waiting.shape
        fits = (self._cpu >= shape.cpu_milli) & (self._memory >= shape.memory_mib)
        fits &= self._plugged >= shape.gpus
        rows = np.flatnonzero(fits).tolist()
        if waiting.claim is not None:
            rows = [row for row in rows if self._allocated(waiting.claim, row)]
        return [self.names[row] for row in rows]

    def _allocated(self, claim: Claim, row: int) -> list[int] | None:
        """The devices of the node that the claim would get; None = it does not fit."""
        devices, is_open = self._devices[row], self._open[row]
        if self._is_plugged(row) or not any(is_open):
            return None
        state = tuple(is_open), self._products[row], row % _COUNTERS_EACH == 1, claim.key
        if len(self._allocations) > _ALLOCATIONS_MAX:
            self._allocations.clear()
        if state not in self._allocations:
            self._allocations[state] = self._searched(claim, devices, is_open)
        return self._allocations[state]

    @staticmethod
    def _searched(claim: Claim, devices: list[Device], is_open: list[bool]) -> list[int] | None:
        known = [
            replace(one, is_free=free, unpredictable=None)
            for one, free in zip(devices, is_open, strict=True)
        ]
        try:
            given = first_fit(known, claim.requests, claim.constraints)
        except UnpredictableError:
            return None
        if given is None:
            return None
        index_of = {one.place: at for at, one in enumerate(devices)}
        return [index_of[one.device.place] for one in given]

    def bind(self, waiting: Waiting, name: str) -> None:
        """The pod is on the node now, as the watches will tell."""
        row = self.names.index(name)
        devices: list[int] = []
        if waiting.claim is not None and waiting.claim_document is not None:
            devices = self._allocated(waiting.claim, row) or []
            results = [
                {"request": "gpus", "driver": one.driver, "pool": one.pool, "device": one.name}
                for one in (self._devices[row][at] for at in devices)
            ]
            waiting.claim_document["status"] = {"allocation": {"devices": {"results": results}}}
            self._tell("MODIFIED", _CLAIMS, waiting.claim_document)
        for at in devices:
            self._open[row][at] = False
        shape = waiting.shape
        self._cpu[row] -= shape.cpu_milli
        self._memory[row] -= shape.memory_mib
        self._plugged[row] -= shape.gpus
        waiting.document["spec"]["nodeName"] = name
        waiting.document["status"]["phase"] = "Running"
        uid = str(waiting.document["metadata"]["uid"])
        self._running[uid] = _Running(waiting, row, devices)
        self._uids.append(uid)
        self._tell("MODIFIED", _PODS, waiting.document)

    def some_leave(self) -> None:
        """Pods end, and it may be any, until no more run than at the start."""
        while len(self._running) > self._running_at_start:
            # Swapped to the end, so that each costs the same however many run.
            at = int(self._random.integers(len(self._uids)))
            self._uids[at], self._uids[-1] = self._uids[-1], self._uids[at]
            uid = self._uids.pop()
            if uid in self._running:  # else it went with its node
                self.leaves(uid)

    def leaves(self, uid: str) -> None:
        one = self._running.pop(uid)
        row, shape = one.row, one.pod.shape
        self._cpu[row] += shape.cpu_milli
        self._memory[row] += shape.memory_mib
        self._plugged[row] += shape.gpus
        for at in one.devices:
            self._open[row][at] = True
        self.withdraw(one.pod)

    def withdraw(self, waiting: Waiting) -> None:
        """The pod is deleted, and its claim with it."""
        self._tell("DELETED", _PODS, waiting.document)
        if waiting.claim_document is not None:
            self._tell("DELETED", _CLAIMS, waiting.claim_document)

    # -- the API server --------------------------------------------------------------------------

    def _tell(self, kind: str, path: str, document: dict[str, Any] | Json) -> None:
        self._version += 1
        metadata = dict(document["metadata"]) | {"resourceVersion": str(self._version)}
        told = {**document, "metadata": metadata}
        if kind == "DELETED":
            self._objects[path].pop(str(metadata["name"]), None)
        else:
            self._objects[path][str(metadata["name"])] = told
        for queue in self._watchers[path]:
            queue.put_nowait(json.dumps({"type": kind, "object": told}).encode() + b"\n")

    async def told(self, *, but: int) -> None:
        """Until the program under test has been sent all changes but so many."""
        queues = [queue for queues in self._watchers.values() for queue in queues]
        while sum(queue.qsize() for queue in queues) > but:  # noqa: ASYNC110 of many queues
            await asyncio.sleep(0.005)

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
        objects = list(self._objects[request.path].values())
        start, limit = int(request.query.get("continue") or 0), int(request.query.get("limit", 500))
        version, kind = _LIST_KINDS[request.path]
        metadata = {"resourceVersion": str(self._version)}
        if start + limit < len(objects):
            metadata["continue"] = str(start + limit)
        return web.json_response(
            {"apiVersion": version, "kind": kind, "metadata": metadata,
             "items": objects[start : start + limit]}
        )  # fmt: skip

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._watchers[request.path].append(queue)
        while True:
            await response.write(await queue.get())
