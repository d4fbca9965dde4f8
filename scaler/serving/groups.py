"""Records by key, in a dict for each key: how one is taken out."""

from collections.abc import MutableMapping
from typing import TypeVar

_Key = TypeVar("_Key")
_Member = TypeVar("_Member")
_Record = TypeVar("_Record")


def take_out(
    groups: MutableMapping[_Key, dict[_Member, _Record]], key: _Key, member: _Member
) -> None:
    """Take one out of its group, and an empty group out of all."""
    del groups[key][member]
    if not groups[key]:
        del groups[key]
