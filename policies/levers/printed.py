"""Changes as YAML that a person can read, and apply by hand: what a dry run prints."""

from collections.abc import Iterable
from typing import Any

import yaml
from typing_extensions import override

from policies.levers.change import MANAGER, Change, Verb


def as_yaml(changes: Iterable[Change]) -> str:
    """A document a change, its request and reasons as comments above it; empty without changes."""
    return "".join(map(_document, changes))


def _document(change: Change) -> str:
    where = change.address.path + (f"/{change.subresource}" if change.subresource else "")
    comments = [
        f"{change.verb.value} {where}",
        f"lever: {change.lever}" + ("" if change.execute else "; mere advice, not carried out"),
        *(f"why: {line}" for line in change.why.splitlines()),
    ]
    if change.uid is not None:
        comments.append(f"only if its UID is {change.uid}")
    if change.empty_node is not None:
        comments.append(f"only if node {change.empty_node} has no pod with GPUs")
    if change.start_of is not None:
        comments.append("only if it has not changed since, and no pod waits that fits it")
    if change.verb is Verb.APPLY:
        comments.append(f"field manager: {MANAGER}")
    text = "".join(f"# {line}\n" for line in comments)
    if change.verb is Verb.DELETE:
        return f"---\n{text}"
    body = yaml.dump(_plain(change.body), Dumper=_Dumper, sort_keys=False, width=1000)
    return f"---\n{text}{body}"


def _plain(value: object) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value


class _Dumper(yaml.SafeDumper):
    """Writes what stands twice twice, and no anchors."""

    @override
    def ignore_aliases(self, data: object) -> bool:
        return True
