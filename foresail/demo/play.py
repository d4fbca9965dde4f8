"""Playing the demo to somebody: pace, screen or lines, and the comparison when it is over."""

import asyncio
import json
import signal
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import asdict, dataclass
from enum import Enum, auto
from functools import partial
from multiprocessing import get_context, resource_tracker
from multiprocessing.pool import Pool
from typing import Any, assert_never

from pydantic.alias_generators import to_camel
from rich.console import Console
from rich.live import Live

from foresail.demo import screen
from foresail.demo.day import Demo, Frame, Playback, playback
from replay.clairvoyant import LOAD_RATIO, clairvoyant
from replay.clairvoyant import NAME as CLAIRVOYANT
from replay.generated_day import draw
from replay.policies.catalogue import KINDS
from replay.simulate import Result, simulate
from replay.world import World

REDRAW_SECONDS = 0.15
LINE_SECONDS = 900
"""Of the demo's day, between two lines of a log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A rule of the catalogue at a setting, under the name that the table shows."""

    name: str
    policy: str
    knob: float


PEERS = (
    Peer(name="keda-waiting", policy="keda-waiting", knob=KINDS["keda-waiting"].usual),
    Peer(name="hpa-inflight", policy="hpa-inflight", knob=KINDS["hpa-inflight"].usual),
    # Set by hand after looking at days of this kind: hindsight.
    Peer(name="hpa-inflight-tuned", policy="hpa-inflight", knob=0.5),
)


class Style(Enum):
    """How the demo is shown."""

    LIVE = auto()
    PLAIN = auto()
    JSON = auto()
    WEB = auto()
    """On pages, by the caller."""


async def play(
    *,
    seconds: float,
    seed: int,
    style: Style,
    console: Console,
    show: Callable[[Frame], None] | None = None,
) -> list[Result]:
    """Play the demo in about `seconds` of wall time, or as fast as the machine can.

    Args:
        seconds: of wall time.
        seed: of the traffic.
        style: how it is shown.
        console: where the summary goes, and all else unless the style is WEB.
        show: in the style WEB, what takes each frame.
    """
    played = playback(seed=seed, wall_seconds=seconds)
    if style is Style.LIVE and not console.is_terminal:
        style = Style.PLAIN
    people = style is not Style.JSON
    if people:
        console.print(screen.greeting(played), highlight=False)
    # Begun now, in a process of their own: their minute passes beside the demo's. A pool of this
    # kind is ended, not waited for, when the demo is interrupted.
    with _interrupts_held():
        apart = get_context("spawn").Pool(1)
    with apart as pool:
        peers = [_elsewhere(pool, _served, peer, played) for peer in PEERS]
        peers.append(_elsewhere(pool, _served_by_foresight, played))
        demo = Demo(played)
        try:
            with _shown(style, played, console, show) as take:
                await _paced(demo, take)
        except asyncio.CancelledError:
            if people:
                console.print(screen.so_far(demo.result(), demo.played_seconds, played))
            raise
        if people:
            console.print("other rules, on the same traffic ...", style="dim")
        scores = [demo.result(), *await asyncio.gather(*peers)]
    if people:
        console.print(screen.comparison(scores, played))
        console.print(screen.verdict(scores), highlight=False)
    else:
        console.out(json.dumps({"scores": [_record(score) for score in scores]}), highlight=False)
    return scores


def _record(result: Result) -> dict[str, object]:
    """One score for a machine: what the run kept for plots is left out."""
    kept = {"days", "marks", "moves"}
    fields = {name: value for name, value in asdict(result).items() if name not in kept}
    return {to_camel(name): value for name, value in fields.items()}


async def _paced(demo: Demo, show: Callable[[Frame], None]) -> None:
    loop = asyncio.get_running_loop()
    begun: float | None = None
    per_second = demo.playback.wall_seconds / demo.playback.day.seconds
    async with aclosing(demo.frames()) as frames:
        async for frame in frames:
            # The first frame comes after the days of history were read; the pace counts from it.
            begun = loop.time() if begun is None else begun
            show(frame)
            await asyncio.sleep(max(0.0, begun + frame.at_seconds * per_second - loop.time()))


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """A process started here takes no Ctrl-C, which reaches all of a terminal's: one says so.

    Our own is held back, not lost, until the process is started.
    """
    resource_tracker.ensure_running()  # starting it later would unblock the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _elsewhere(pool: Pool, work: Callable[..., Result], *given: object) -> asyncio.Future[Result]:
    """The score of work done in the pool's process."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()

    def settle(tell: Callable[[Any], None], outcome: object) -> None:
        loop.call_soon_threadsafe(lambda: None if future.done() else tell(outcome))

    pool.apply_async(
        work,
        given,
        callback=partial(settle, future.set_result),
        error_callback=partial(settle, future.set_exception),
    )
    return future


def _served(peer: Peer, played: Playback) -> Result:
    """One of today's rules on the demo's traffic."""
    replay_input = draw(played.day, seed=played.seed)
    return simulate(
        replay_input,
        KINDS[peer.policy].make(replay_input, peer.knob),
        name=peer.name,
        knob=peer.knob,
        seed=played.seed,
        served=World(replay_input, seed=played.seed),
    )


def _served_by_foresight(played: Playback) -> Result:
    """A rule that knows the rate in advance: what a perfect forecast would be worth."""
    replay_input = draw(played.day, seed=played.seed)
    return simulate(
        replay_input,
        clairvoyant(played.day, replay_input, seed=played.seed),
        name=CLAIRVOYANT,
        knob=LOAD_RATIO,
        seed=played.seed,
        served=World(replay_input, seed=played.seed),
    )


@contextmanager
def _shown(
    style: Style,
    played: Playback,
    console: Console,
    show: Callable[[Frame], None] | None,
) -> Iterator[Callable[[Frame], None]]:
    match style:
        case Style.LIVE:
            drawn = screen.Screen(played, width=console.width, height=console.height)
            with Live(console=console, auto_refresh=False) as live:
                yield _Redraw(drawn, live)
        case Style.PLAIN:
            yield lambda frame: _every_line(frame, console)
        case Style.JSON:
            yield lambda frame: console.out(json.dumps(screen.record(frame)), highlight=False)
        case Style.WEB:
            assert show is not None
            yield show
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
