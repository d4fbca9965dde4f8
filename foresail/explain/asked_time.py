"""The moment that `foresail explain --at` and `/explain?at=` name."""

from datetime import datetime

from scaler.durations import parse_duration
from scaler.errors import ForesailError


def moment_of(text: str, *, now_seconds: float) -> float:
    """The Unix time of a text: RFC 3339, or a duration back from now.

    Raises:
        ForesailError: it is neither, or not yet.
    """
    if text.startswith("-"):
        back = parse_duration(text[1:])
        if not isinstance(back, float) or back > now_seconds:
            raise _wrong(text)
        return now_seconds - back
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise _wrong(text) from error
    if moment.tzinfo is None:
        raise ForesailError(f"at: {text!r} names no time zone: append Z, or an offset as +02:00")
    seconds = moment.timestamp()
    if seconds > now_seconds:
        raise ForesailError(f"at: {text!r} is in the future; leave it out for the decision of now")
    if seconds < 0:
        raise _wrong(text)
    return seconds


def _wrong(text: str) -> ForesailError:
    return ForesailError(
        f"at: {text!r} is no moment: it takes RFC 3339, such as 2026-03-03T10:00:00Z, or a "
        "duration back, such as -2h"
    )
