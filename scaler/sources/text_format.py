"""A metrics page in Prometheus' text format, read as it arrives."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from scaler.limits import Limit
from scaler.sources.series import Sample

_LINE_BYTES_MAX: Final = 2**16


class PageTooLongError(Exception):
    """A page longer than any that an engine's exporter writes."""

    def __init__(self, message: str, limit: Limit) -> None:
        super().__init__(message)
        self.limit = limit


class PageLines:
    """The lines of some series, picked out of a page as it arrives.

    A preset reads one line of eight. The others are neither kept nor parsed, so a page takes memory
    only for the lines that are read.
    """

    def __init__(self, names: Collection[str], *, bytes_max: int, lines_max: int) -> None:
        self._names = names
        self._bytes_max = bytes_max
        self._lines_max = lines_max
        self._bytes = 0
        self._rest = b""
        self._lines: list[str] = []

    def add(self, chunk: bytes) -> None:
        """Take the next part of the page.

        Raises:
            PageTooLongError: the page or a line of it exceeds a limit.
            UnicodeDecodeError: a line is no text.
        """
        self._bytes += len(chunk)
        if self._bytes > self._bytes_max:
            raise PageTooLongError(f"a page of over {self._bytes_max} bytes", Limit.PAGE_BYTES)
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > _LINE_BYTES_MAX:
            raise PageTooLongError(f"a line of over {_LINE_BYTES_MAX} bytes", Limit.PAGE_LINE)
        for line in whole:
            if _name_of(line) in self._names:
                self._lines.append(line.decode())
        if len(self._lines) > self._lines_max:
            message = f"over {self._lines_max} series of the engine on one page"
            raise PageTooLongError(message, Limit.PAGE_SERIES)

    def end(self) -> list[str]:
        """All lines of the page, now that nothing follows."""
        self.add(b"\n")
        return self._lines


def samples_of(
    lines: Sequence[str], *, labels: Mapping[str, str], at_seconds: float
) -> Iterator[Sample]:
    """The samples of lines in Prometheus' text format.

    Raises:
        ValueError: not that format.
    """
    for family in text_string_to_metric_families("\n".join(lines) + "\n"):
        for sample in family.samples:
            # The exporter's own labels win, as with `honor_labels`.
            yield Sample(
                name=sample.name,
                labels={**labels, **sample.labels},
                value=sample.value,
                at_seconds=at_seconds,
            )


def _name_of(line: bytes) -> str:
    brace = line.find(b"{")
    name = line[:brace] if brace >= 0 else line.partition(b" ")[0]
    # A preset reads ASCII names only.
    return name.decode("ascii", errors="replace")
