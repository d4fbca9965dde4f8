"""Whether the console's libraries are installed: they are an extra."""

from importlib.util import find_spec

from scaler.errors import ForesailError


def require_console() -> None:
    """Check for the extra before anything of the console is imported.

    Raises:
        ForesailError: it is not installed.
    """
    if find_spec("nicegui") is None:
        raise ForesailError(
            "the console needs the extra `console`, which is not installed: "
            "pip install 'foresail[console]', or in a checkout pip install -e '.[console]'"
        )
