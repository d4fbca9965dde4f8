"""Small numbers for names: one that is not in use any more goes to the next new name."""

from collections.abc import Iterable


class Indices:
    """An index of each name in use; the largest is no more than the most names at one time."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        """The first indices, in this order, none of them in use yet."""
        self._names = list(names)
        self._index = {name: at for at, name in enumerate(self._names)}
        self._users = [0] * len(self._names)

    @property
    def names(self) -> tuple[str, ...]:
        """By index; one that is not in use keeps the last name it had."""
        return tuple(self._names)

    def take(self, name: str, users: int = 1) -> int:
        """The index of `name`, for so many more users."""
        at = self._index.get(name)
        if at is None:
            at = self._index[name] = self._place(name)
        self._users[at] += users
        return at

    def leave(self, index: int) -> None:
        """One user fewer."""
        self._users[index] -= 1

    def _place(self, name: str) -> int:
        if 0 not in self._users:
            self._names.append(name)
            self._users.append(0)
            return len(self._names) - 1
        at = self._users.index(0)
        del self._index[self._names[at]]
        self._names[at] = name
        return at
