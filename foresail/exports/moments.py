"""Times as exports write them: Unix seconds or milliseconds, or a date with a time zone.

Grafana writes the dashboard's local time without its zone. An hour's error would shift every daily
profile, so a time without a zone is refused unless the zone is named.
"""

from datetime import datetime, tzinfo
from math import isfinite
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from foresail.exports.errors import ExportError

MILLISECONDS_FROM: Final = 1e11
"""Unix seconds do not get there for three thousand years."""


def zone_named(name: str | None) -> tzinfo | None:
    """The time zone of `--timezone`.

    Raises:
        ExportError: there is no such zone.
    """
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ExportError(
            f"--timezone {name!r} is no time zone; write it as Europe/Berlin or UTC"
        ) from error


def seconds_of(number: float) -> float:
    """Unix seconds of a number that counts seconds or milliseconds."""
    return number / 1000 if abs(number) >= MILLISECONDS_FROM else number


class Moments:
    """Reads the times of one column."""

    def __init__(self, zone: tzinfo | None) -> None:
        self._zone = zone

    def read(self, given: object, after: float | None = None) -> float:
        """Unix seconds.

        Args:
            after: the time before it in its series. In the hour that a change of the clock
                repeats, a local time that is not later is the second one of that name.

        Raises:
            ValueError: no time, or one without a zone where none is named.
        """
        if isinstance(given, datetime):
            return self._of_date(given, after)
        if isinstance(given, int | float):
            number = float(given)
        else:
            text = str(given).strip()
            try:
                number = float(text)
            except ValueError:
                return self._of_date(_date(text), after)
        if not isfinite(number):
            raise ValueError(f"{given!r} is no time")
        return seconds_of(number)

    def _of_date(self, moment: datetime, after: float | None) -> float:
        if moment.tzinfo is not None:
            return moment.timestamp()
        if self._zone is None:
            raise ValueError(
                f"the time '{moment}' names no time zone: say --timezone with the zone that the"
                " dashboard shows, such as --timezone Europe/Berlin or --timezone UTC"
            )
        local = moment.replace(tzinfo=self._zone)
        at = local.timestamp()
        if after is not None and at <= after:
            at = local.replace(fold=1).timestamp()
        return at


def _date(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text[:40]!r} is no time; there are Unix seconds or milliseconds, and dates such as"
            " 2026-11-20 13:00:00"
        ) from None
