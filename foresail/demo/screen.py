"""What the demo shows: a live screen, lines in a log, and the comparison at the end."""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

from pydantic.alias_generators import to_camel
from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from foresail.demo.day import Frame, Playback
from foresail.figures import UNKNOWN
from replay.simulate import Result
from scaler.durations import format_duration

COLUMN_SECONDS = 180
"""One column of a chart: five hours of past and half an hour of forecast fit a terminal."""
AHEAD_COLUMNS = 10
_BAR_COLUMNS = 24
_LABEL_COLUMNS = 9
_TICK_SECONDS = 3600
_TALL_LINES = 32
_EIGHTHS = " ▁▂▃▄▅▆▇█"


@dataclass(slots=True)
class Column:
    """Means over one column's time."""

    looks: int = 0
    measured: int = 0
    demand: float = 0.0
    """Over the measured looks."""
    ready: float = 0.0
    wanted: float = 0.0

    def take(self, frame: Frame) -> None:
        view = frame.view
        self.looks += 1
        share = 1 / self.looks
        demand = view.demand_prompt_tokens_per_second
        if not math.isnan(demand):
            self.measured += 1
            self.demand += (demand - self.demand) / self.measured
        self.ready += share * (view.ready - self.ready)
        self.wanted += share * ((frame.asked or 0) - self.wanted)


@dataclass(slots=True)
class Screen:
    """The live screen; it keeps only what fits on it."""

    playback: Playback
    width: int
    height: int
    columns: deque[Column] = field(default_factory=deque)
    _column: int = -1

    def drawn(self, frame: Frame) -> RenderableType:
        """The screen at this frame, which must have been taken."""
        why = Table.grid(padding=(0, 1))
        for reason in frame.why:
            rule, _, text = reason.partition(": ")
            why.add_row(Text(rule, style="bold"), Text(text, overflow="ellipsis", no_wrap=True))
        return Group(
            self._title(frame),
            Panel(
                self._demand(frame),
                title="prompt tokens/s: past, then median ▓ and q0.9 ░ of the next 30 min",
                title_align="left",
            ),
            Panel(
                self._replicas(),
                title="replicas: ready █, asked for beyond them ░",
                title_align="left",
            ),
            Padding(self._numbers(frame), (0, 2)),
            Panel(
                why,
                title=f"asked for {_asked(frame)} replicas; {frame.control}",
                title_align="left",
            ),
        )

    def take(self, frame: Frame) -> None:
        """Put a frame into the charts; not every frame need be drawn."""
        index = frame.at_seconds // COLUMN_SECONDS
        if index != self._column:
            self._column = index
            self.columns.append(Column())
            while len(self.columns) > self.width - AHEAD_COLUMNS - 14:
                self.columns.popleft()
        self.columns[-1].take(frame)

    def _rows(self, tall: int, short: int) -> int:
        """How many rows a chart gets: a terminal of 24 lines must hold the whole screen."""
        return tall if self.height >= _TALL_LINES else short

    def _title(self, frame: Frame) -> RenderableType:
        done = frame.at_seconds / self.playback.day.seconds
        bar = "━" * round(_BAR_COLUMNS * done)
        bar += "╌" * (_BAR_COLUMNS - len(bar))
        model = self.playback.day.platform.profile.name
        return Text.assemble(
            (f" foresail demo  {_clock(frame.clock_seconds)}  ", "bold"),
            (bar, "cyan"),
            f"  {model}, seed {self.playback.seed}",
            no_wrap=True,
            overflow="ellipsis",
        )

    def _demand(self, frame: Frame) -> Text:
        past = [column.demand for column in self.columns]
        ahead = _interpolated(frame.band)
        top = max([*past, *(band[1] for band in ahead), 1.0])
        chart = _chart(past, [(band[0], band[1]) for band in ahead], top=top, rows=self._rows(8, 4))
        return Text("\n").join([chart, self._axis()])

    def _axis(self) -> Text:
        """The hours below the columns of both charts, each begun where its text begins."""
        line = [" "] * (_LABEL_COLUMNS + len(self.columns) + AHEAD_COLUMNS)
        first = self._column - len(self.columns) + 1
        for place in range(len(self.columns) + AHEAD_COLUMNS):
            seconds = self.playback.begins_at_seconds + (first + place) * COLUMN_SECONDS
            if seconds % _TICK_SECONDS == 0:
                mark = f"|{seconds // 3600 % 24:02d}:00"
                at = _LABEL_COLUMNS + place
                line[at : at + len(mark)] = mark
        return Text("".join(line)[: self.width - 4], style="dim")

    def _replicas(self) -> Text:
        top = max(*(max(column.ready, column.wanted) for column in self.columns), 1.0)
        rows = []
        height = self._rows(5, 3)
        for row in reversed(range(height)):
            line = Text(f"{top * (row + 1) / height:>8.0f} ", style="dim")
            for column in self.columns:
                ready = _eighth(column.ready / top * height - row)
                missing = column.wanted > column.ready and column.wanted / top * height > row + 0.5
                line.append("░" if ready == " " and missing else ready, style="green")
            rows.append(line)
        return Text("\n").join(rows)

    def _numbers(self, frame: Frame) -> RenderableType:
        view, objective = frame.view, self.playback.day.platform.objective
        late = view.ttft_p95_seconds > objective.ttft_seconds
        return Text.assemble(
            f"ready {view.ready}  starting {view.starting}  draining {view.draining}   "
            f"running {view.running}  waiting {view.waiting}   "
            f"{_rate(view.demand_requests_per_second, '.1f')} requests/s   ",
            (
                f"TTFT p95 {_seconds(view.ttft_p95_seconds)} of {objective.ttft_seconds:g} s",
                "red" if late else "green",
            ),
            f"   GPU-hours {view.gpu_hours:.1f}",
        )


def line(frame: Frame) -> str:
    """One frame as one line of a log."""
    view = frame.view
    shaped = max(frame.why, key=_replicas_named, default="no decision yet") if frame.why else "-"
    return (
        f"{_clock(frame.clock_seconds)}  "
        f"demand {_rate(view.demand_requests_per_second, '.1f'):>5} requests/s "
        f"{_rate(view.demand_prompt_tokens_per_second, ',.0f'):>7} prompt tokens/s  "
        f"asked {_asked(frame)}  "
        f"ready {view.ready}  starting {view.starting}  waiting {view.waiting}  "
        f"TTFT p95 {_seconds(view.ttft_p95_seconds)}  GPU-h {view.gpu_hours:.1f}  {shaped}"
    )


def _replicas_named(reason: str) -> int:
    """The forecast is what a reader of the log wants to see first, then holds and bounds."""
    order = ("queue", "present", "forecast", "hold", "bounds")
    rule = reason.partition(":")[0]
    return order.index(rule) if rule in order else -1


def record(frame: Frame) -> dict[str, object]:
    """One frame for a machine."""
    return {
        "atSeconds": frame.at_seconds,
        "asked": frame.asked,
        "control": frame.control,
        "why": list(frame.why),
        "forecastPromptTokens": {f"{ahead:g}": band for ahead, band in frame.band.items()},
        **{
            to_camel(name): None if value != value else value  # noqa: PLR0124 NaN is not JSON
            for name, value in asdict(frame.view).items()
        },
    }


def greeting(playback: Playback) -> str:
    """What is about to be seen."""
    day = playback.day
    hours = day.seconds / 3600
    start_up = format_duration(day.platform.fleet.start_up.median_seconds)
    return (
        f"{hours:.1f} h of generated LLM traffic from {_clock(playback.epoch_seconds)} on, for "
        f"{day.platform.profile.name} replicas that take about {start_up} to start. The source "
        "reader, forecaster, planner and gRPC server are the shipped ones, asked as KEDA and the "
        "HPA ask. They read three days of history first."
    )


def verdict(scores: Sequence[Result]) -> str:
    """The comparison in words, whichever way it went."""
    ours, *peers = scores
    lines = []
    for peer in peers:
        cost = ours.gpu_hours / peer.gpu_hours - 1
        points = 100 * (ours.attainment - peer.attainment)
        lines.append(
            f"against {peer.policy}: {points:+z.1f} points of requests in time, "
            f"{cost:+z.0%} GPU-hours"
        )
    return "\n".join(lines)


def so_far(score: Result, played_seconds: int, playback: Playback) -> str:
    """The summary of a demo that was stopped; the other rules run whole days only."""
    if not score.requests:
        return "Stopped before the first request ended."
    return (
        f"Stopped at {_clock(playback.epoch_seconds + played_seconds)}, after"
        f" {format_duration(played_seconds)} of the day: {score.attainment:.2%} of"
        f" {score.requests:,.0f} requests in time, {score.gpu_hours:.1f} GPU-hours,"
        f" {score.actions} changes of replicas, {score.errors:,.0f} requests lost."
    )


def comparison(scores: Sequence[Result], playback: Playback) -> RenderableType:
    """The policies side by side on the same requests."""
    objective = playback.day.platform.objective
    hours = playback.day.seconds / 3600
    meaning = (
        f"{hours:.1f} h of the same traffic, {scores[0].requests:,.0f} requests. In time: first "
        f"token within {objective.ttft_seconds:g} s, the others within "
        f"{objective.itl_seconds * 1000:.0f} ms each on average. Lost requests are misses, "
        "start-up and drain are GPU-hours."
    )
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("policy", no_wrap=True)
    for name in ("in time", "TTFT p95", "p99", "lost", "GPU-h", "moves"):
        table.add_column(name, justify="right", no_wrap=True)
    for score in scores:
        table.add_row(
            score.policy,
            f"{score.attainment:.2%}",
            f"{score.ttft_p95:.2f} s",
            f"{score.ttft_p99:.2f} s",
            f"{score.errors:,.0f}",
            f"{score.gpu_hours:.1f}",
            f"{score.actions}",
            style="bold" if score.policy == "foresail" else None,
        )
    return Group(Text(meaning), table)


def _chart(
    past: Sequence[float], ahead: Sequence[tuple[float, float]], *, top: float, rows: int
) -> Text:
    """Bars of the past, then per column a median and a band above it."""
    lines = []
    for row in reversed(range(rows)):
        text = Text(f"{top * (row + 1) / rows:>8,.0f} ", style="dim")
        for value in past:
            text.append(_eighth(value / top * rows - row), style="cyan")
        for median, high in ahead:
            sign = " "
            if median / top * rows > row + 0.5:
                sign = "▓"
            elif high / top * rows > row + 0.5:
                sign = "░"
            text.append(sign, style="yellow")
        lines.append(text)
    return Text("\n").join(lines)


def _eighth(filled: float) -> str:
    return _EIGHTHS[min(8, max(0, round(8 * filled)))]


def _interpolated(band: object) -> list[tuple[float, ...]]:
    """The band at each column ahead, straight lines between the forecast's horizons."""
    assert isinstance(band, dict)
    horizons = sorted(band)
    found = []
    for column in range(1, AHEAD_COLUMNS + 1 if horizons else 1):
        at = min(column * COLUMN_SECONDS, horizons[-1])
        after = next(index for index, horizon in enumerate(horizons) if horizon >= at)
        before = max(0, after - 1)
        low, high = horizons[before], horizons[after]
        share = (at - low) / (high - low) if high > low else 1.0
        pairs = zip(band[low], band[high], strict=True)
        found.append(tuple(a + share * (b - a) for a, b in pairs))
    return found


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%H:%M")


def _asked(frame: Frame) -> str:
    return "?" if frame.asked is None else str(frame.asked)


def _rate(value: float, form: str) -> str:
    return UNKNOWN if math.isnan(value) else format(value, form)


def _seconds(value: float) -> str:
    return "? s" if math.isnan(value) else f"{value:.2f} s"  # NaN: no request to judge
