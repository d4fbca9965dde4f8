"""A metrics page in Prometheus' text format, read as it arrives."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample as ParsedSample

from scaler.limits import Limit
from scaler.sources.series import Sample, bounded

_LINE_BYTES_MAX: Final = 2**16
LABELS_MAX: Final = 64
_QUOTES_MAX: Final = 4 * LABELS_MAX
"""Quotes and backslashes of a line, at each of which the parser copies what follows. A label has
two quotes; the others are for those within a value."""


class PageTooLongError(Exception):
    """A page longer than any that an engine's exporter writes."""

    def __init__(self, message: str, limit: Limit) -> None:
        super().__init__(message)
        self.limit = limit


class PageLines:
    """The lines of some series, picked out of a page as it arrives.

    A preset reads one line of eight. The others are neither kept nor parsed, so a page takes memory
    only for the lines that are read. They are found by a pattern, because it is done in the event
    loop: a page may have millions of lines, which Python would look at one by one.
    """

    def __init__(self, names: Collection[str], *, bytes_max: int, lines_max: int) -> None:
        self._wanted = _wanted(frozenset(names))
        self._bytes_max = bytes_max
        self._lines_max = lines_max
        self._rest = b"\n"
        """What was not looked through: a line's end, and the beginning of the next one."""
        self.received_bytes = 0
        self.lines: list[bytes] = []

    def add(self, chunk: bytes) -> None:
        """Take the next part of the page.

        Raises:
            PageTooLongError: the page or a line of it exceeds a limit.
        """
        self.received_bytes += len(chunk)
        if self.received_bytes > self._bytes_max:
            raise PageTooLongError(f"a page of over {self._bytes_max} bytes", Limit.PAGE_BYTES)
        text = self._rest + chunk
        end = text.rfind(b"\n")
        self._rest = text[end:]
        if len(self._rest) > 1 + _LINE_BYTES_MAX:
            raise PageTooLongError(f"a line of over {_LINE_BYTES_MAX} bytes", Limit.PAGE_LINE)
        for line in self._wanted.finditer(text, 0, end + 1):
            self.lines.append(line[0][1:])
        if len(self.lines) > self._lines_max:
            message = f"over {self._lines_max} series of the engine on one page"
            raise PageTooLongError(message, Limit.PAGE_SERIES)

    def end(self) -> list[bytes]:
        """All lines of the page, now that nothing follows."""
        self.add(b"\n")
        return self.lines


def samples_of(
    lines: Sequence[bytes], *, labels: Mapping[str, str], at_seconds: float
) -> Iterator[Sample]:
    """The samples of lines in Prometheus' text format.

    Raises:
        ValueError: not that format.
        PageTooLongError: a line has too many labels.
    """
    for line in lines:
        if line.count(b'"') + line.count(b"\\") > _QUOTES_MAX:
            message = f"a line of over {LABELS_MAX} labels, or {_QUOTES_MAX} quotes"
            raise PageTooLongError(message, Limit.LABELS)
    for sample in _parsed(lines):
        # The exporter's own labels win, as with `honor_labels`.
        yield Sample(
            name=sample.name,
            labels={**labels, **bounded(sample.labels)},
            value=sample.value,
            at_seconds=at_seconds,
        )


def _parsed(lines: Sequence[bytes]) -> Iterator[ParsedSample]:
    """The parser's samples; for a label without a name it raises what it does not document."""
    try:
        for family in text_string_to_metric_families(b"\n".join(lines).decode() + "\n"):
            yield from family.samples
    except LookupError as error:
        raise ValueError(f"no line of Prometheus' text format: {error}") from error


@lru_cache(maxsize=64)
def _wanted(names: frozenset[str]) -> re.Pattern[bytes]:
    """Finds a line of one of these series after the end of the line before it."""
    pattern = rf"\n{_any_of(names)}(?:\{{[^\n]*+| [^{{\n]*+)(?=\n)"
    return re.compile(pattern.encode())


def _any_of(names: Collection[str]) -> str:
    """A pattern of these names that compares no character with more than one of them."""
    rests: defaultdict[str, set[str]] = defaultdict(set)
    for name in names:
        rests[name[:1]].add(name[1:])
    is_whole = rests.pop("", None) is not None
    patterns = [re.escape(first) + _any_of(rests[first]) for first in sorted(rests)]
    if is_whole:
        return f"(?:{'|'.join(patterns)})?" if patterns else ""
    return patterns[0] if len(patterns) == 1 else f"(?:{'|'.join(patterns)})"
