"""The policies of the controller: from files, and from objects where these are served.

A policy with a fault stays as it was. Files win nothing over objects: of two policies of one name
neither is in force. Two that match one pool are both in force, and the rules leave that pool alone.
No policy keeps another one's edits back, and no order of edits counts: replicas agree.
"""

from collections import Counter
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

import structlog

from fleet.cluster.fields import Json
from fleet.cluster.follow.watch import Changed, Event, Gone, Listed, Unavailable
from fleet.cluster.kinds import identity_of
from foresail.policy.files import PolicyFiles
from policies.policy.documents import POLICIES_MAX, PolicyError, contradictions, policy_of
from policies.policy.schema import API_VERSION, KIND, CapacityPolicy

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
    """What policies say now; one with a fault, what it said before it."""

    def __init__(self, files: PolicyFiles | None) -> None:
        self._files = files
        self._objects: dict[str, PolicyObject] | None = None
        """None = they were not listed yet."""
        self._correct: dict[str, CapacityPolicy] = {}
        """Of each object, by name, the last version without a fault."""
        self._problem: str | None = None
        self.stale: str | None = None
        """Why objects may be old."""

    @property
    def known(self) -> bool:
        """Whether objects were listed, or it is known that there are none."""
        return self._objects is not None

    @property
    def problem(self) -> str | None:
        """Why what is there now is not, or not everywhere, in force; a line a fault."""
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
        objects = [one for _, one in sorted((self._objects or {}).items())]
        problems += [one.fault for one in objects if one.fault is not None]
        # A policy that became faulty stays as it was, like a file.
        latest = ((one.name, one.policy or self._correct.get(one.name)) for one in objects)
        self._correct = {name: policy for name, policy in latest if policy is not None}
        found = [*from_files, *self._correct.values()]
        problems += contradictions(found)
        problem = "\n".join(problems) or None
        if problem is not None and problem != self._problem:
            log.warning("policies_not_in_force", why=problem)
        self._problem = problem
        names = Counter(one.name for one in found)
        return tuple(one for one in found if names[one.name] == 1)[:POLICIES_MAX]

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
