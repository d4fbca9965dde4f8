"""Foresail's error tree. A subclass exists only where code catches it.

ForesailError
├── MetadataError              a trigger's metadata cannot be used: the tenant must correct it
└── SourceError                a metrics source gave no usable answer
    ├── SourceUnavailableError   temporary: refused, timed out, 5xx
    │   └── AskedTooOftenError     its rate limit: 429
    └── SourceMisconfiguredError permanent until a setting changes: 401, 403, a query it rejects
"""

from collections.abc import Collection
from typing import TypeVar

from scaler.limits import Limit
from scaler.message_text import limited

_Error = TypeVar("_Error", bound=BaseException)


class ForesailError(Exception):
    """Anything Foresail raises on purpose."""


class MetadataError(ForesailError):
    """Trigger metadata that cannot be used; the message names key, value and correction."""

    def __init__(self, message: str, *, limits: Collection[Limit] = ()) -> None:
        super().__init__(message)
        self.limits = frozenset(limits)
        """Those that it exceeds."""


class SourceError(ForesailError):
    """A metrics source gave no usable answer. A missing answer is never a reading of zero."""

    def __init__(self, message: str) -> None:
        # Servers, exporters and pods write parts of it, and every look keeps its own.
        super().__init__(limited(message))


class SourceUnavailableError(SourceError):
    """The source did not answer this time."""


class AskedTooOftenError(SourceUnavailableError):
    """The source refuses requests for a while."""

    def __init__(self, message: str, *, wait_seconds: float | None) -> None:
        super().__init__(message)
        self.wait_seconds = wait_seconds
        """How long it asks to wait; None = it does not say."""


class SourceMisconfiguredError(SourceError):
    """The source rejects the query until the settings or the trigger change."""


def alone(error: _Error) -> _Error:
    """The error, for whoever keeps it, without what led to it.

    The frames of a traceback hold whole answers, such as the body that could not be read.
    """
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)
