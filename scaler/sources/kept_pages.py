"""What one look keeps of its pages until they are read: counted while they arrive."""

from typing import Final

from scaler.errors import SourceUnavailableError
from scaler.limits import Limit, exceeded
from scaler.sources.held_bytes import HELD, HELD_BYTES_MAX

BYTES_MAX: Final = 32 * 2**20
"""500 pods of vLLM have 10 MiB of the preset's lines."""
_LINE_BYTES: Final = 64
"""Of each, beside its text."""
_BEGINNING_BYTES: Final = 2**18
"""Not counted in the process: the lines of ten pods."""


class KeptPages:
    """The lines of one look."""

    def __init__(self, owner: str, *, source: str, lines_max: int) -> None:
        """Keep nothing yet.

        Args:
            owner: whose share of the process' memory it is.
            source: its name, for messages.
            lines_max: of all pages together.
        """
        self._owner = owner
        self._source = source
        self._lines_max = lines_max
        self._lines = self._bytes = self._shared = 0
        self._has_ended = False
        self._failure = ""
        """Why the look comes to nothing. It is no error: the frames that raise one hold the pages,
        and would stay with it."""

    def add(self, lines: int, count: int) -> None:
        """Count lines that are kept from now on.

        Args:
            lines: how many.
            count: their bytes.

        Raises:
            SourceUnavailableError: they are too many.
        """
        self._lines += lines
        self._bytes += count + lines * _LINE_BYTES
        if self._lines > self._lines_max:
            self._refuse(Limit.PAGES_SERIES, f"over {self._lines_max} series of the engine")
        elif self._bytes > BYTES_MAX:
            self._refuse(Limit.PAGES_BYTES, f"series of over {BYTES_MAX} bytes")
        more = self._bytes - _BEGINNING_BYTES - self._shared
        if more > 0 and not self._has_ended:
            self._shared += more
            if not HELD.take(self._owner, more):
                what = f"with other answers and pages over {HELD_BYTES_MAX} bytes at a time"
                self._refuse(Limit.ANSWERS_OF_ALL, what)
        self.check()

    def fail(self, why: str) -> None:
        """Let no further page be read: the look comes to nothing. The first reason stays."""
        self._failure = self._failure or why

    def check(self) -> None:
        """Let nothing more be read for a look that comes to nothing.

        Raises:
            SourceUnavailableError: it does.
        """
        if self._failure:
            raise SourceUnavailableError(self._failure)

    def let_go(self) -> None:
        """Give back what was counted: nothing is kept any more."""
        self._has_ended = True
        if self._shared:
            HELD.give_back(self._owner, self._shared)
            self._shared = 0

    def _refuse(self, limit: Limit, what: str) -> None:
        if not self._failure:
            exceeded(limit)
            self.fail(f"source {self._source!r}: {what} on the pages of one workload")
