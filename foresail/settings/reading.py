"""Settings of how a source's samples become numbers."""

from typing import Final

from foresail.settings.values import Seconds
from scaler.parts import Part
from scaler.sources.reading import Limits

_LIMITS: Final = Limits()


class ReadingSettings(Part):
    window: Seconds = _LIMITS.window_seconds
    """The window of rates and percentiles; it must hold two scrapes."""
    stale_after: Seconds = _LIMITS.stale_after_seconds
    """Older samples are not used; at least twice the scrape interval."""
