"""A cluster in files: what `kubectl get -o json` or `-o yaml` wrote, in one file or a folder."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from fleet.cluster.fields import seconds
from fleet.cluster.follow.json_text import document_of
from fleet.cluster.kinds import PLANNING_KINDS, SOURCES, Kind, Record, identity_of, record_of
from fleet.cluster.reading import Cluster
from fleet.documents import Json, is_object, listed, part, text
from fleet.remark_text import first_of
from fleet.snapshot import KUBECTL

_KINDS: Final = {
    SOURCES[kind].object_kind: kind
    for kind in PLANNING_KINDS
    if kind is not Kind.POD_GROUP_PLUGIN  # whose objects have the same `kind` as another's
}
"""By the object's field `kind`."""
_DIGITS_MAX: Final = 20
"""Of a resourceVersion, which has 64 bits."""
_SUFFIXES: Final = frozenset({".json", ".yaml", ".yml"})


class UnreadableRecordError(Exception):
    """A file that is no record of a cluster; the message names it and says what to do."""


def name_of(path: Path) -> str:
    """What the cluster of a record is called."""
    return path.resolve().name if path.is_dir() else path.stem


def recorded(path: Path) -> Cluster:
    """The cluster of a record, by the name of its file or folder.

    Of an object that several files have, the newest counts.

    Raises:
        UnreadableRecordError: it cannot be read, or holds no node.
    """
    if path.is_dir():
        files = sorted(one for one in path.iterdir() if one.suffix in _SUFFIXES)
    else:
        files = [path]
    found = _Found()
    for file in files:
        for document in _documents(file):
            for name, objects in _objects(document):
                if name in _KINDS:
                    found.add(_KINDS[name], objects)
    if not found.by_key.get(Kind.NODE):
        raise UnreadableRecordError(f"{path}: no Node in it; write one with {KUBECTL}")
    # A kind of which there is no object was left out, as far as anybody can tell.
    records: dict[Kind, Sequence[Record] | None] = {
        kind: [one.record for one in found.by_key[kind].values()] if kind in found.by_key else None
        for kind in _KINDS.values()
    }
    # Most clusters do not serve the kind; a kubectl that asks for it there writes down nothing.
    records[Kind.TAINT_RULE] = records[Kind.TAINT_RULE] or ()
    return Cluster.of(
        name_of(path), records, tuple(found.remarks), recorded_seconds=found.newest_seconds
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Dated:
    """What is known of an object, and how new that is."""

    record: Record
    version: int
    at_seconds: float | None

    @property
    def age(self) -> tuple[int, float]:
        """The larger one is the newer one."""
        return self.version, self.at_seconds or 0.0


class _Found:
    """The objects of a record, each once."""

    def __init__(self) -> None:
        self.by_key: dict[Kind, dict[object, _Dated]] = {}
        self.newest_seconds: float | None = None
        self._again: list[str] = []

    def add(self, kind: Kind, objects: Iterable[Json]) -> None:
        """Objects of a file; where an earlier one is the same, the newer one stays."""
        of_kind = self.by_key.setdefault(kind, {})
        for document in objects:
            one = _dated(kind, document)
            self.newest_seconds = max(
                filter(None, (self.newest_seconds, one.at_seconds)), default=None
            )
            key = _key(kind, document) or len(of_kind)
            before = of_kind.get(key)
            if before is not None:
                self._again.append(f"{SOURCES[kind].object_kind} {identity_of(document)[0]}")
            if before is None or one.age >= before.age:
                of_kind[key] = one

    @property
    def remarks(self) -> Iterator[str]:
        """What is there more than once."""
        if self._again:
            yield f"recorded more than once: {first_of(self._again)}; the newest counts"


def _dated(kind: Kind, document: Json) -> _Dated:
    version = text(part(document, "metadata"), "resourceVersion") or ""
    return _Dated(
        record=record_of(kind, document),
        version=int(version) if version.isdecimal() and len(version) <= _DIGITS_MAX else -1,
        at_seconds=max(filter(None, _stamps(document)), default=None),
    )


def _key(kind: Kind, document: Json) -> object:
    """By which an object is known again; None = it has no name."""
    name, uid = identity_of(document)
    # Several APIs have a kind `PodGroup`.
    return ((name, uid) if kind is Kind.POD_GROUP else name) if name else None


def _stamps(document: Json) -> Iterator[float | None]:
    """Moments that had passed when the object was written down."""
    yield seconds(part(document, "metadata"), "creationTimestamp")
    for one in listed(part(document, "status"), "conditions"):
        yield seconds(one, "lastTransitionTime")
        yield seconds(one, "lastHeartbeatTime")


def _documents(file: Path) -> Iterator[object]:
    try:
        content = file.read_text(encoding="utf-8")
        if file.suffix == ".json":
            yield document_of(content.encode())
        else:
            loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
            yield from yaml.load_all(content, Loader=loader)
    except OSError as error:
        raise UnreadableRecordError(f"{file}: {error.strerror or error}") from error
    except RecursionError as error:
        raise UnreadableRecordError(f"{file}: nested too deep to be Kubernetes objects") from error
    except (ValueError, yaml.YAMLError) as error:
        said = " ".join(str(error).split())
        raise UnreadableRecordError(f"{file}: neither JSON nor YAML: {said}") from error


def _objects(document: object) -> Iterator[tuple[str, list[Json]]]:
    """Objects with their kind, which the items of a typed list leave out; the list may be empty."""
    if not is_object(document):
        return
    kind = text(document, "kind") or ""
    of_list = kind.removesuffix("List")
    if of_list == kind:
        yield kind, [document]
        return
    if of_list:
        yield of_list, []
    for one in listed(document, "items"):
        yield text(one, "kind") or of_list, [one]
