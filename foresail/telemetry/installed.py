"""Whether OpenTelemetry's libraries are installed: they are an extra."""

from importlib.util import find_spec
from typing import Final

from scaler.errors import ForesailError

_NEEDED: Final = ("opentelemetry.sdk", "opentelemetry.exporter.otlp", "opentelemetry.proto")


def require_opentelemetry(setting: str) -> None:
    """Check for the extra before anything of it is imported.

    Args:
        setting: what wants it, for the message.

    Raises:
        ForesailError: it is not installed.
    """
    # Of a package whose parent is missing, `find_spec` raises.
    if find_spec("opentelemetry") is None or any(find_spec(one) is None for one in _NEEDED):
        raise ForesailError(
            f"{setting} needs the extra `opentelemetry`, which is not installed: "
            "pip install 'foresail[opentelemetry]', or in a checkout "
            "pip install -e '.[opentelemetry]'"
        )
