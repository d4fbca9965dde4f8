"""One read of a Prometheus, and its answers as objects.

The number of values in an answer is limited, because a value takes many times its bytes in memory.
Large answers are unpacked and made into objects one after the other, in the whole process.
"""

import asyncio
import contextvars
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
import requests
from typing_extensions import override

from fleet.answer_notes import notes_of
from fleet.documents import is_object
from scaler.limits import Limit, exceeded
from scaler.message_text import printable
from scaler.sources.turns import Turns

SERIES_MAX: Final = 100_000
"""In one answer: 500 pods have 55,000."""
_OBJECTS_AROUND: Final = 100
VALUES_MAX: Final = 2_500_000
"""In one answer: 500 pods with 110 series each and 8 samples of each have 2 million."""
LARGE_BYTES: Final = 2**20
LARGE_TURNS: Final = Turns()
"""Held while a large answer is unpacked, made into objects and read: they take several times its
size. Given back before the next request of the same read, whose source may take its time."""


class NoAnswerError(Exception):
    """The answer exceeds a limit, a part of it is missing, or the source is closed."""


@dataclass(slots=True, eq=False)
class Read:
    """One read: its requests, and what it holds until it ends."""

    loop: asyncio.AbstractEventLoop
    """Sends for the thread of the read."""
    limit: float
    """The deadline, by the clock of the loop."""
    namespace: str | None
    """That it is made for."""
    received_bytes: int = 0
    """As they were sent."""
    parsing_seconds: float = 0.0
    """Of the event loop, to take the parts of its answers apart, about."""
    is_oversized: bool = False
    """An answer of it was refused for its size."""
    has_failed: bool = False
    """It came to nothing, or a request of it did that the read does without."""
    held_bytes: int = 0
    """Of answers that came for it."""
    shared_bytes: int = 0
    """Of these, counted in the process too."""
    holds_large: bool = False
    remarks: list[str] = field(default_factory=list)
    """Warnings and infos of its answers."""

    def oversized(self, limit: Limit, what: str) -> NoAnswerError:
        """The refusal of an answer for its size, counted."""
        exceeded(limit)
        self.is_oversized = True
        return NoAnswerError(what)

    def check_time(self) -> None:
        """Refuse to go on after the deadline."""
        if self.loop.time() > self.limit:
            raise TimeoutError

    def wait_for_turn(self) -> None:
        """Wait until no other read is at work on a large answer. Blocks."""
        if self.holds_large:
            return
        seconds = self.limit - self.loop.time()
        if LARGE_TURNS.is_held():
            exceeded(Limit.LARGE_ANSWERS)
        if not LARGE_TURNS.take(self.namespace, seconds_max=max(0.0, seconds)):
            raise TimeoutError("other large answers were read until the limit")
        self.holds_large = True

    def end_turn(self) -> None:
        """Let others be at work on large answers."""
        if self.holds_large:
            self.holds_large = False
            LARGE_TURNS.give_back()


CURRENT_READ: Final[contextvars.ContextVar[Read]] = contextvars.ContextVar("read")
"""The read of the current thread."""


class Response(requests.Response):
    """An answer whose body is there."""

    def __init__(self, body: bytearray) -> None:
        super().__init__()
        self.body = body

    @property
    @override
    def content(self) -> bytes:
        return bytes(self.body)

    @override
    def json(self, **_: Any) -> Any:
        """The body as JSON; a large one once no other is at work. Blocks.

        Raises:
            ValueError: it is no JSON, or nested deeper than 1,024 levels.
            NoAnswerError: it has too many values, or a part of the data is missing.
            TimeoutError: others were at work until the limit.
        """
        try:
            self._check_size()
        except BaseException:
            self.body.clear()  # the error's traceback may live long, and holds it
            raise
        if len(self.body) > LARGE_BYTES:
            CURRENT_READ.get().wait_for_turn()
        answer = orjson.loads(self.body)
        if self.status_code == requests.codes.ok and is_object(answer):
            notes = notes_of(answer)
            if notes.missing is not None:
                raise NoAnswerError(printable(notes.missing))
            CURRENT_READ.get().remarks += map(printable, notes.remarks)
        return answer

    def _check_size(self) -> None:
        """Refuse an answer of too many series or values.

        Raises:
            NoAnswerError: it has.
        """
        # Each series has two objects, itself and its labels; objects take most of the memory.
        if self.body.count(b"{") > 2 * SERIES_MAX + _OBJECTS_AROUND:
            what = f"an answer of over {SERIES_MAX} series"
            raise CURRENT_READ.get().oversized(Limit.ANSWER_SERIES, what)
        values = sum(map(self.body.count, (b",", b"[", b"{")))
        if values > VALUES_MAX:
            what = f"an answer of over {VALUES_MAX} values"
            raise CURRENT_READ.get().oversized(Limit.ANSWER_VALUES, what)


def remarks() -> tuple[str, ...]:
    """Warnings and infos of the answers of the current read, each once."""
    return tuple(dict.fromkeys(CURRENT_READ.get().remarks))
