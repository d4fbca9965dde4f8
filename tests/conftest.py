import asyncio
from collections.abc import Callable

import pytest

from scaler.limits import COUNTS, Limit

# pytest-asyncio asks for a current loop before the first async test; asyncio then makes one that
# nobody closes, and a later collection of it fails an innocent test.
asyncio.set_event_loop(None)


@pytest.fixture
def limits_exceeded() -> Callable[[], set[Limit]]:
    """The limits that were exceeded since the test began."""
    before = COUNTS.snapshot()

    def exceeded() -> set[Limit]:
        return {limit for limit, count in COUNTS.snapshot().items() if count > before.get(limit, 0)}

    return exceeded
