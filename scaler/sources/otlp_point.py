"""One OTLP data point as Prometheus would name it, and what tells its series from others.

Apart from the decoder, which needs OpenTelemetry's library, an extra.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class PointKind(StrEnum):
    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


Identity = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One data point. Equal `identity` and `start_ns` make one series of one process."""

    name: str
    """Without a histogram's `_sum`, `_count`, `_bucket`."""
    kind: PointKind
    resource: Identity
    """The attributes of the process that reports."""
    labels: Mapping[str, str]
    """Of the point and of its process, as a scrape would have them."""
    identity: Identity
    """Every attribute of the point and its scope."""
    is_delta: bool
    start_ns: int
    """0 = the sender does not say."""
    at_ns: int
    values: tuple[float, ...]
    """Of a histogram its sum, its count, and the count of each bucket alone; else one number. NaN
    for a sum that was not given."""
    bounds: tuple[float, ...] = ()
    """Upper bounds of the buckets but the last, which has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """What one request held."""

    points: tuple[Point, ...] = ()
    """Those that some preset reads."""
    reported_ns: Mapping[Identity, int] = field(default_factory=dict)
    """Process → the newest time of any of its points: it was alive then."""
    rejected: Counter[str] = field(default_factory=Counter)
    """Points that a preset reads and that cannot be taken, by reason."""


class UndecodableError(ValueError):
    """A body that is no request to export metrics, or one that is too large; said to its sender."""
