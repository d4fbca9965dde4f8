"""One change of one API object, as a value: a dry run prints it, and the executor makes it.

A change may be made twice, as after a lost answer: an apply says what our fields are, a patch tests
what it replaces, and a delete names the UID of what it deletes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from typing_extensions import override

from fleet.cluster.karpenter import NodeClaim
from policies.node_plan import Step

MANAGER: Final = "foresail"
"""Our field manager. It never forces: a field of somebody else is a conflict that names them."""
Body = Mapping[str, object]


class Verb(StrEnum):
    """What is done to the object."""

    APPLY = "apply"
    """Server-side apply: our fields become those of the body, and the object is made if missing."""
    PATCH = "patch"
    """A JSON patch; its tests say what must still hold."""
    DELETE = "delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Which object it is."""

    group: str = ""
    """Empty = core."""
    version: str = "v1"
    kind: str
    resource: str
    """The plural in the URL."""
    namespace: str | None = None
    name: str

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def path(self) -> str:
        """In the API server."""
        base = f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"
        namespace = f"/namespaces/{self.namespace}" if self.namespace else ""
        return f"{base}{namespace}/{self.resource}/{self.name}"

    @override
    def __str__(self) -> str:
        name = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind} {name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One request to the API server."""

    verb: Verb
    address: Address
    lever: str
    why: str
    """For a person, with the numbers."""
    body: Body | Sequence[Body] | None = None
    """Of an apply the object, of a patch its operations; a delete has none."""
    subresource: str | None = None
    uid: str | None = None
    """The object that must still be there under the name; None = it may be made."""
    lease_end_seconds: float | None = None
    """After which anybody may undo it; None = it leaves nothing behind."""
    empty_node: str | None = None
    """A Node that must have no pod with GPUs when the request is sent, by a list of its own."""
    start_of: NodeClaim | None = None
    """A NodeClaim that must not have changed since it was read, and that no pod may wait for when
    the request is sent, by a list of its own."""
    after: tuple[Address, ...] = ()
    """Left out where the change of one of these objects failed."""
    execute: bool = True
    """False = mere advice."""

    def __post_init__(self) -> None:
        assert (self.body is None) == (self.verb is Verb.DELETE)
        assert self.uid is not None or self.verb is Verb.APPLY
        if self.verb is Verb.APPLY:
            assert isinstance(self.body, Mapping)
            metadata = self.body["metadata"]
            assert isinstance(metadata, Mapping)
            assert metadata.get("uid") == self.uid


@dataclass(frozen=True, slots=True, kw_only=True)
class LeverResult:
    """What a lever wants done, and what it has to say."""

    changes: tuple[Change, ...] = ()
    steps: tuple[Step, ...] = ()

    def __add__(self, other: "LeverResult") -> "LeverResult":
        return LeverResult(
            changes=(*self.changes, *other.changes), steps=(*self.steps, *other.steps)
        )


def applied(address: Address, uid: str | None, metadata: Body, **parts: object) -> Body:
    """The body of an apply: an object with these metadata, and further top-level fields.

    With a UID an object that is gone is not made again; None = it may be made.
    """
    named = {"name": address.name, "namespace": address.namespace, "uid": uid}
    return {
        "apiVersion": address.api_version,
        "kind": address.kind,
        "metadata": {**{key: one for key, one in named.items() if one is not None}, **metadata},
        **parts,
    }


def expect(path: str, value: object) -> Body:
    """An operation of a JSON patch: the whole patch fails where the value is another one.

    A path that does not exist has the value None.
    """
    return {"op": "test", "path": path, "value": value}
