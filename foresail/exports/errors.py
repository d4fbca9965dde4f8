"""The one error of the readers of exports."""

from scaler.errors import ForesailError


class ExportError(ForesailError):
    """An export that cannot be used; the message names file, line, value and remedy."""
