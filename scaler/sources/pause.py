"""How long a source is left alone after it said that it is asked too often.

The limits of Mimir, Amazon and Google are a tenant's, so a refusal of one read concerns all reads
of the source. Each further request would be refused too, and some servers count it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

FIRST_SECONDS: Final = 5.0
"""Where the server does not say how long; doubled with each further refusal."""
MOST_SECONDS: Final = 60.0
_DOUBLED_MAX: Final = 8
"""Past `MOST_SECONDS`; a day of refusals would double beyond any float."""
ASKED_SECONDS_MAX: Final = 300.0
"""A server that asks for more is asked again after this."""


@dataclass(slots=True)
class Pause:
    """Of one source."""

    until_seconds: float = float("-inf")
    """By the clock of the event loop."""
    _refusals: int = 0

    def begin(self, now_seconds: float, asked_seconds: float | None) -> None:
        """A read was refused.

        Args:
            now_seconds: now.
            asked_seconds: how long the server asks to wait, if it says.
        """
        if now_seconds < self.until_seconds:
            return  # of reads that were under way together all are refused
        own = min(FIRST_SECONDS * 2**self._refusals, MOST_SECONDS)
        self._refusals = min(self._refusals + 1, _DOUBLED_MAX)
        wait = own if asked_seconds is None else min(asked_seconds, ASKED_SECONDS_MAX)
        self.until_seconds = now_seconds + wait

    def end(self) -> None:
        """A read was answered."""
        self._refusals = 0


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """The time that a `Retry-After` asks for; None = it does not say.

    A moment counts from the `Date` of the same answer, because clocks differ.
    """
    given = headers.get("Retry-After", "")
    try:
        seconds = float(given)
    except ValueError:
        try:
            until, now = (parsedate_to_datetime(one) for one in (given, headers.get("Date", "")))
            seconds = (until - now).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return None
    return seconds if 0 <= seconds < float("inf") else None
