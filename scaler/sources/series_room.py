"""The memory of the series that one workload keeps from look to look."""

import sys
from collections.abc import Mapping
from typing import Final

from scaler.errors import SourceUnavailableError
from scaler.limits import Limit, exceeded
from scaler.sources.held_bytes import HeldBytes

SERIES_MEBIBYTES_MAX: Final = 64
"""Of all workloads by default: the pages of some 280 pods of vLLM, read every 15 s."""
_SERIES_BYTES: Final = 600
_POINT_BYTES: Final = 100
"""Of one series, and of each of its samples, beside the texts of its labels (measured)."""


def held_for_series(mebibytes_max: int = SERIES_MEBIBYTES_MAX) -> HeldBytes:
    """The memory for the series of all workloads of a process."""
    return HeldBytes(mebibytes_max * 2**20)


class SeriesRoom:
    """What one workload has of its namespace's share.

    A source that answers with a whole window each time keeps nothing, and needs no room. Where
    pages are read one by one, a series of a pod that is gone is kept for two minutes, and a page
    may name new ones in each look.
    """

    def __init__(
        self, held: HeldBytes, *, namespace: str | None, source: str, looks_kept: float
    ) -> None:
        """Take nothing yet.

        Args:
            held: of all workloads of the process.
            namespace: whose workload it is.
            source: its name, for messages.
            looks_kept: of each series so many samples are kept.
        """
        self._held = held
        self._series_bytes = _SERIES_BYTES + round(_POINT_BYTES * looks_kept)
        self._namespace = namespace
        self._source = source
        self._bytes = 0

    def __del__(self) -> None:
        self._held.abandon(self._owner, self._bytes)

    def take(self, labels: Mapping[str, str]) -> int:
        """Count a series that is kept from now on; its bytes.

        Raises:
            SourceUnavailableError: the series of the namespace's workloads are too many.
        """
        texts = sum(sys.getsizeof(text) for pair in labels.items() for text in pair)
        count = self._series_bytes + texts
        self._bytes += count
        if not self._held.take(self._owner, count):
            self.give_back(count)
            exceeded(Limit.KEPT_SERIES)
            raise SourceUnavailableError(
                f"source {self._source!r}: the workloads of namespace {self._namespace!r} have "
                f"more series than fit in their share of {self._held.bytes_max >> 20} MiB "
                "(limits.seriesMebibytesMax)"
            )
        return count

    def give_back(self, count: int) -> None:
        """Count what is kept no more."""
        self._bytes -= count
        self._held.give_back(self._owner, count)

    @property
    def _owner(self) -> str:
        return f"series of {self._namespace}"
