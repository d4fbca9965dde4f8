"""kube-scheduler's extender messages (k8s.io/kube-scheduler/extender/v1), read and written.

The Go types have no JSON tags: kube-scheduler writes Go's field names and reads any case. With
`nodeCacheCapable` it sends and wants names only; without it whole nodes, and wants those back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from scheduler.fit import Filtered


class UnreadableRequestError(ValueError):
    """A request that is not as kube-scheduler sends it."""


@dataclass(frozen=True, slots=True)
class Arguments:
    """ExtenderArgs."""

    pod: object
    names: list[str]
    nodes: list[Mapping[str, object]] | None
    """Whole nodes in the order of `names`; None = names only."""


def arguments_of(body: bytes) -> Arguments:
    """The ExtenderArgs of a request.

    Raises:
        UnreadableRequestError: with what is not as it should be.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise UnreadableRequestError(f"the body is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise UnreadableRequestError(f"the body is {type(document).__name__}, not ExtenderArgs")
    fields = {str(key).lower(): value for key, value in document.items()}
    if fields.get("pod") is None:
        raise UnreadableRequestError("ExtenderArgs without Pod")
    names, nodes = fields.get("nodenames"), fields.get("nodes")
    if names is not None:
        if not isinstance(names, list) or set(map(type, names)) - {str}:
            raise UnreadableRequestError("NodeNames is not a list of names")
        return Arguments(fields["pod"], names, None)
    if nodes is not None:
        return _whole(fields["pod"], nodes)
    raise UnreadableRequestError("ExtenderArgs with neither NodeNames nor Nodes")


def _whole(pod: object, nodes: object) -> Arguments:
    items = nodes.get("items") if isinstance(nodes, dict) else None
    if not isinstance(items, list):
        raise UnreadableRequestError("Nodes is not a list of nodes")
    names: list[str] = []
    for item in items:
        metadata = item.get("metadata") if isinstance(item, dict) else None
        name = metadata.get("name") if isinstance(metadata, dict) else None
        if not isinstance(name, str):
            raise UnreadableRequestError("Nodes has an item without metadata.name")
        names.append(name)
    return Arguments(pod, names, items)


def filter_answer(asked: Arguments, result: Filtered) -> bytes:
    """ExtenderFilterResult; `NodeNames` is a list even when no node is left."""
    answer: dict[str, Any] = {
        "FailedNodes": result.failed,
        "FailedAndUnresolvableNodes": result.unresolvable,
        "Error": "",
    }
    if asked.nodes is None:
        answer |= {"Nodes": None, "NodeNames": result.passed}
    else:
        passed = set(result.passed)
        kept = [n for name, n in zip(asked.names, asked.nodes, strict=True) if name in passed]
        answer |= {"Nodes": {"items": kept}, "NodeNames": None}
    return orjson.dumps(answer)


def filter_error(message: str) -> bytes:
    """ExtenderFilterResult that fails the attempt, or is skipped where `ignorable`."""
    return orjson.dumps(
        {
            "Nodes": None,
            "NodeNames": None,
            "FailedNodes": None,
            "FailedAndUnresolvableNodes": None,
            "Error": message,
        }
    )


def prioritise_answer(names: Sequence[str], scores: Sequence[int]) -> bytes:
    """HostPriorityList."""
    scored = zip(names, scores, strict=True)
    return orjson.dumps([{"Host": host, "Score": score} for host, score in scored])
