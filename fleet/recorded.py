"""A cluster in files: what `kubectl get -o json` or `-o yaml` wrote, in one file or a folder."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import yaml

from fleet.cluster.fields import seconds
from fleet.cluster.follow.json_text import document_of
from fleet.cluster.kinds import PLANNING_KINDS, SOURCES, Kind, Record, record_of
from fleet.cluster.reading import Cluster
from fleet.documents import Json, is_object, listed, part, text
from fleet.snapshot import KUBECTL

_KINDS: Final = {
    SOURCES[kind].object_kind: kind
    for kind in PLANNING_KINDS
    if kind is not Kind.POD_GROUP_PLUGIN  # whose objects have the same `kind` as another's
}
"""By the object's field `kind`."""
_SUFFIXES: Final = frozenset({".json", ".yaml", ".yml"})


class UnreadableRecordError(Exception):
    """A file that is no record of a cluster; the message names it and says what to do."""


def name_of(path: Path) -> str:
    """What the cluster of a record is called."""
    return path.resolve().name if path.is_dir() else path.stem


def recorded(path: Path) -> Cluster:
    """The cluster of a record, by the name of its file or folder.

    Raises:
        UnreadableRecordError: it cannot be read, or holds no node.
    """
    if path.is_dir():
        files = sorted(one for one in path.iterdir() if one.suffix in _SUFFIXES)
    else:
        files = [path]
    found: dict[Kind, list[Record]] = {}
    newest: float | None = None
    for file in files:
        for document in _documents(file):
            for name, objects in _objects(document):
                if name in _KINDS:
                    kind = _KINDS[name]
                    found.setdefault(kind, []).extend(record_of(kind, one) for one in objects)
                    stamps = (stamp for one in objects for stamp in _stamps(one))
                    newest = max(filter(None, (newest, *stamps)), default=None)
    if not found.get(Kind.NODE):
        raise UnreadableRecordError(f"{path}: no Node in it; write one with {KUBECTL}")
    # A kind of which there is no object was left out, as far as anybody can tell.
    records: dict[Kind, Sequence[Record] | None] = {
        kind: found.get(kind) for kind in _KINDS.values()
    }
    # Most clusters do not serve the kind; a kubectl that asks for it there writes down nothing.
    records[Kind.TAINT_RULE] = found.get(Kind.TAINT_RULE, ())
    return Cluster.of(name_of(path), records, recorded_seconds=newest)


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
