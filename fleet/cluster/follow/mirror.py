"""A cluster kept in memory: the records that a snapshot is made of, as its API server sends them.

Of a pod that asks for no device no more is kept than its node, and nothing if it is a part of that.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final, assert_never

from kubernetes_asyncio.client import ApiClient

from fleet.cluster.cpu_pods import cpu_pod_of
from fleet.cluster.fields import Json
from fleet.cluster.follow.api import PATIENT, Patience, Resource, UnreadableError, pages
from fleet.cluster.follow.watch import Changed, Event, Gone, Listed, Unavailable, watched
from fleet.cluster.kinds import SNAPSHOT_KINDS, SOURCES, Kind, Record, record_of
from fleet.cluster.pods import Pod
from fleet.cluster.reading import Cluster

NEEDED: Final = frozenset({Kind.NODE, Kind.POD, Kind.SLICE, Kind.CLAIM})
"""A snapshot without them would be wrong, unless the cluster does not have the kind."""


def gpu_record_of(kind: Kind, document: Json) -> Record | None:
    """The record of an object, if it has to do with GPUs or with when a node may go."""
    record = record_of(kind, document)
    if isinstance(record, Pod) and not record.may_take_gpus:
        return cpu_pod_of(record)
    return record


async def read_cluster(
    client: ApiClient,
    name: str,
    patience: Patience = PATIENT,
    kinds: Sequence[Kind] = SNAPSHOT_KINDS,
) -> Cluster:
    """A cluster's records, read once.

    Raises:
        UnreadableError: a kind that is needed cannot be read.
    """
    answers = await asyncio.gather(*(_tried(client, kind, patience) for kind in kinds))
    found: dict[Kind, tuple[Record, ...] | None] = {}
    remarks = []
    for kind, answer in zip(kinds, answers, strict=True):
        if not isinstance(answer, UnreadableError):
            found[kind] = answer
        elif not answer.absent:
            if kind in NEEDED:
                raise answer
            remarks.append(str(answer))
            found[kind] = None
    return Cluster.of(name, found, remarks)


async def _tried(
    client: ApiClient, kind: Kind, patience: Patience
) -> tuple[Record, ...] | UnreadableError:
    """An error as a value: one resource that fails leaves the others their time."""
    found: tuple[Record, ...] | UnreadableError = ()
    for path in SOURCES[kind].paths:
        resource = Resource(
            client=client, path=path, record_of=partial(gpu_record_of, kind), patience=patience
        )
        try:
            return (await pages(resource))[0]
        except UnreadableError as error:
            found = error
            if not error.absent:
                break
    return found


@dataclass(slots=True)
class Mirror:
    """The records of a cluster, as far as its API server has sent them."""

    name: str
    news: asyncio.Event = field(default_factory=asyncio.Event)
    """Set with every change; the waiting side clears it."""
    kinds: Sequence[Kind] = SNAPSHOT_KINDS
    _records: dict[Kind, dict[str, Record]] = field(default_factory=dict)
    _trouble: dict[Kind, Unavailable] = field(default_factory=dict)

    @property
    def trouble(self) -> str | None:
        """Why there is nothing to show: a kind that is needed was never read."""
        for kind in self.kinds:
            if kind in self._records:
                continue
            trouble = self._trouble.get(kind)
            if trouble is None:
                return f"{SOURCES[kind].path}: not read yet"
            if kind in NEEDED and not trouble.absent:
                return trouble.reason
        return None

    @property
    def stale(self) -> str | None:
        """Why what is shown may be old: a kind that is needed cannot be read now."""
        found = (one for kind, one in self._trouble.items() if kind in NEEDED and not one.absent)
        return next((one.reason for one in found), None)

    @property
    def cluster(self) -> Cluster:
        """What is known; remarks name what is stale."""
        remarks = []
        records: dict[Kind, tuple[Record, ...] | None] = {}
        for kind, trouble in self._trouble.items():
            if not trouble.absent:
                stale = "what was known of it is shown" if kind in self._records else "left out"
                remarks.append(f"{trouble.reason} ({stale})")
                records[kind] = None
        records |= {kind: tuple(found.values()) for kind, found in self._records.items()}
        return Cluster.of(self.name, records, remarks)

    def take(self, kind: Kind, event: Event) -> None:
        """Learn of an event."""
        match event:
            case Listed(records=records):
                self._trouble.pop(kind, None)
                self._records[kind] = {one.name: one for one in records}
            case Changed(record=record):
                self._records[kind][record.name] = record
            case Gone(identity=identity):
                self._records[kind].pop(identity.name, None)
            case Unavailable():
                self._trouble[kind] = event
                if event.absent:
                    self._records.pop(kind, None)
            case _:
                assert_never(event)
        self.news.set()


@asynccontextmanager
async def mirrored(
    client: ApiClient,
    name: str,
    news: asyncio.Event,
    patience: Patience = PATIENT,
    kinds: Sequence[Kind] = SNAPSHOT_KINDS,
) -> AsyncIterator[Mirror]:
    """A mirror that follows the kinds of its cluster while the context is open."""
    mirror = Mirror(name, news, kinds)
    failure: Exception | None = None

    async def follow(kind: Kind) -> None:
        read = partial(gpu_record_of, kind)
        async for event in watched(client, SOURCES[kind].paths, read, patience=patience):
            mirror.take(kind, event)

    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(follow(kind), name=f"watch:{name}:{kind.value}")
            for kind in mirror.kinds
        ]
        try:
            yield mirror
        except Exception as error:  # noqa: BLE001 - the group would wrap the caller's error
            failure = error
        finally:
            for task in tasks:
                task.cancel()
    if failure is not None:
        raise failure
