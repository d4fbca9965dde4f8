"""How likely a node of a pool is needed, and how soon, by the forecast of the running maximum."""

from dataclasses import dataclass

from scaler.forecast.running_maximum import MaximumForecast


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowOdds:
    """What one window says of one rank."""

    window_seconds: float
    needed: float
    """Probability that the node is needed within the window."""
    gpus_needed: float
    """Expected number of its GPUs that are needed within the window."""
    wait_seconds: float
    """Expected time until it is needed, the window's length where it is not."""

    @property
    def gpus_needed_if_any(self) -> float:
        """Expected number of its GPUs that are needed within the window, if any is."""
        return self.gpus_needed / self.needed if self.needed > 0 else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Odds:
    """The forecast, as far as it is trusted, for nodes of a pool.

    Ranks count from 1: node k is needed when demand is above `gpus_per_node * (k - 1)`. All ranks
    asked for are above the present demand, so "the present goes on" needs none of them, and trust
    is a factor of each probability.
    """

    forecast: MaximumForecast
    trust: float
    """From 0, the present goes on, to 1, the forecast as it is."""
    gpus_per_node: int
    windows_seconds: tuple[float, ...]
    """That the rules try; of a forecast with none of them, all its own."""

    def of_rank(self, rank: int) -> list[WindowOdds]:
        """The odds of one rank, by window.

        The time until a node is needed has the distribution P(T <= m) = P(maximum over m needs it),
        known at each window of the forecast and 0 now; between them it is a straight line. So
        E[min(T, m)], the area under P(T > t) from 0 to m, is a sum of trapezoids.
        """
        found, wait, before_seconds, before = [], 0.0, 0.0, 0.0
        tried = set(self.windows_seconds) & set(self.forecast.windows_seconds)
        for window, seconds in enumerate(self.forecast.windows_seconds):
            needed = self._reaches(rank, 1, window)
            wait += (seconds - before_seconds) * (1 - (before + needed) / 2)
            before_seconds, before = seconds, needed
            if tried and seconds not in tried:
                continue
            more = sum(self._reaches(rank, gpu, window) for gpu in range(2, self.gpus_per_node + 1))
            found.append(
                WindowOdds(
                    window_seconds=seconds,
                    needed=needed,
                    gpus_needed=needed + more,
                    wait_seconds=wait,
                )
            )
        return found

    def _reaches(self, rank: int, gpu: int, window: int) -> float:
        value = self.gpus_per_node * (rank - 1) + gpu
        # The forecast is certain of what it has seen, and demand has fallen since: that it rises
        # above the forecast's last value is the least that is known of its return.
        above = max(value, self.forecast.last_value + 1)
        return self.trust * self.forecast.probability_of_reaching(above, window)
