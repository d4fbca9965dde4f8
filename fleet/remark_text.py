"""Words that remarks on a fleet share."""

from collections.abc import Sequence


def first_of(names: Sequence[str]) -> str:
    """The first of some names, and how many more there are: `gpu-1 and 3 more`."""
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{names[0]}{more}"
