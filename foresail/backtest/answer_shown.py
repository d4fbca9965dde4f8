"""The five-minute answer on one screen, and as a document."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from statistics import median

import numpy as np
from rich import box
from rich.table import Table

from foresail.backtest.answer import Answer, Row, verdict
from foresail.replaying.report import percent
from replay.traffic import Floats
from scaler.durations import format_duration

_SMALL_PAST_DAYS = 7.0
_EXTRAPOLATED = 0.7
"""A replica that was never busier than this share has shown less than half of its curve."""
_OFF = 0.15
"""Replayed and recorded GPU-hours that differ by more need an explanation."""


def table(answer: Answer) -> Table:
    """Yours, Foresail's, and the best that was possible."""
    objective = answer.replay_input.platform.objective
    shown = Table(box=box.SIMPLE_HEAD, padding=(0, 2, 0, 0), caption_justify="left")
    shown.add_column("a week", no_wrap=True)
    for head in ("GPU-hours", "dollars", "in time"):
        shown.add_column(head, justify="right", no_wrap=True)
    for name, row in (("yours", answer.yours), ("Foresail", answer.ours)):
        shown.add_row(*_cells(name, row, answer))
    shown.add_row(*_cells("best possible", answer.best, answer), style="dim")
    shown.caption = (
        f"in time: first token within {objective.ttft_seconds:g} s, the others within"
        f" {objective.itl_seconds * 1000:.0f} ms each. ±: over {answer.seeds} seeds.\n"
        f"best possible: the cheapest schedule found for {percent(answer.asked)}, with every"
        " arrival known."
    )
    return shown


def _cells(name: str, row: Row, answer: Answer) -> list[str]:
    usd = answer.usd(row.mean_hours)
    spread = answer.usd(_half(row.gpu_hours)) or 0.0
    return [
        name,
        f"{row.mean_hours:,.0f} ± {_half(row.gpu_hours):,.0f}",
        "?" if usd is None else f"${usd:,.0f} ± {spread:,.0f}",
        f"{row.mean_in_time:.2%} ± {100 * _half(row.in_time):.2f}",
    ]


def _half(values: tuple[float, ...]) -> float:
    return (max(values) - min(values)) / 2


def head(answer: Answer) -> str:
    """What was replayed."""
    trace = answer.past.trace
    begin = trace.begin_seconds or 0.0
    first, last = (
        datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")
        for at in (begin, begin + trace.seconds)
    )
    platform = answer.replay_input.platform
    return (
        f"{trace.name}: {first} to {last} UTC, {answer.gpu} a replica, "
        f"{platform.replicas_min} to {platform.replicas_max} replicas"
    )


def learned(answer: Answer) -> Iterator[str]:
    """What the past showed."""
    replica = answer.replica
    if replica is not None:
        tokens = replica.requests_per_second
        spread = (replica.high - replica.low) / 2 / replica.requests_per_second
        yield (
            f"one replica: {tokens * replica.mix.prompt_tokens:,.0f} prompt and"
            f" {tokens * replica.mix.output_tokens:,.0f} generated tokens/s in time, ± {spread:.1%}"
        )
    if answer.starts_seconds:
        yield (
            f"start-up: {format_duration(median(answer.starts_seconds))}, median of"
            f" {len(answer.starts_seconds)} pods, the slowest"
            f" {format_duration(max(answer.starts_seconds))}"
        )
    yield f"your rule: {answer.rule}"


def sureness(answer: Answer) -> Iterator[str]:
    """What speaks for the numbers, and what against."""
    replica, trace = answer.replica, answer.past.trace
    if replica is not None:
        yield (
            f"the fit is off by {replica.error_ratio:.1%} in a usual minute, over"
            f" {replica.steps:,} minutes"
        )
        if replica.busiest_ratio < _EXTRAPOLATED:
            yield (
                f"no replica was busier than {replica.busiest_ratio:.0%} of that: the rest is"
                " extrapolated"
            )
    if (kept := _kept_pace(answer)) is not None:
        yield (
            f"as recorded, {kept:.1%} of the requests ended in minutes whose mean time between"
            f" tokens was in time; the replay of your rule has {answer.yours.mean_in_time:.1%}"
        )
    recorded, replayed = answer.recorded_hours(), answer.yours.mean_hours
    off = replayed / recorded - 1 if recorded else float("inf")
    doubt = ", so something decides here that the replay does not know" if abs(off) > _OFF else ""
    yield (
        f"your fleet took {recorded:,.0f} GPU-hours a week"
        f"{'' if answer.starts_seconds else ', its start-ups left out'}; the replay of your rule"
        f" {off:+.0%}{doubt}"
    )
    days = trace.seconds / 86400
    if days < _SMALL_PAST_DAYS:
        yield f"{days:.1f} days are no week: other days may differ"
    if trace.gaps:
        minutes = len(trace.requests_per_second)
        yield f"{trace.gaps} of {minutes} minutes are unknown, and were joined by straight lines"
    for limit in answer.limits:
        yield limit.what


def _kept_pace(answer: Answer) -> float | None:
    """Share of requests in minutes that kept the pace on average; None = no latencies."""
    load = answer.past.load
    tokens = load.generated_tokens_per_second - load.requests_per_second
    known = np.isfinite(load.streams) & (tokens > 0)
    if not known.any():
        return None
    requests = load.requests_per_second[known]
    objective = answer.replay_input.platform.objective
    kept = load.streams[known] <= objective.itl_seconds * tokens[known]
    return float(requests[kept].sum() / requests.sum())


def lines(answer: Answer) -> Iterator[str]:
    """Everything above the table: what a screen of 24 lines ends with is the answer."""
    yield from _titled("Learned from your past", learned(answer))
    pasted = (f'{key}: "{value}"' for key, value in answer.metadata.items())
    yield from _titled("To paste under triggers[].metadata", pasted)
    yield from _titled("Assumed", answer.assumed)
    yield from _titled("How sure", sureness(answer))


def _titled(title: str, found: Iterable[str]) -> Iterator[str]:
    yield ""
    yield f"{title}:"
    yield from (f"  {one}" for one in found)


def document(answer: Answer) -> dict[str, object]:
    """For a machine; per week, a number a seed."""
    better, said = verdict(answer)
    replica = answer.replica
    rows = (("yours", answer.yours), ("foresail", answer.ours), ("bestPossible", answer.best))
    return {
        "workload": answer.past.trace.name,
        "better": better,
        "verdict": said,
        "asked": answer.asked,
        "perWeek": {
            name: {
                "gpuHours": list(row.gpu_hours),
                "usd": [answer.usd(one) for one in row.gpu_hours],
                "inTime": list(row.in_time),
            }
            for name, row in rows
        },
        "past": _past(answer),
        "recordedGpuHoursPerWeek": answer.recorded_hours(),
        "replica": None
        if replica is None
        else {
            "requestsPerSecond": replica.requests_per_second,
            "low": replica.low,
            "high": replica.high,
            "busiestRatio": replica.busiest_ratio,
            "promptTokens": replica.mix.prompt_tokens,
            "outputTokens": replica.mix.output_tokens,
            "fixedSeconds": replica.profile.fixed_seconds,
        },
        "startsSeconds": list(answer.starts_seconds),
        "rule": answer.rule,
        "gpu": answer.gpu,
        "gpuUsdHour": answer.gpu_usd_hour,
        "assumed": list(answer.assumed),
        "sureness": list(sureness(answer)),
        "metadata": dict(answer.metadata),
    }


def _past(answer: Answer) -> dict[str, object]:
    """What was read: sums over the minutes that are known."""
    trace, load = answer.past.trace, answer.past.load

    def total(per_second: Floats) -> float:
        return float(np.nansum(per_second)) * trace.step_seconds

    return {
        "beginSeconds": trace.begin_seconds,
        "seconds": trace.seconds,
        "unknownMinutes": trace.gaps,
        "requests": total(load.requests_per_second),
        "promptTokens": total(load.prompt_tokens_per_second),
        "generatedTokens": total(load.generated_tokens_per_second),
    }
