"""Playing the demo to somebody: pace, screen or lines, and the comparison when it is over."""

import asyncio
import json
import signal
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import asdict
from enum import Enum, auto
from functools import partial
from multiprocessing import get_context
from multiprocessing.pool import Pool
from typing import Any, assert_never

from rich.console import Console
from rich.live import Live

from foresail import screen
from foresail.demo import Demo, Frame, Playback, playback
from replay.clairvoyant import clairvoyant
from replay.generated_day import draw
from replay.rules import REACTIVE_RULES, Rule, run
from replay.score import Score

REDRAW_SECONDS = 0.15
LINE_SECONDS = 900
"""Of the demo's day, between two lines of a log."""


class Style(Enum):
    """How the demo is shown."""

    LIVE = auto()
    PLAIN = auto()
    JSON = auto()


async def play(*, seconds: float, seed: int, style: Style, console: Console) -> list[Score]:
    """Play the demo in about `seconds` of wall time, or as fast as the machine can."""
    played = playback(seed=seed, wall_seconds=seconds)
    if style is Style.LIVE and not console.is_terminal:
        style = Style.PLAIN
    people = style is not Style.JSON
    # Begun now, in a process of their own: their minute passes beside the demo's. A pool of this
    # kind is ended, not waited for, when the demo is interrupted.
    with _interrupts_ignored():
        apart = get_context("spawn").Pool(1)
    with apart as pool:
        if people:
            console.print(screen.greeting(played), highlight=False)
        peers = [_elsewhere(pool, _served, rule, played) for rule in REACTIVE_RULES]
        peers.append(_elsewhere(pool, _served_by_foresight, played))
        demo = Demo(played)
        with _shown(style, played, console) as show:
            await _paced(demo, show)
        if people:
            console.print("other rules, on the same traffic ...", style="dim")
        scores = [demo.score(), *await asyncio.gather(*peers)]
    if people:
        console.print(screen.comparison(scores, played))
        console.print(screen.verdict(scores), highlight=False)
    else:
        console.out(json.dumps({"scores": [asdict(score) for score in scores]}), highlight=False)
    return scores


async def _paced(demo: Demo, show: Callable[[Frame], None]) -> None:
    loop = asyncio.get_running_loop()
    begun: float | None = None
    per_second = demo.playback.wall_seconds / demo.playback.scenario.seconds
    async with aclosing(demo.frames()) as frames:
        async for frame in frames:
            # The first frame comes after the days of history were read; the pace counts from it.
            begun = loop.time() if begun is None else begun
            show(frame)
            await asyncio.sleep(max(0.0, begun + frame.at_seconds * per_second - loop.time()))


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """A process started here ignores Ctrl-C, which reaches all of a terminal's: one says so."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _elsewhere(pool: Pool, work: Callable[..., Score], *given: object) -> asyncio.Future[Score]:
    """The score of work done in the pool's process."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Score] = loop.create_future()

    def settle(tell: Callable[[Any], None], outcome: object) -> None:
        loop.call_soon_threadsafe(lambda: None if future.done() else tell(outcome))

    pool.apply_async(
        work,
        given,
        callback=partial(settle, future.set_result),
        error_callback=partial(settle, future.set_exception),
    )
    return future


def _served(rule: Rule, played: Playback) -> Score:
    """One of today's rules on the demo's traffic."""
    return run(played.scenario, rule, seed=played.seed)


def _served_by_foresight(played: Playback) -> Score:
    """A rule that knows the rate in advance: what a perfect forecast would be worth."""
    traffic = draw(played.scenario, seed=played.seed)
    rule = clairvoyant(played.scenario, traffic)
    return run(played.scenario, rule, seed=played.seed, traffic=traffic)


@contextmanager
def _shown(style: Style, played: Playback, console: Console) -> Iterator[Callable[[Frame], None]]:
    match style:
        case Style.LIVE:
            drawn = screen.Screen(played, width=console.width, height=console.height)
            with Live(console=console, auto_refresh=False) as live:
                yield _Redraw(drawn, live)
        case Style.PLAIN:
            yield lambda frame: _every_line(frame, console)
        case Style.JSON:
            yield lambda frame: console.out(json.dumps(screen.record(frame)), highlight=False)
        case _:
            assert_never(style)


class _Redraw:
    """Takes every frame and draws a few a second: drawing all would slow the day down."""

    def __init__(self, drawn: screen.Screen, live: Live) -> None:
        self._drawn = drawn
        self._live = live
        self._due_seconds = 0.0

    def __call__(self, frame: Frame) -> None:
        self._drawn.take(frame)
        now = asyncio.get_running_loop().time()
        if now >= self._due_seconds:
            self._due_seconds = now + REDRAW_SECONDS
            self._live.update(self._drawn.drawn(frame), refresh=True)


def _every_line(frame: Frame, console: Console) -> None:
    if frame.at_seconds % LINE_SECONDS == 0:
        console.out(screen.line(frame), highlight=False)
