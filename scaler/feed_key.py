"""Which feed a trigger reads, as a value: equal only for triggers that read the same series alike.

The parts are never joined into one text to compare them. A tenant writes some of them, and in a
text a label called `namespace` could pass for the namespace of another tenant.
"""

import json
from dataclasses import asdict, dataclass

from scaler.forecast.announced import Event
from scaler.sources.scope import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedKey:
    """The identity of a feed and of the forecast made from it."""

    source: str | None = None
    """By its name in the settings; None where the trigger gives an address."""
    address: str | None = None
    engine: str
    scope: Scope
    timezone: str = "UTC"
    """The forecast's, as the events and the reach are: two time zones cannot share one."""
    events: tuple[Event, ...] = ()
    reach_seconds: float
    """How far the forecast looks ahead; two lead times that one reach serves share a feed."""

    def encoded(self) -> str:
        """The key as JSON, for files and messages: two different keys never encode alike."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
