"""The key of a feed: equal only for triggers that read the same series in the same way.

Keys are compared by their parts, never as one joined text. A tenant writes some of the parts, and
in a text a label called `namespace` could pass for the namespace of another tenant.
"""

import json
from dataclasses import asdict, dataclass, fields, replace

from scaler.events import Event
from scaler.scope import Scope
from scaler.trigger import Phase


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedKey:
    """The identity of a feed and of the forecast made from it."""

    source: str | None = None
    """Its name in the settings; None where the trigger gives an address."""
    address: str | None = None
    engine: str
    gateway: str | None = None
    """The preset of the gateway before the engine."""
    gateway_source: str | None = None
    """None reads the gateway where the engine is read."""
    requesters: str | None = None
    """The Deployment whose ready pods are the replicas; None = the engine tells."""
    inference_server_config: str | None = None
    """Whose actuations are read."""
    scope: Scope
    timezone: str = "UTC"
    """Of the forecast; triggers with different time zones cannot share one."""
    events: tuple[Event, ...] = ()
    phase: Phase = Phase.BOTH
    """Of the replicas: what is learned of an engine differs by it."""
    reach_seconds: float
    """How far the forecast looks ahead; lead times that need the same reach share a feed."""

    def reads_as(self, other: "FeedKey") -> bool:
        """Whether both read the same series, whatever is forecast from them."""
        return self == replace(
            other,
            timezone=self.timezone,
            events=self.events,
            reach_seconds=self.reach_seconds,
        )

    def encoded(self) -> str:
        """The key as JSON, for files and messages: two different keys never encode alike.

        A part at its default is left out, so that what is kept outlives a version with a new part.
        """
        usual = {one.name: one.default for one in fields(self)}
        told = {name: value for name, value in asdict(self).items() if value != usual[name]}
        return json.dumps(told, sort_keys=True, separators=(",", ":"))
