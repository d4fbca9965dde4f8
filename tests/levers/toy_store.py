"""An API server's objects, as far as levers change them: apply with owners, JSON patch, delete.

Server-side apply keeps who owns which field, refuses another value of somebody else's field, and
takes away what its owner no longer states. Lists are owned as a whole, as those of nodes and pools
are.
"""

import copy
import itertools
from collections.abc import Iterator
from typing import Any

from fleet.cluster.cpu_pods import cpu_pod_by_node
from fleet.cluster.karpenter import node_claim_of, node_pool_of
from fleet.cluster.nodes import node_of
from fleet.cluster.pods import pod_of
from policies.levers.change import MANAGER, Address, Change, Verb
from policies.levers.objects import Objects, made_object_of

Document = dict[str, Any]
Path = tuple[str, ...]
_MADE = ("CapacityBuffer", "PodTemplate", "Deployment", "PriorityClass")


class RefusedError(Exception):
    """The request fails, and nothing is changed."""


class ToyStore:
    """Objects by address; `created` is the time stamp of those that are made."""

    def __init__(self) -> None:
        self.documents: dict[Address, Document] = {}
        self.owners: dict[Address, dict[Path, set[str]]] = {}
        self.created = "2027-01-15T08:00:00Z"
        self._uids = itertools.count(1)

    def put(self, address: Address, document: Document, manager: str = "somebody") -> None:
        """An object of somebody else's."""
        made = copy.deepcopy(document)
        made["metadata"].setdefault("name", address.name)
        made["metadata"].setdefault("uid", f"uid-{address.name}")
        self.documents[address] = made
        self.owners[address] = {path: {manager} for path, _ in _leaves(_stated(made))}

    def take(self, change: Change) -> None:
        """Carry a change out.

        Raises:
            RefusedError: as the API server would refuse it.
        """
        assert change.execute, "advice is not carried out"
        present = self.documents.get(change.address)
        if change.uid is not None and (present is None or present["metadata"]["uid"] != change.uid):
            raise RefusedError(f"{change.address}: another UID")
        match change.verb:
            case Verb.DELETE:
                del self.documents[change.address], self.owners[change.address]
            case Verb.PATCH:
                assert isinstance(change.body, tuple)
                self._patch(change.address, change.body, scale=change.subresource == "scale")
            case Verb.APPLY:
                assert isinstance(change.body, dict)
                self._apply(change.address, copy.deepcopy(change.body))

    def objects(self) -> Objects:
        """As the levers read them."""
        found: dict[str, list[tuple[Address, Document]]] = {}
        for address, document in self.documents.items():
            found.setdefault(address.kind, []).append((address, self._shown(address, document)))

        def of(kind: str) -> list[Document]:
            return [document for _, document in found.get(kind, [])]

        pods = [pod_of(one) for one in of("Pod")]
        return Objects(
            nodes={one.name: one for one in map(node_of, of("Node"))},
            claims={one.name: one for one in map(node_claim_of, of("NodeClaim"))},
            pools={one.name: one for one in map(node_pool_of, of("NodePool"))},
            pods={one.uid: one for one in pods},
            cpu_pod_by_node=cpu_pod_by_node((), pods),
            made={
                address: made_object_of(address, document)
                for kind in _MADE
                for address, document in found.get(kind, [])
            },
        )

    def _shown(self, address: Address, document: Document) -> Document:
        """With `managedFields`."""
        fields: dict[str, Document] = {}
        for path, managers in self.owners[address].items():
            for manager in managers:
                level = fields.setdefault(manager, {})
                for name in path:
                    level = level.setdefault(f"f:{name}", {})
        managed = [{"manager": name, "fieldsV1": one} for name, one in fields.items()]
        return {**document, "metadata": {**document["metadata"], "managedFields": managed}}

    def _apply(self, address: Address, body: Document) -> None:
        if address not in self.documents:
            self._make(address, body)
        document, owners = self.documents[address], self.owners[address]
        stated = dict(_leaves(_stated(body)))
        for path, value in stated.items():
            others = owners.get(path, set()) - {MANAGER}
            if others and _get(document, path) != value:
                raise RefusedError(f"{address}: {path} is of {others}")
        for path in [one for one, managers in owners.items() if MANAGER in managers]:
            if path not in stated:
                owners[path].discard(MANAGER)
        for path in [one for one, managers in owners.items() if not managers]:
            del owners[path]
            _remove(document, path)
        for path, value in stated.items():
            owners.setdefault(path, set()).add(MANAGER)
            _set(document, path, value)

    def _make(self, address: Address, body: Document) -> None:
        if "uid" in body["metadata"]:
            raise RefusedError(f"{address}: the UID of an object that is gone")
        metadata = {"uid": f"made-{next(self._uids)}", "creationTimestamp": self.created}
        named = {"name": address.name, "namespace": address.namespace}
        metadata |= {key: value for key, value in named.items() if value is not None}
        self.documents[address], self.owners[address] = {"metadata": metadata}, {}

    def _patch(self, address: Address, operations: tuple[Document, ...], *, scale: bool) -> None:
        document = copy.deepcopy(self.documents[address])
        if scale and not document["spec"]["replicas"]:
            del document["spec"]["replicas"]  # a Scale leaves out a 0
        for one in operations:
            path = tuple(
                part.replace("~1", "/").replace("~0", "~") for part in one["path"].split("/")[1:]
            )
            _operate(document, one, path)
        if document["spec"].get("taints") == []:
            del document["spec"]["taints"]  # an empty list is left out
        self.documents[address] = document


def _operate(document: Document, operation: Document, path: Path) -> None:
    op, value = operation["op"], operation.get("value")
    parent = _at(document, path[:-1])
    if op == "test":
        present = None if parent is None else _at(parent, path[-1:])
        if present != value:
            raise RefusedError(f"{path} is {present!r}, not {value!r}")
    elif isinstance(parent, list):
        if op == "add":
            assert path[-1] == "-"
            parent.append(copy.deepcopy(value))
        else:
            del parent[int(path[-1])]
    elif parent is None or (op == "remove" and path[-1] not in parent):
        raise RefusedError(f"there is no {path}")
    elif op == "add":
        parent[path[-1]] = copy.deepcopy(value)
    else:
        del parent[path[-1]]


def _at(level: Any, path: Path) -> Any:
    """What is there; None = nothing."""
    for name in path:
        if isinstance(level, list):
            level = level[int(name)] if int(name) < len(level) else None
        else:
            level = (level or {}).get(name)
    return level


def _stated(body: Document) -> Document:
    """What an apply owns: neither what names the object, nor its UID."""
    named = {"name", "namespace", "uid", "creationTimestamp"}
    metadata = {key: value for key, value in body["metadata"].items() if key not in named}
    rest = {k: v for k, v in body.items() if k not in {"apiVersion", "kind", "metadata"}}
    return {"metadata": metadata, **rest}


def _leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _leaves(one, (*path, key))
    else:
        yield path, value


def _get(document: Any, path: Path) -> Any:
    for name in path:
        document = document.get(name, {}) if isinstance(document, dict) else {}
    return document


def _set(document: Document, path: Path, value: Any) -> None:
    for name in path[:-1]:
        document = document.setdefault(name, {})
    document[path[-1]] = value


def _remove(document: Document, path: Path) -> None:
    for name in path[:-1]:
        document = document.get(name, {})
    document.pop(path[-1], None)
