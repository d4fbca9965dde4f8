"""Wall time, handed to whoever needs it; the demo and the tests hand in their own."""

from typing import Protocol


class Clock(Protocol):
    """Unix time in seconds."""

    def __call__(self) -> float: ...
