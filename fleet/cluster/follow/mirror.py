"""A cluster kept in memory: the objects that a snapshot is made of, as its API server tells them.

Only what a snapshot reads is kept: a pod that has nothing to do with GPUs is not.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, assert_never

from kubernetes_asyncio.client import ApiClient

from fleet.cluster.follow.api import (
    PATIENT,
    Json,
    Patience,
    Resource,
    UnreadableError,
    pages,
    unmanaged,
)
from fleet.cluster.follow.watch import Changed, Event, Gone, Listed, Unavailable, watched
from fleet.pods import pods_of
from fleet.snapshot import World


def _lean_node(node: Json) -> Json:
    """Without the images that it holds: most of a node."""
    lean = unmanaged(node)
    status = {key: value for key, value in lean.get("status", {}).items() if key != "images"}
    return {**lean, "status": status}


def _of_gpus(pod: Json) -> Json | None:
    """A pod that may have GPUs: by a device plugin's resource, or by a claim."""
    claims = pod.get("spec", {}).get("resourceClaims")
    asks = claims or any(one.units or one.claimed for one in pods_of([pod]))
    return unmanaged(pod) if asks else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of object that is read."""

    path: str
    what: str
    """In messages, and in the rule of a ClusterRole."""
    keep: Callable[[Json], Json | None] = unmanaged
    needed: bool = True
    """A snapshot without it would be wrong, unless the cluster does not have it."""


_DRA: Final = "/apis/resource.k8s.io/v1"
KINDS: Final[Mapping[str, Kind]] = {
    "nodes": Kind(path="/api/v1/nodes", what="nodes", keep=_lean_node),
    "pods": Kind(path="/api/v1/pods", what="pods", keep=_of_gpus),
    "slices": Kind(path=f"{_DRA}/resourceslices", what="resourceslices"),
    "claims": Kind(path=f"{_DRA}/resourceclaims", what="resourceclaims"),
    "classes": Kind(path=f"{_DRA}/deviceclasses", what="deviceclasses", needed=False),
    "node_pools": Kind(path="/apis/karpenter.sh/v1/nodepools", what="nodepools", needed=False),
}
"""By the field of a World."""


async def read_world(client: ApiClient, cluster: str, patience: Patience = PATIENT) -> World:
    """A cluster's objects, once.

    Raises:
        UnreadableError: what is needed cannot be read.
    """
    asked = {
        field: Resource(client=client, path=kind.path, keep=kind.keep, patience=patience)
        for field, kind in KINDS.items()
    }
    answers = await asyncio.gather(*(_tried(one) for one in asked.values()))
    found: dict[str, tuple[Json, ...] | None] = {}
    remarks = []
    for (field_name, kind), answer in zip(KINDS.items(), answers, strict=True):
        if isinstance(answer, UnreadableError):
            if kind.needed and not answer.absent:
                raise answer
            if not answer.absent:
                remarks.append(str(answer))
                found[field_name] = None
        else:
            found[field_name] = answer
    return World.of(cluster, found, remarks)


async def _tried(resource: Resource) -> tuple[Json, ...] | UnreadableError:
    """An error as a value: one resource that fails leaves the others their time."""
    try:
        return (await pages(resource))[0]
    except UnreadableError as error:
        return error


@dataclass(slots=True)
class Mirror:
    """A cluster's objects, as far as they are told."""

    cluster: str
    news: asyncio.Event = field(default_factory=asyncio.Event)
    """Set with every change; whoever waits clears it."""
    _objects: dict[str, dict[str, Json]] = field(default_factory=dict)
    _trouble: dict[str, Unavailable] = field(default_factory=dict)

    @property
    def trouble(self) -> str | None:
        """Why there is no world to show: something that is needed was never read."""
        for name, kind in KINDS.items():
            if name in self._objects:
                continue
            trouble = self._trouble.get(name)
            if trouble is None:
                return f"{kind.path}: not read yet"
            if kind.needed and not trouble.absent:
                return trouble.reason
        return None

    @property
    def world(self) -> World:
        """What is known; what is stale is among the remarks."""
        remarks = []
        objects: dict[str, tuple[Json, ...] | None] = {}
        for name, trouble in self._trouble.items():
            if not trouble.absent:
                stale = "what was known of it is shown" if name in self._objects else "left out"
                remarks.append(f"{trouble.reason} ({stale})")
                objects[name] = None
        objects |= {name: tuple(found.values()) for name, found in self._objects.items()}
        return World.of(self.cluster, objects, remarks)

    def take(self, name: str, event: Event) -> None:
        """Learn of an event of a kind."""
        match event:
            case Listed(objects=objects):
                self._trouble.pop(name, None)
                self._objects[name] = {_key(one): one for one in objects}
            case Changed(object=one):
                self._objects[name][_key(one)] = one
            case Gone(object=one):
                self._objects[name].pop(_key(one), None)
            case Unavailable():
                self._trouble[name] = event
                if event.absent:
                    self._objects.pop(name, None)
            case _:
                assert_never(event)
        self.news.set()


@asynccontextmanager
async def mirrored(
    client: ApiClient, cluster: str, news: asyncio.Event, patience: Patience = PATIENT
) -> AsyncIterator[Mirror]:
    """A mirror that follows its cluster while the context is open."""
    mirror = Mirror(cluster, news)

    async def follow(name: str, kind: Kind) -> None:
        async for event in watched(client, kind.path, keep=kind.keep, patience=patience):
            mirror.take(name, event)

    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(follow(name, kind), name=f"watch:{cluster}:{kind.what}")
            for name, kind in KINDS.items()
        ]
        try:
            yield mirror
        finally:
            for task in tasks:
                task.cancel()


def _key(document: Json) -> str:
    metadata = document["metadata"]
    return f"{metadata.get('namespace', '')}/{metadata['name']}"
