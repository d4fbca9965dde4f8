"""Feeds of one namespace that differ only in the model, read by one query.

The query names the models of its feeds and nothing else, and its answer is split by the model's
label, so each feed reads the samples that it would read alone. A namespace is one tenant: no answer
holds the series of two.

An answer that cannot be had or used is not held against the feeds that are well. At the next moment
each feed of it is read alone, as is every feed that had no answer yet, or whose part of an answer
is large. The feed at fault costs the others one look, and stays alone until it is well for a while.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from scaler.errors import SourceError, SourceUnavailableError
from scaler.scope import Scope
from scaler.signals import Absent, Feed, Observation
from scaler.sources.page import listed
from scaler.sources.preset import Preset
from scaler.sources.prometheus_past import read_past
from scaler.sources.prometheus_reads import PrometheusReads
from scaler.sources.prometheus_response import CURRENT_READ, remarks
from scaler.sources.prometheus_selection import Selection
from scaler.sources.prometheus_session import is_of_query
from scaler.sources.reading import ObservationReader
from scaler.sources.selector import duration, selector
from scaler.sources.series import SampledSeries

FEEDS_MAX: Final = 10
"""Of one query: it takes as much processor time as the readings of one feed or two. More feeds save
little more, and their samples take memory at the same time."""
SAMPLES_MAX: Final = 12_500
"""Expected in one answer. 24 replicas of vLLM have as many, if they are scraped every 15 s."""
WELL_LOOKS: Final = 4
"""Of a feed that failed alone, before it is read with others again: each fault costs them a look.
"""
HALVED_SECONDS: Final = 600.0
"""A server that refused feeds together twice within this time, and none of them alone, has a limit
of its own: half as many are read together for as long. They would else miss every other look."""
_SAME_MOMENT_SECONDS: Final = 5.0
"""Less than a period between two moments; the parts of one moment may end apart."""
_HINT_EVERY_SECONDS: Final = 60.0
_HINT_LOOKBACK_SECONDS: Final = 3600.0


@dataclass(slots=True)
class _LastAnswer:
    """What the last answers say about reading a feed with others."""

    samples: int | None = None
    """Of the feed's part of the last answer; None = there was none."""
    looks_alone: int = 0
    """Looks that are to come by a query of its own, whatever their answers are."""

    def share(self) -> float:
        """Of one answer, what the feed's part takes; at 1 it is read alone."""
        if self.samples is None or self.looks_alone:
            return 1.0
        return self.samples / SAMPLES_MAX

    def answered(self, samples: int) -> None:
        self.samples = samples
        self.looks_alone = max(0, self.looks_alone - 1)

    def failed(self, *, alone: bool) -> None:
        self.samples = None
        if alone:
            self.looks_alone = WELL_LOOKS


_Answers = dict["PrometheusFeed", tuple[int, Observation | Exception]]
"""For each feed its samples in an answer, and the observation or the reason why there is none."""


class PrometheusGroup:
    """The feeds of one selection."""

    def __init__(self, reads: PrometheusReads, selection: Selection) -> None:
        self.reads = reads
        self.selection = selection
        # A millisecond short, because the query's time is rounded to one: the reader would forget
        # a sample at the very edge, and take a series that is gone for one that never was.
        self._window = duration(reads.config.limits.keep_seconds - 0.001)
        self._feeds_max = FEEDS_MAX
        self._halved_until_seconds = float("-inf")
        """By the clock of the event loop, as the next."""
        self._refused_at_seconds = float("-inf")
        """When feeds were last refused together, of which none was refused alone since."""
        self._hint = ""
        self._hint_until_seconds = 0.0

    def parts(self, feeds: Sequence[Feed]) -> Sequence[Sequence[int]]:
        """In order, as many in each as one answer has room for."""
        self._grow(asyncio.get_running_loop().time())
        parts: list[list[int]] = []
        together: list[int] = []
        room = 0.0
        for position, feed in enumerate(map(_of_prometheus, feeds)):
            share = feed.last_answer.share()
            if share >= 1 or self._feeds_max == 1:
                parts.append([position])
                continue
            if not together or share > room or len(together) == self._feeds_max:
                together, room = [], 1.0
                parts.append(together)
            together.append(position)
            room -= share
        return parts

    async def observe(
        self, feeds: Sequence[Feed], *, now_seconds: float
    ) -> Sequence[Observation | Exception]:
        members = [_of_prometheus(feed) for feed in feeds]
        answers: _Answers = {}
        try:
            await self.reads.run(
                lambda: self._read(members, now_seconds, answers), self.selection.namespace
            )
        except SourceError as error:
            # Those that were read stand, where only the look-up of a hint took too long. The
            # thread may go on and add more, which come too late.
            answers = dict(answers)
            if is_of_query(error):
                self._note_failed(members, answers)
            _note_answered(answers)
            return [answers[feed][1] if feed in answers else error for feed in members]
        except BaseException:  # a look's own time limit, too
            self._note_failed(members, {})
            raise
        _note_answered(answers)
        return [answers[feed][1] for feed in members]

    def _grow(self, now_seconds: float) -> None:
        """Read twice as many feeds together as in the time before, up to the most."""
        if self._feeds_max < FEEDS_MAX and now_seconds >= self._halved_until_seconds:
            self._feeds_max = min(FEEDS_MAX, 2 * self._feeds_max)
            self._halved_until_seconds = now_seconds + HALVED_SECONDS

    def _note_failed(self, members: Sequence["PrometheusFeed"], answers: _Answers) -> None:
        """Read those without an answer alone at the next moment."""
        for feed in members:
            if feed not in answers:
                feed.last_answer.failed(alone=len(members) == 1)
        now_seconds = asyncio.get_running_loop().time()
        if len(members) == 1:
            self._refused_at_seconds = float("-inf")
        elif now_seconds - self._refused_at_seconds < _SAME_MOMENT_SECONDS:
            pass  # another part, at the same moment
        elif now_seconds - self._refused_at_seconds < HALVED_SECONDS:
            self._feeds_max = max(1, self._feeds_max // 2)
            self._halved_until_seconds = now_seconds + HALVED_SECONDS
            self._refused_at_seconds = float("-inf")
        else:
            self._refused_at_seconds = now_seconds

    def _read(
        self, feeds: Sequence["PrometheusFeed"], now_seconds: float, answers: _Answers
    ) -> None:
        """Read each feed. Blocks."""
        scopes = [feed.scope for feed in feeds]
        query = f"{self.selection.selector(scopes)}[{self._window}]"
        parts = self.selection.split(self.reads.window(query, now_seconds=now_seconds), scopes)
        parts.reverse()
        for feed in feeds:
            series = parts.pop()  # off the end, so that they are gone once they are read
            samples = sum(len(one.points) for one in series)
            if samples:
                answers[feed] = samples, feed.read(series, now_seconds)
        # Last: the look-up of a hint may take until the limit.
        for feed in feeds:
            if feed not in answers:
                hint = self._hint_at(feed, now_seconds)
                answers[feed] = 0, feed.nothing(hint, now_seconds)

    def _hint_at(self, feed: "PrometheusFeed", now_seconds: float) -> str:
        if not 0 < self._hint_until_seconds - now_seconds <= _HINT_EVERY_SECONDS:
            try:
                self._hint = self._look_up_hint(now_seconds)
            except SourceError:
                # A proxy may allow queries and deny look-ups; the answer itself can still be used.
                self._hint = ""
                CURRENT_READ.get().has_failed = True
            self._hint_until_seconds = now_seconds + _HINT_EVERY_SECONDS
        return self._hint

    def _look_up_hint(self, now_seconds: float) -> str:
        """A hint at what to compare. It names nothing of other namespaces. Blocks."""
        config, chosen = self.reads.config, self.selection
        start_seconds = now_seconds - _HINT_LOOKBACK_SECONDS

        def recent_values(label: str, equal: Mapping[str, str]) -> Sequence[str]:
            query = selector(chosen.names, equal)
            return self.reads.label_values(label, query, start_seconds=start_seconds)

        models = recent_values(chosen.model_label, dict(chosen.equal))
        if models:
            return f"; models seen there: {listed(models)}"
        place = config.namespace_label
        if place is not None and recent_values(place, config.labels):
            return (
                f"; the engine is seen, but not with {place} {chosen.namespace!r} and these labels"
            )
        return "; is the engine scraped, and under these labels?"


def _note_answered(answers: _Answers) -> None:
    for feed, (samples, _) in answers.items():
        feed.last_answer.answered(samples)


class PrometheusFeed:
    """The feed of one workload."""

    def __init__(self, group: PrometheusGroup, preset: Preset, scope: Scope) -> None:
        self.group = group
        self.scope = scope
        self.last_answer = _LastAnswer()
        self._preset = preset
        self._newest_sample_seconds: float | None = None
        """Unix time of the newest sample that was read so far."""

    async def observe(self, *, now_seconds: float) -> Observation:
        (answer,) = await self.group.observe([self], now_seconds=now_seconds)
        if isinstance(answer, Exception):
            try:
                raise answer
            finally:
                del answer  # with its traceback it would be a cycle
        return answer

    def history(
        self, *, start_seconds: float, end_seconds: float, step_seconds: float
    ) -> AsyncIterator[Observation]:
        preset = self._preset.without_buckets()
        return read_past(
            self.group.reads,
            preset,
            self.scope,
            self.group.selection.selector([self.scope], names=preset.spelled),
            start_seconds=start_seconds,
            end_seconds=end_seconds,
            step_seconds=step_seconds,
        )

    def read(self, series: Sequence[SampledSeries], now_seconds: float) -> Observation | Exception:
        """What the feed's own series of the window show, or why they cannot be used."""
        try:
            self._refuse_past(series, now_seconds)
            # A new reader each time: the answer holds the whole window, so no samples of thousands
            # of workloads are kept between two reads.
            limits = self.group.reads.config.limits
            reader = ObservationReader(self._preset, model=self.scope.model, limits=limits)
            observation = reader.observe(series, now_seconds=now_seconds)
        except Exception as error:  # noqa: BLE001 - of one feed, and none of the others'
            return error
        return replace(observation, remarks=(*observation.remarks, *remarks()))

    def nothing(self, hint: str, now_seconds: float) -> Observation:
        """The observation where there are no samples."""
        why = f"no {self._preset.engine} series for {self.scope}"
        if self._newest_sample_seconds is not None:
            last = datetime.fromtimestamp(self._newest_sample_seconds, UTC)
            why += f" since {last:%Y-%m-%d %H:%M:%S} UTC"
        return Observation(
            at_seconds=now_seconds,
            readings=dict.fromkeys(self._preset.signals, Absent(why=f"{why}{hint}")),
            remarks=remarks(),
        )

    def _refuse_past(self, series: Sequence[SampledSeries], now_seconds: float) -> None:
        """Refuse an answer that is older than the last one: its demand is that of another hour.

        After our clock or the server's was set back, queries at the new time return old samples
        that look fresh.

        Raises:
            SourceUnavailableError: until there are samples newer than those that were read.
        """
        config, before = self.group.reads.config, self._newest_sample_seconds
        stale_after = config.limits.stale_after_seconds
        latest = now_seconds + stale_after  # the same limit as in the reader
        times = [at for one in series for at, _ in one.points if at <= latest]
        if not times:
            return
        newest = max(times)
        if before is not None and newest < before - stale_after:
            raise SourceUnavailableError(
                f"source {config.name!r} at {config.url}: its newest sample is "
                f"{before - newest:.0f} s older than one that was read before: a clock was set back"
            )
        self._newest_sample_seconds = newest if before is None else max(before, newest)


def _of_prometheus(feed: Feed) -> PrometheusFeed:
    if not isinstance(feed, PrometheusFeed):
        raise TypeError(f"{feed!r} is of no group of Prometheus'")
    return feed
