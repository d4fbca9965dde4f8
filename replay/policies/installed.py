"""The shipped rule under the trigger that is to be installed, in place of one that knows it all."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Self

from replay.policies.port import PolicyKind
from replay.policies.shipped import FORESAIL, Foresail
from replay.trigger import Overrides

_NOT_REPLAYED: Final = frozenset({"model", "mode", "scalerAddress"})
"""Which model it is, and whether its answers count, change no answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledTrigger:
    """One trigger's metadata; its runs are those of the shipped rule in a comparison."""

    keys: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, metadata: Mapping[str, str]) -> Self:
        return cls(keys=tuple(pair for pair in metadata.items() if pair[0] not in _NOT_REPLAYED))

    @property
    def name(self) -> str:
        return FORESAIL.name

    def kind(self) -> PolicyKind:
        return replace(FORESAIL, make=partial(Foresail, overrides=Overrides(keys=self.keys)))
