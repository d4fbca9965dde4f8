"""The policies of the controller: from files, and from objects where these are served.

Files win nothing over objects: two policies of one name, or two that can only collide, are a fault,
and the policies that were in force before stay so.
"""

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

import structlog

from fleet.cluster.fields import Json
from fleet.cluster.follow.watch import Changed, Event, Gone, Listed, Unavailable
from fleet.cluster.kinds import identity_of
from foresail.policy.files import PolicyFiles
from policies.policy.documents import PolicyError, agreed, policy_of
from policies.policy.schema import API_VERSION, KIND, CapacityPolicy
from scaler.errors import ForesailError

log = structlog.get_logger()

PATH: Final = "/apis/foresail.io/v1alpha1/capacitypolicies"
_OF_LIST: Final[Json] = {"apiVersion": API_VERSION, "kind": KIND}


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyObject:
    """A CapacityPolicy object: the policy, or why it cannot be used."""

    name: str
    policy: CapacityPolicy | None
    fault: str | None = None
    uid: str | None = None


def policy_object_of(document: Json) -> PolicyObject:
    """The record of an object; the items of a list leave out of which kind they are."""
    name, uid = identity_of(document)
    try:
        return PolicyObject(name=name, policy=policy_of({**_OF_LIST, **document}), uid=uid or None)
    except PolicyError as error:
        return PolicyObject(name=name, policy=None, fault=str(error), uid=uid or None)


class PoliciesInForce:
    """What policies say now; with a fault, what they said before it."""

    def __init__(self, files: PolicyFiles | None) -> None:
        self._files = files
        self._objects: dict[str, PolicyObject] | None = None
        """None = they were not listed yet."""
        self._kept: tuple[CapacityPolicy, ...] = ()
        self._problem: str | None = None
        self.stale: str | None = None
        """Why objects may be old."""

    @property
    def known(self) -> bool:
        """Whether objects were listed, or it is known that there are none."""
        return self._objects is not None

    @property
    def problem(self) -> str | None:
        """Why what is there now is not, or not as a whole, in force."""
        return self._problem

    def uid_of(self, name: str) -> str | None:
        """Of the object of this name; None = the policy is of a file."""
        found = (self._objects or {}).get(name)
        return found.uid if found is not None else None

    def current(self) -> tuple[CapacityPolicy, ...]:
        """The policies in force."""
        problems = []
        from_files: tuple[CapacityPolicy, ...] = ()
        if self._files is not None:
            from_files = self._files.current()
            problems += [self._files.problem] if self._files.problem else []
        objects = (self._objects or {}).values()
        problems += [one.fault for one in objects if one.fault is not None]
        # A policy that became faulty stays as it was, like a file.
        before = {one.name: one for one in self._kept}
        found = [one.policy or before.get(one.name) for one in objects]
        try:
            self._kept = agreed([*from_files, *(one for one in found if one is not None)])
        except ForesailError as error:
            problems.append(str(error))
        problem = "\n".join(problems) or None
        if problem is not None and problem != self._problem:
            log.warning("policies_not_in_force", why=problem)
        self._problem = problem
        return self._kept

    async def follow(self, events: AsyncGenerator[Event, None]) -> None:
        """Learn of objects, until the events end."""
        async with aclosing(events):
            async for event in events:
                self.take(event)

    def take(self, event: Event) -> None:
        """Learn of an event."""
        match event:
            case Listed(records):
                self._objects = {one.name: one for one in _of(records)}
            case Changed(record):
                (changed,) = _of([record])
                self._objects = {**(self._objects or {}), changed.name: changed}
            case Gone(identity):
                self._objects = dict(self._objects or {})
                self._objects.pop(identity.name, None)
            case Unavailable(_, absent=True):
                self._objects = {}  # the CustomResourceDefinition is not installed
            case Unavailable(reason):
                log.warning("policies_unavailable", why=reason)
        self.stale = event.reason if isinstance(event, Unavailable) and not event.absent else None


def _of(records: Iterable[Any]) -> list[PolicyObject]:
    """The records as they are: a watch hands over what `policy_object_of` makes."""
    return list(records)
