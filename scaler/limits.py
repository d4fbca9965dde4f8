"""The limits of docs/limits.md by name, and how often each was exceeded in this process.

The counts are one for the process, because limits are where bytes come in: in threads, in
libraries' callbacks, in parsers. Pure modules do not count: their errors and readings carry the
limit, and the edge that takes them counts.
"""

import threading
from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Limit(StrEnum):
    """The label `limit` of `foresail_limit_exceeded_total`, and the name in the log."""

    NAME = "name"
    METADATA = "metadata"
    MODEL = "model"
    EVENTS = "events"
    SERVER_ADDRESS = "server_address"
    FAULTS = "faults"
    MESSAGE = "message"
    OBJECT_TRIGGERS = "object_triggers"
    NAMESPACE_TRIGGERS = "namespace_triggers"
    EDITS = "edits"
    TRIGGERS = "triggers"
    SILENT_TRIGGER = "silent_trigger"
    STREAMS = "streams"
    TRIGGER_STREAMS = "trigger_streams"
    LABEL = "label"
    READ_SECONDS = "read_seconds"
    ANSWER_BYTES = "answer_bytes"
    ANSWER_SERIES = "answer_series"
    ANSWER_VALUES = "answer_values"
    ANSWERS_AT_ONCE = "answers_at_once"
    ANSWERS_OF_ALL = "answers_of_all"
    LARGE_ANSWERS = "large_answers"
    REFUSED_TIME = "refused_time"
    ERROR_PAGE = "error_page"
    PARTS = "parts"
    PAGE_BYTES = "page_bytes"
    PAGE_SERIES = "page_series"
    PAGE_LINE = "page_line"
    LABELS = "labels"
    PAGES_AT_ONCE = "pages_at_once"
    PAGES_BYTES = "pages_bytes"
    PAGES_SERIES = "pages_series"
    KEPT_SERIES = "kept_series"
    TARGETS = "targets"
    PODS_BYTES = "pods_bytes"
    OTLP_BYTES = "otlp_bytes"
    OTLP_WAITING = "otlp_waiting"
    OTLP_POINTS = "otlp_points"
    OTLP_SERIES = "otlp_series"
    LOOKS_AT_ONCE = "looks_at_once"
    SAMPLES = "samples"
    SIGNAL_BOUND = "signal_bound"
    SERVED_RATE = "served_rate"
    CONNECTIONS = "connections"
    BODY_SECONDS = "body_seconds"
    REQUEST_BYTES = "request_bytes"
    REQUEST_SECONDS = "request_seconds"
    RESPONSE_SECONDS = "response_seconds"
    REQUESTS = "requests"
    METRICS_PAGE = "metrics_page"
    NAMES_COMPARED = "names_compared"
    REVIEWS = "reviews"
    LOG_LINE = "log_line"
    LOG_LINES_WAITING = "log_lines_waiting"
    LINK_BYTES = "link_bytes"


class LimitCounts:
    """How often each limit was exceeded."""

    def __init__(self) -> None:
        self._counts: Counter[Limit] = Counter()
        self._lock = threading.Lock()

    def add(self, limit: Limit) -> None:
        with self._lock:
            self._counts[limit] += 1

    def snapshot(self) -> Mapping[Limit, int]:
        """The counts as they are now; a limit that was never exceeded is missing."""
        with self._lock:
            return dict(self._counts)


COUNTS: Final = LimitCounts()
"""Of this process."""


def exceeded(*limits: Limit) -> None:
    """Count that these limits were exceeded once more."""
    for limit in limits:
        COUNTS.add(limit)
