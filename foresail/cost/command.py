"""`foresail cost`: what the GPUs of clusters cost and why, of one reading or over a time."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.live import Live

from fleet.account.cost_book import CostBook, TokenCost, token_costs
from fleet.account.gpu_hours import GAP_SECONDS, Costs, hourly_costs
from fleet.tokens import Tokens
from foresail.clock import wall_clock
from foresail.cost.meters import with_meters
from foresail.cost.opencost_costs import custom_costs
from foresail.cost.reading import Reading, Round, read_round, read_spend
from foresail.cost.report import CostReport, joined
from foresail.cost.state_file import kept, owned, written
from foresail.cost.table import payload, render
from foresail.gpus.options import FleetOptions, clusters
from foresail.meters.programs import Meter, read_meters
from foresail.printed import print_document
from scaler.durations import format_duration
from scaler.errors import ForesailError

_HOUR_SECONDS: Final = 3600.0
OPENCOST: Final = "opencost"
"""The form of OpenCost's custom costs."""
_WINDOW_LEAST_SECONDS: Final = 120.0
"""Of tokens: a shorter one may hold a single scrape, of which nothing increases."""
_EVERY_MOST_SECONDS: Final = GAP_SECONDS / 2
"""Between two readings, so that one that comes late, or fails, leaves no gap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CostOptions:
    """Which clusters to read, for how long, and how to show them."""

    fleet: FleetOptions
    window_seconds: float = 600.0
    """In which the tokens of a single reading are counted."""
    watch_seconds: float | None = None
    """For how long to add readings up; None = a single reading."""
    every_seconds: float = 60.0
    """Between two readings."""
    meters: tuple[Meter, ...] = ()
    """Programs that trace requests; a single reading asks them."""
    state: Path | None = None
    """The file that totals are continued from and written to."""


async def show(options: CostOptions, console: Console) -> None:
    """Print what an hour costs, as one reading finds it.

    Raises:
        ForesailError: an option cannot be used, or no cluster can be read.
    """
    if options.state is not None:
        raise ForesailError("--state continues what --watch adds up: say for how long")
    window = options.window_seconds
    found, metered = await asyncio.gather(
        read_round(options.fleet, window), read_meters(options.meters, window, wall_clock())
    )
    hourly = [hourly_costs(one.snapshot, {}) for one in found.readings]
    tokens = [
        token_costs(costs, _HOUR_SECONDS, _in(_HOUR_SECONDS, one.tokens_per_second or {}))
        for costs, one in zip(hourly, found.readings, strict=True)
    ]
    spend, failures = await read_spend(options.fleet, window)
    report = _report(found, hourly, tokens, None)
    if spend is not None:
        booked = {client: one.times(_HOUR_SECONDS) for client, one in spend.items()}
        report = replace(report, spend=booked)
    report = replace(report, remarks=[*report.remarks, *failures])
    _print(with_meters(report, metered) if options.meters else report, options, console)


async def watch(options: CostOptions, console: Console) -> None:
    """Add readings up for a time, and print what it cost.

    Raises:
        ForesailError: an option cannot be used, or no cluster can be read at the start.
    """
    names = _watched(options)
    with owned(options.state) if options.state is not None else nullcontext():
        await _add_up(options, names, console)


async def _add_up(options: CostOptions, names: Sequence[str], console: Console) -> None:
    books = {names[0]: kept(options.state, names[0])} if options.state is not None else {}
    loop, window = asyncio.get_running_loop(), max(options.every_seconds, _WINDOW_LEAST_SECONDS)
    found = await read_round(options.fleet, window)
    end = loop.time() + (options.watch_seconds or 0.0)
    with _screen(options, console) as screen:
        while True:
            books |= {
                one.snapshot.cluster: _read(books, one, found.at_seconds) for one in found.readings
            }
            if options.state is not None:
                written(options.state, books[names[0]])
            report = _report_of(found, books)
            if screen is not None:
                screen.update(render(report, console.width), refresh=True)
            left = end - loop.time()
            if left <= 0:
                break
            await asyncio.sleep(min(options.every_seconds, left))
            found = await _next_round(options, window)
    if screen is None:
        _print(report, options, console)


def _watched(options: CostOptions) -> Sequence[str]:
    """The clusters to watch."""
    if options.meters:
        raise ForesailError(
            "--watch reads each minute, LangFuse and LangSmith allow few questions a day: leave "
            "their options out, or --watch"
        )
    if options.fleet.files:
        raise ForesailError("--watch follows clusters: leave --file out")
    if options.every_seconds > _EVERY_MOST_SECONDS:
        raise ForesailError(
            f"--every {format_duration(options.every_seconds)}: after "
            f"{format_duration(GAP_SECONDS)} without a reading GPUs count as unknown and tokens "
            f"not at all; read every {format_duration(_EVERY_MOST_SECONDS)} or more often"
        )
    names = clusters(options.fleet)
    if options.state is not None and len(names) > 1:
        raise ForesailError("--state keeps the totals of one cluster: name one with --context")
    return names


async def _next_round(options: CostOptions, window_seconds: float) -> Round:
    """A round; where nothing can be read, the time counts as unknown after a while."""
    try:
        return await read_round(options.fleet, window_seconds)
    except ForesailError as error:
        return Round(readings=(), at_seconds=wall_clock(), unreadable=str(error).splitlines())


def _read(books: Mapping[str, CostBook], reading: Reading, now_seconds: float) -> CostBook:
    book = books.get(reading.snapshot.cluster, CostBook())
    last = book.gpu_hours.at_seconds
    since = max(0.0, now_seconds - (now_seconds if last is None else last))
    rates = reading.tokens_per_second
    tokens = None if rates is None else _in(since, rates)
    return book.read(reading.snapshot, now_seconds, tokens=tokens)


def _in(seconds: float, per_second: Mapping[str, Tokens]) -> Mapping[str, Tokens]:
    return {model: tokens.times(seconds) for model, tokens in per_second.items()}


def _report_of(found: Round, books: Mapping[str, CostBook]) -> CostReport:
    """What was added up; of a cluster that could not be read now, with the time since."""
    hours = [book.gpu_hours.passed(found.at_seconds) for book in books.values()]
    begun = [one.first_seconds for one in hours if one.first_seconds is not None]
    return _report(
        found,
        [one.totals for one in hours],
        [book.models for book in books.values()],
        max(0.0, found.at_seconds - min(begun, default=found.at_seconds)),
    )


def _report(
    found: Round,
    costs: Iterable[Costs],
    tokens: Iterable[Mapping[str, TokenCost]],
    over_seconds: float | None,
) -> CostReport:
    of_models: dict[str, TokenCost] = {}
    for here in tokens:
        for model, cost in here.items():
            of_models[model] = of_models.get(model, TokenCost()) + cost
    several = len(found.readings) > 1
    return CostReport(
        costs=joined(costs),
        over_seconds=over_seconds,
        tokens=of_models,
        at_seconds=found.at_seconds,
        snapshots=[one.snapshot for one in found.readings],
        unreadable=found.unreadable,
        remarks=[*found.remarks, *_remarks(found.readings, several=several)],
    )


def _remarks(readings: Sequence[Reading], *, several: bool) -> list[str]:
    return [
        f"{one.snapshot.cluster}: {remark}" if several else remark
        for one in readings
        for remark in one.remarks
    ]


def _screen(options: CostOptions, console: Console) -> AbstractContextManager[Live | None]:
    """What is drawn anew with each reading; None = the result is printed once, at the end."""
    shown = options.fleet.form != OPENCOST and not options.fleet.as_document
    if console.is_terminal and shown:
        return Live(console=console, auto_refresh=False)
    return nullcontext()


def _print(report: CostReport, options: CostOptions, console: Console) -> None:
    if options.fleet.form == OPENCOST:
        print_document(custom_costs(report), "json")
    elif options.fleet.as_document:
        print_document(payload(report), options.fleet.form, indent=None)
    else:
        console.print(render(report, console.width))
