"""One resource of an API server, followed for good: a list, and what changes after it.

The client library's own watch turns objects into models of its release, gives up at the second
410, and does not report a server that is gone. Here each object becomes a record of ours as soon as
it arrives, and an event says when what is known is old.

The events keep these promises:

* `Listed` is complete: an object that it does not hold is gone.
* After `Unavailable` what was known is stale until the next `Listed`.
* The last state of every object arrives; states between may be left out. A watch that breaks is
  resumed where it was, or everything is listed anew.

The follower never ends by itself and keeps nothing: the caller remembers the records.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Final

from kubernetes_asyncio.client import ApiClient

from fleet.cluster.fields import Json
from fleet.cluster.follow.api import (
    GONE,
    PATIENT,
    Change,
    Identity,
    Patience,
    Resource,
    UnreadableError,
    changes,
    pages,
)
from fleet.cluster.kinds import Record

_SHORT_SECONDS: Final = 1.0
"""A watch that ends sooner than this is trouble, however it ends."""


@dataclass(frozen=True, slots=True)
class Listed:
    """All objects, after each list."""

    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class Changed:
    """An object that is new, or is not what it was."""

    record: Record


@dataclass(frozen=True, slots=True)
class Gone:
    """An object that was deleted, or is not wanted any more; it may never have been known."""

    identity: Identity


@dataclass(frozen=True, slots=True)
class Unavailable:
    """The resource cannot be read now; what was known is stale."""

    reason: str
    absent: bool = False
    """The server answered, and has no such resource: known, and not the same as an empty list."""


Event = Listed | Changed | Gone | Unavailable


async def watched(
    client: ApiClient,
    path: str | tuple[str, ...],
    record_of: Callable[[Json], Record | None],
    *,
    label_selector: str | None = None,
    page_size: int = 500,
    patience: Patience = PATIENT,
) -> AsyncGenerator[Event, None]:
    """Follow a resource for good.

    Args:
        client: its session is shared, and closed by whoever made it.
        path: of the collection, such as `/api/v1/nodes`; several are versions of its API, of which
            the first that the server has is followed.
        record_of: makes the record of an object; called with each before the next page is read.
            None = it is not wanted, and `Gone` if it changes after the list.
        label_selector: in kubectl's form.
        page_size: objects a request; all objects of a page are in memory as they came.
        patience: how long to wait for what.
    """
    served = _Served(
        Resource(
            client=client,
            path=path if isinstance(path, str) else path[0],
            label_selector=label_selector,
            page_size=page_size,
            record_of=record_of,
            patience=patience,
        ),
        (path,) if isinstance(path, str) else path,
    )
    loop = asyncio.get_running_loop()
    version: str | None = None
    failures = 0
    reported: Unavailable | None = None
    while True:
        began, wait, resource = loop.time(), 0.0, served.resource
        try:
            if version is None:
                records, version = await pages(resource)
                reported = None
                served.found()
                yield Listed(records)
                began = loop.time()
            async with aclosing(changes(resource, version)) as news:
                async for change in news:
                    version = change.version
                    event = _event(change)
                    if event is not None:
                        yield event
        except UnreadableError as error:
            version, wait = None, patience.absent if error.absent else error.retry_seconds
            if error.absent and served.has_another():
                continue
            unavailable = Unavailable(str(error), absent=error.absent)
            # A version too old to go on from is no trouble of the server's: a list mends it.
            if error.status != GONE and unavailable != reported:
                reported = unavailable
                yield unavailable
        failures = failures + 1 if reported or loop.time() - began < _SHORT_SECONDS else 0
        await asyncio.sleep(_pause_seconds(failures, wait, patience))


@dataclass(slots=True)
class _Served:
    """One version after the other of a collection's API, until the server has it."""

    resource: Resource
    """To be tried next, or followed."""
    paths: tuple[str, ...]
    tried: int = 0
    """Of the versions, since one was found."""

    def found(self) -> None:
        """The server has this version."""
        self.tried = 0

    def has_another(self) -> bool:
        """The server does not have this version: whether another one is left to try."""
        at = (self.paths.index(self.resource.path) + 1) % len(self.paths)
        self.resource = replace(self.resource, path=self.paths[at])
        self.tried += 1
        return self.tried % len(self.paths) != 0


def _event(change: Change) -> Changed | Gone | None:
    """What a line of a watch tells; None = nothing but a newer version."""
    if change.record is not None:
        return Changed(change.record)
    return Gone(change.gone) if change.gone is not None else None


def _pause_seconds(failures: int, wait: float, patience: Patience) -> float:
    if not failures:
        return 0.0
    chance = random.random()  # noqa: S311 - no secret
    return max(wait, backoff_seconds(failures, patience, chance))


def backoff_seconds(failures: int, patience: Patience, chance: float) -> float:
    """How long to wait after so many failures in a row.

    It doubles, and the lower half is left to `chance` (0 to 1): followers of one server that went
    down together come back apart.
    """
    doubled = patience.first_retry * 2.0 ** min(failures - 1, 32)
    return min(patience.longest_retry, doubled) * (1 - chance / 2)
