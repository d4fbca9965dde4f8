"""`bench rpc --restart`: a server with many objects is killed and started again.

Every object has been answered and its forecast written to disk; then both processes are killed as
a crash does, and the server is started anew over the same folder. KEDA asks about every object
again and again meanwhile, as it does after an error. Counted are the seconds until each object had
an answer, and the first answers that are lower than the last one before.
"""

import asyncio
import math
import re
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from aiohttp import ClientSession

from scaler.state.feed_bytes import FEED_BYTES_MAX
from scaler.state.frames import frames_in

Ask = Callable[[int], Awaitable[float | None]]
"""The number for one object; None for an error."""

ASKED_AT_ONCE = 50
FORECASTS_SECONDS_MAX = 600.0
_RESUMED = re.compile(r"^foresail_forecasts_resumed_total (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Restart:
    """How a restart went."""

    restart_seconds: float
    answers_lower: int

    def row(self) -> dict[str, float | int]:
        return {"restart_seconds": self.restart_seconds, "answers_lower": self.answers_lower}


async def last_answers(ask: Ask, objects: int) -> list[float]:
    """The numbers that stand just before the restart."""
    answers = await _asked(ask, range(objects))
    return [answer if answer is not None else 0.0 for answer in answers]


async def first_answers(ask: Ask, before: list[float], begun: float) -> Restart:
    """Ask until every object was answered.

    Args:
        before: the last answer of each object.
        begun: the reading of `perf_counter` at the kill.
    """
    missing = list(range(len(before)))
    lower = 0
    while missing:
        answers = await _asked(ask, missing)
        pairs = list(zip(missing, answers, strict=True))
        lower += sum(a is not None and a < before[index] for index, a in pairs)
        missing = [index for index, answer in pairs if answer is None]
        await asyncio.sleep(0.05)
    return Restart(perf_counter() - begun, lower)


async def forecasts_on_disk(directory: Path, objects: int) -> None:
    """Wait until the forecasts of all objects stand on disk."""
    deadline = perf_counter() + FORECASTS_SECONDS_MAX
    while (count := _forecasts(directory)) < objects:
        if perf_counter() > deadline:
            sys.exit(f"{count} of {objects} forecasts are on disk after {FORECASTS_SECONDS_MAX} s")
        await asyncio.sleep(5.0)


async def forecasts_resumed(http_port: int, objects: int, begun: float) -> float:
    """Seconds from `begun` until every forecast went on from its state; NaN if some never do."""
    page = f"http://127.0.0.1:{http_port}/metrics"
    async with ClientSession() as session:
        while perf_counter() - begun < FORECASTS_SECONDS_MAX:
            async with session.get(page) as response:
                found = _RESUMED.search(await response.text())
            if found is not None and float(found[1]) >= objects:
                return perf_counter() - begun
            await asyncio.sleep(0.5)
    return math.nan


def _forecasts(directory: Path) -> int:
    return sum(
        sum(1 for _ in frames_in(path.read_bytes(), payload_bytes_max=FEED_BYTES_MAX))
        for path in directory.glob("feeds-*.state")
    )


async def _asked(ask: Ask, indices: "range | list[int]") -> list[float | None]:
    slots = asyncio.Semaphore(ASKED_AT_ONCE)

    async def one(index: int) -> float | None:
        async with slots:
            return await ask(index)

    return await asyncio.gather(*(one(index) for index in indices))
