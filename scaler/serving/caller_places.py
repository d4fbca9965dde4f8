"""How many calls are served at a time, in all and of one caller."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from scaler.errors import ForesailError


class NoPlaceError(ForesailError):
    """As many calls are served as may be."""


class CallerPlaces:
    """Places that callers take for the length of a call, so that none of them takes all."""

    def __init__(self, *, most: int, of_one_most: int, what: str) -> None:
        """Begin with all of them free.

        Args:
            what: the plural of what takes a place.
        """
        self._most = most
        self._of_one_most = of_one_most
        self._what = what
        self._taken = Counter[tuple[str, ...]]()

    @contextmanager
    def taken(self, caller: tuple[str, ...]) -> Iterator[None]:
        """Have a place.

        Args:
            caller: its names; without any, only the places in all count.

        Raises:
            NoPlaceError: there is none left.
        """
        if self._taken.total() >= self._most:
            raise NoPlaceError(f"{self._most} {self._what} are open, the limit: ask again later")
        if caller and self._taken[caller] >= self._of_one_most:
            raise NoPlaceError(
                f"{self._of_one_most} {self._what} of {', '.join(caller)} are open, the limit of "
                "one reader: ask again later"
            )
        self._taken[caller] += 1
        try:
            yield
        finally:
            self._taken[caller] -= 1
            if not self._taken[caller]:
                del self._taken[caller]
