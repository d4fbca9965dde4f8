"""What a reader finds in an export: points of series, one after the other."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import Final, Protocol

from foresail.exports.labels import NAME, title_of

TITLES_SHOWN: Final = 12


@dataclass(frozen=True, kw_only=True)
class FoundSeries:
    """One series of an export, before anything is known of its meaning."""

    labels: Mapping[str, str]
    """With the name, where it has one; a column without a series' text has none."""
    title: str = ""
    """Of a column, or of the file where it holds one nameless series."""

    @cached_property
    def name(self) -> str | None:
        return self.labels.get(NAME)

    @cached_property
    def key(self) -> frozenset[tuple[str, str]]:
        """Equal labels make one series. Kept, because it is looked up for each point."""
        return frozenset(self.labels.items())

    @cached_property
    def shown(self) -> str:
        return self.title or title_of(self.labels) or "(no name)"


class Points(Protocol):
    """Takes the points of an export as they are read."""

    def wants(self, series: FoundSeries) -> bool:
        """Whether points of this series are of use; a reader may skip those of others."""
        ...

    def add(self, series: FoundSeries, at_seconds: float, value: float) -> None:
        """Take one point; a value that is no finite number is a gap.

        Raises:
            ValueError: it cannot be used.
        """
        ...


def is_gap(value: float) -> bool:
    """Prometheus marks the end of a series by a NaN."""
    return not isfinite(value)
