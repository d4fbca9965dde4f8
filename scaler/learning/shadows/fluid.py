"""A fluid model of many fleets on the same demand, as arrays over the fleets.

* A fleet takes back its newest orders first, and releases the newest replica first. So a replica is
  ready once it was wanted for a whole lead time: ready = the least that was wanted within it.
* Work queues in replica-seconds. A replica's capacity is the load at which the objective is just
  kept, so it can take more than that, with late answers: `THROUGHPUT` of it before a queue grows.
* Late is work that waits for longer than the time to first token allows, and a part of the rest
  that rises with load: 1 − objective at full capacity, half where queues begin.
* Clients wait for `PATIENCE_SECONDS`; what is given up is late.

Histories are kept in a fixed number of slots. A slot is a minute where the longest window fits,
else more.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scaler.learning.shadows.settings import SHADOWS, Floats

Counts = NDArray[np.uint16]

SLOTS: Final = 32
REPLICAS_SHADOWED_MAX: Final = 65_535
THROUGHPUT: Final = 1.18
"""Load a replica can take before a queue grows, over the load at which it keeps the objective."""
PATIENCE_SECONDS: Final = 60.0
STEP_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fleets:
    """The fleets' past, as far as the next step depends on it."""

    slot_minutes: int
    wanted: Counts
    """[fleet, slot], the newest slot first: the least that was wanted in it."""
    needed: Counts
    """[fleet, slot], the newest slot first: the most that was needed in it."""
    queued: Floats
    """Replica-seconds of work that wait, by fleet."""

    @classmethod
    def beginning(cls, replicas: int, *, slot_minutes: int) -> "Fleets":
        """Fleets that have had so many replicas for ever."""
        past = np.full((SHADOWS, SLOTS), min(replicas, REPLICAS_SHADOWED_MAX), np.uint16)
        return cls(slot_minutes=slot_minutes, wanted=past, needed=past, queued=np.zeros(SHADOWS))

    def with_slots_of(self, minutes: int) -> "Fleets":
        """The same past in slots of another length."""
        if minutes == self.slot_minutes:
            return self
        places = np.minimum(np.arange(SLOTS) * minutes // self.slot_minutes, SLOTS - 1)
        return Fleets(
            slot_minutes=minutes,
            wanted=self.wanted[:, places],
            needed=self.needed[:, places],
            queued=self.queued,
        )

    def ready(self, lead_seconds: float) -> Floats:
        """Replicas that serve now."""
        lead = self._slots(lead_seconds)
        return np.asarray(self.wanted[:, : lead + 1].min(axis=1), np.float64)

    def ready_ahead(self, lead_seconds: float) -> Floats:
        """Replicas that serve in each slot from now to a lead time ahead: [fleet, slot]."""
        lead = self._slots(lead_seconds)
        least = np.minimum.accumulate(self.wanted[:, : lead + 1], axis=1)
        return least[:, ::-1].astype(np.float64)

    def held(self, hold_seconds: Floats) -> Floats:
        """The most that was needed within each fleet's hold."""
        slots = np.maximum(1, np.ceil(hold_seconds / STEP_SECONDS / self.slot_minutes))
        within = np.arange(SLOTS) < slots[:, None]
        most: Floats = np.where(within, self.needed, 0).max(axis=1).astype(np.float64)
        return most

    def queued_after(self, lead_seconds: float, load: float) -> Floats:
        """Replica-seconds of work that will wait a lead time from now, if the load stays."""
        seconds = self.slot_minutes * STEP_SECONDS
        # The last column is what serves once the lead time is over.
        grows = (load - self.ready_ahead(lead_seconds)[:, :-1]) * seconds
        if not grows.shape[1]:
            return self.queued
        from_slot = np.cumsum(grows[:, ::-1], axis=1)
        left = np.maximum(self.queued + from_slot[:, -1], from_slot.max(axis=1))
        return np.asarray(np.maximum(0.0, left))

    def with_needed(self, needed: Floats | Counts, minute: int) -> "Fleets":
        """With the need of a new minute, before what is wanted follows from it."""
        return Fleets(
            slot_minutes=self.slot_minutes,
            wanted=self.wanted,
            needed=self._with(self.needed, needed, minute, np.maximum),
            queued=self.queued,
        )

    def with_wanted(self, wanted: Floats | Counts, minute: int) -> "Fleets":
        """With what is wanted from a new minute on."""
        return Fleets(
            slot_minutes=self.slot_minutes,
            wanted=self._with(self.wanted, wanted, minute, np.minimum),
            needed=self.needed,
            queued=self.queued,
        )

    def _with(self, past: Counts, newest: Floats | Counts, minute: int, joined: np.ufunc) -> Counts:
        counts = np.minimum(newest, REPLICAS_SHADOWED_MAX).astype(np.uint16)
        after = past.copy()
        if minute % self.slot_minutes:
            after[:, 0] = joined(past[:, 0], counts)
        else:
            after[:, 1:] = past[:, :-1]
            after[:, 0] = counts
        return after

    def _slots(self, seconds: float) -> int:
        return min(math.ceil(seconds / STEP_SECONDS / self.slot_minutes), SLOTS - 1)


def slot_minutes_for(window_seconds: float) -> int:
    """The length of a slot with which this window fits."""
    return max(1, math.ceil(window_seconds / STEP_SECONDS / (SLOTS - 1)))


def served(
    ready: Floats, queued: Floats, load: float, *, ttft_seconds: float, objective: float
) -> tuple[Floats, Floats]:
    """The share of a minute's work that is late, and what waits after it.

    Args:
        load: replicas that the minute's demand keeps busy.
        objective: share that is in time at full capacity.
    """
    limit = ready * THROUGHPUT
    most = np.maximum(limit, load) * PATIENCE_SECONDS
    after = np.clip(queued + (load - limit) * STEP_SECONDS, 0.0, most)
    low, high = np.minimum(queued, after), np.maximum(queued, after)
    waits = np.clip((high - limit * ttft_seconds) / np.maximum(high - low, 1e-9), 0.0, 1.0)
    pressure = load / np.maximum(ready, 1e-3)
    tail = math.log(objective / (1 - objective))
    exponent = tail * (1 - (pressure - 1) / (THROUGHPUT - 1))
    strained = 1 / (1 + np.exp(np.clip(exponent, -60.0, 60.0)))
    late: Floats = 1 - (1 - waits) * (1 - strained)
    return late, after
