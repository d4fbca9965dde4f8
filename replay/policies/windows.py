"""What a rule remembers of the last seconds."""

from collections import deque
from math import ceil, floor


class Window:
    """Values of the last `seconds`, the oldest still inside included."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._values: deque[tuple[float, float]] = deque()
        self._sum = 0.0

    def add(self, now: float, value: float) -> None:
        self._values.append((now, value))
        self._sum += value
        while self._values[0][0] <= now - self._seconds:
            self._sum -= self._values.popleft()[1]

    def mean(self) -> float:
        """Of at least one value."""
        return self._sum / len(self._values)


class Persistence:
    """Acts on a wish only when its direction has lasted; a change of direction starts anew."""

    def __init__(self, *, up_seconds: float, down_seconds: float) -> None:
        self._up, self._down = up_seconds, down_seconds
        self._direction = 0
        self._since = 0.0

    def allowed(self, now: float, replicas: int, wish: int) -> int:
        """The wish if it is old enough, else the replicas there are."""
        direction = (wish > replicas) - (wish < replicas)
        if direction != self._direction:
            self._direction, self._since = direction, now
        needed = self._up if direction > 0 else self._down
        return wish if direction and now - self._since >= needed else replicas


def whole_above(value: float) -> int:
    """Smallest whole number not below it, forgiving the dust of a division."""
    return ceil(value - 1e-9)


def whole_below(value: float) -> int:
    """Largest whole number not above it, forgiving the dust of a division."""
    return floor(value + 1e-9)
