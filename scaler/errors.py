"""Foresail's error tree. A subclass exists only where somebody catches it.

ForesailError
├── MetadataError              a trigger's metadata cannot be used: the tenant mends it
└── SourceError                a metrics source gave no answer that can be trusted
    ├── SourceUnavailableError   it may pass: refused, timed out, 5xx
    └── SourceMisconfiguredError it will not pass by itself: 401, 403, a query it rejects
"""


class ForesailError(Exception):
    """Anything Foresail raises on purpose."""


class MetadataError(ForesailError):
    """Trigger metadata that cannot be used; the message names each key, its value and the mend."""


class SourceError(ForesailError):
    """A metrics source gave no usable answer. Absence of an answer is never a reading of zero."""


class SourceUnavailableError(SourceError):
    """The source did not answer this time."""


class SourceMisconfiguredError(SourceError):
    """The source answered that the question will never be accepted as asked."""
