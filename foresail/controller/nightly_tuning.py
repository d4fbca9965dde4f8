"""Once a night the rules' constants of each pool are chosen again, where its policy says so.

The night's moment is 03:00 of the policy's time zone. A controller that starts after it waits for
the next one. Pools are looked at one after the other, in a process of their own, and a choice that
fails or takes too long leaves the constants as they are until the next night. Every replica
chooses, from the past up to the same moment, so that one that comes to lead goes on alike.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

import structlog
from prometheus_client import CollectorRegistry, Counter

from foresail.controller.rounds import ClusterRound, ClusterRounds
from foresail.controller.tuning_worker import TuningFailedError
from policies.planning.tuning import NoChoice, TuningInput, TuningRecord
from policies.policy.pool_policy import Tuning
from scaler.clock import Clock

log = structlog.get_logger()

NIGHT_HOUR: Final = 3
LOOK_SECONDS: Final = 60.0
_BETWEEN_SECONDS_MIN: Final = 43_200.0
"""Between two nights of a pool, also where its policy gets another time zone."""

Choose: TypeAlias = Callable[[TuningInput], Awaitable[TuningRecord | NoChoice]]
"""Makes a choice without holding up the event loop; it raises `TuningFailedError`."""


class NightlyTuning:
    """Waits for nights, and has constants chosen."""

    def __init__(
        self,
        rounds: ClusterRounds,
        choose: Choose,
        last: Callable[[], ClusterRound | None],
        wall: Clock,
        registry: CollectorRegistry,
    ) -> None:
        self._rounds = rounds
        self._choose = choose
        self._last = last
        self._wall = wall
        self._nights: dict[str, float] = {}
        """By pool, the newest night that was taken or missed."""
        self._counts = Counter(
            "foresail_tuning_nights",
            "Nights of pools by what came of them: moved, kept, no choice, failed.",
            ["outcome"],
            registry=registry,
        )

    async def run(self) -> None:
        """Take nights for good."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Take the night of each pool for which one has come."""
        made = self._last()
        if made is None:
            return
        nightly = {
            pool: policy.time_zone
            for pool, policy in made.decided.policies.items()
            if policy.tuning is Tuning.NIGHTLY
        }
        self._nights = {pool: at for pool, at in self._nights.items() if pool in nightly}
        for pool, time_zone in nightly.items():
            now = self._wall()
            night = last_night(now, time_zone)
            taken = self._nights.setdefault(pool, night)
            # After a clock that was wrong for a while was set back.
            if taken > now:
                self._nights[pool] = night
            elif night - taken >= _BETWEEN_SECONDS_MIN:
                self._nights[pool] = night
                await self._take(made, pool, night)

    async def _take(self, made: ClusterRound, pool: str, night: float) -> None:
        try:
            found = await self._choose(self._rounds.tuning_input(made, pool, night))
        except TuningFailedError as error:
            self._counts.labels("failed").inc()
            log.warning("not_tuned", pool=pool, why=str(error))
            return
        self._rounds.take_night(pool, found)
        if isinstance(found, NoChoice):
            self._counts.labels("no choice").inc()
            log.info("not_tuned", pool=pool, why=found.why)
        else:
            self._counts.labels("moved" if found.moved else "kept").inc()
            log.info("tuned", pool=pool, choice=found.text)


def last_night(now_seconds: float, time_zone: str) -> float:
    """When it was last 03:00; where the clocks skip that hour, when it would have been."""
    local = datetime.fromtimestamp(now_seconds, ZoneInfo(time_zone))
    night = local.replace(hour=NIGHT_HOUR, minute=0, second=0, microsecond=0, fold=0)
    if night.timestamp() > now_seconds:
        night -= timedelta(days=1)
    return night.timestamp()
