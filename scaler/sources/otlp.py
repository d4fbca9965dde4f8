"""Metrics that a collector or a process pushes over OTLP, as a source.

One thread unpacks and decodes requests, and rests after each for three times as long as it took. So
a flood takes a quarter of one core at most, and its senders are told to come again; looks read what
has arrived, and wait for nobody. As with a scrape, a rate takes two reports, and there is no past.
"""

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from time import perf_counter, thread_time
from typing import Final

from scaler.clock import Clock
from scaler.errors import SourceUnavailableError, alone
from scaler.limits import Limit, exceeded
from scaler.scope import Scope
from scaler.signals import Feed, Observation
from scaler.sources.look_threads import OneLook
from scaler.sources.otlp_point import Decoded, UndecodableError
from scaler.sources.otlp_series import SERIES_LABEL, PushedSeries
from scaler.sources.packing import in_parts, unpacked
from scaler.sources.page import listed
from scaler.sources.preset import Preset
from scaler.sources.reading import Limits, ObservationReader
from scaler.sources.selector import check_namespace, narrowing
from scaler.sources.series import Sample
from scaler.sources.source_shares import SourceShares

BODY_BYTES_MAX: Final = 4 * 2**20
"""Of one request, packed and unpacked; what a collector sends and takes at most by default."""
WAITING_BYTES_MAX: Final = 16 * 2**20
WAITING_MAX: Final = 64
"""Requests that wait for their turn."""
_REST: Final = 3.0
_GZIP_MAGIC: Final = b"\x1f\x8b"
"""No request in protobuf begins with these."""

Decode = Callable[[bytes], Decoded]


@dataclass(slots=True, eq=False)
class _Waiting:
    """A request until the thread takes it, or its sender gives it up."""

    body: bytes | None
    """None where it was given up: its place in the queue holds nothing then."""
    taken: Future[Decoded] = field(default_factory=Future)


class BusyError(Exception):
    """Too many requests wait; the sender shall come again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OtlpConfig:
    """What one receiver takes, and who may read it."""

    name: str
    """The operator's name for it, also in messages."""
    namespaces: frozenset[str] | None = None
    """Namespaces whose objects may read it; None means all."""
    limits: Limits = field(default_factory=Limits)
    waiting_max: int = WAITING_MAX
    waiting_bytes_max: int = WAITING_BYTES_MAX


class OtlpSource:
    """Feeds from one receiver's series."""

    def __init__(
        self,
        config: OtlpConfig,
        decode: Decode,
        presets: Mapping[str, Preset],
        clock: Clock,
        shares: SourceShares | None = None,
    ) -> None:
        """Begin without series.

        Args:
            decode: a body to its points.
            presets: whose series are kept.
            clock: Unix time.
            shares: of all sources of the process; None = its own.
        """
        self.config = config
        self.series = PushedSeries(
            frozenset(preset.model_label for preset in presets.values()),
            keep_seconds=config.limits.keep_seconds,
        )
        self.shares = SourceShares() if shares is None else shares
        self._has_own_shares = shares is None
        self._decode = decode
        self._clock = clock
        self._bodies: queue.Queue[_Waiting | None] = queue.Queue()
        self._waiting = self._waiting_bytes = 0
        self._closed = threading.Event()
        threading.Thread(target=self._run, name=f"otlp-in-{config.name}", daemon=True).start()

    async def take(self, body: bytes) -> Decoded:
        """Take the body of one request, packed with gzip or not; what was taken of it.

        Raises:
            BusyError: too many wait.
            UndecodableError: it is none, or too large.
        """
        if len(body) > BODY_BYTES_MAX:
            raise _too_large()
        too_many = self._waiting >= self.config.waiting_max
        if too_many or self._waiting_bytes + len(body) > self.config.waiting_bytes_max:
            exceeded(Limit.OTLP_WAITING)
            raise BusyError
        waiting = _Waiting(body)
        self._waiting += 1
        self._waiting_bytes += len(body)
        try:
            self._bodies.put_nowait(waiting)
            return await asyncio.wrap_future(waiting.taken)
        finally:
            waiting.taken.cancel()  # so that the thread passes over it
            waiting.body = None
            self._waiting -= 1
            self._waiting_bytes -= len(body)
            del waiting  # its error knows this frame: it would be a cycle that keeps the body

    def feed(self, *, preset: Preset, scope: Scope) -> Feed:
        """The feed of one workload.

        Raises:
            SourceMisconfiguredError: the scope cannot be asked for, or not by its namespace.
        """
        config = self.config
        check_namespace(scope, config.namespaces, source=config.name, setting="otlp.namespaces")
        return _OtlpFeed(self, preset, scope)

    async def close(self) -> None:
        self._closed.set()
        self._bodies.put_nowait(None)
        if self._has_own_shares:
            self.shares.close()

    def _run(self) -> None:
        while (item := self._bodies.get()) is not None:
            body, taken = item.body, item.taken
            if body is None or not taken.set_running_or_notify_cancel():
                continue
            began = perf_counter()
            try:
                taken.set_result(self._took(body))
            except BaseException as error:  # noqa: BLE001 - the caller gets it
                taken.set_exception(alone(error))
            self._closed.wait(_REST * (perf_counter() - began))

    def _took(self, body: bytes) -> Decoded:
        """Blocks."""
        if body.startswith(_GZIP_MAGIC):
            body = _unpacked(body)
        decoded = self._decode(body)
        rejected = self.series.take(decoded, now_seconds=self._clock())
        return replace(decoded, rejected=decoded.rejected + rejected)


def _unpacked(packed: bytes) -> bytes:
    body = bytearray()
    try:
        for part in unpacked(in_parts(packed)):
            body += part
            if len(body) > BODY_BYTES_MAX:
                raise _too_large()
    except UndecodableError:
        raise
    except ValueError as error:
        raise UndecodableError(f"the body is {error} gzip") from error
    return bytes(body)


def _too_large() -> UndecodableError:
    exceeded(Limit.OTLP_BYTES)
    return UndecodableError(f"a body of over {BODY_BYTES_MAX} bytes: send smaller batches")


class _OtlpFeed:
    def __init__(self, source: OtlpSource, preset: Preset, scope: Scope) -> None:
        self._source = source
        self._preset = preset
        self._model = scope.model
        self._required = narrowing(scope, {preset.model_label: "the model"}).items()
        limits = source.config.limits
        room = source.shares.room(
            scope, source=source.config.name, keep_seconds=limits.keep_seconds
        )
        self._reader = ObservationReader(preset, model=scope.model, limits=limits, room=room)
        self._namespace = scope.namespace
        self._look = OneLook(
            source.shares.threads, "samples", namespace=scope.namespace, source=source.config.name
        )

    async def observe(self, *, now_seconds: float) -> Observation:
        name = self._source.config.name
        if not self._source.series.heard:
            raise SourceUnavailableError(
                f"source {name!r}: nothing was received since Foresail started"
            )
        loop, spent = asyncio.get_running_loop(), self._source.shares.page_time
        spent.check(self._namespace, source=f"source {name!r}", now_seconds=loop.time())
        self._look.refuse_while_busy()

        def charged() -> Observation:
            begun = thread_time()
            try:
                return self._observe(now_seconds)
            finally:
                took = thread_time() - begun
                spent.add(self._namespace, took, 0, now_seconds=loop.time())

        return await self._look.made(charged)

    def _observe(self, now_seconds: float) -> Observation:
        """Blocks."""
        samples = [
            self._labelled(sample)
            for sample in self._source.series.samples(self._preset.model_label, self._model)
            if all(sample.labels.get(label, "") == value for label, value in self._required)
        ]
        observation = self._reader.observe(samples, now_seconds=now_seconds)
        if samples:
            return observation
        models = self._source.series.models(self._preset.model_label)
        known = listed(models) if models else "no model"
        remark = f"source {self._source.config.name!r} has series of {known}"
        return replace(observation, remarks=(*observation.remarks, remark))

    def _labelled(self, sample: Sample) -> Sample:
        """The sample without the label of a series, where the preset does not count it."""
        if SERIES_LABEL in self._preset.series_labels:
            return sample
        labels = {key: value for key, value in sample.labels.items() if key != SERIES_LABEL}
        return replace(sample, labels=labels)

    async def history(
        self, *, start_seconds: float, end_seconds: float, step_seconds: float
    ) -> AsyncIterator[Observation]:
        """Yields nothing: what was pushed has no past."""
        past: tuple[Observation, ...] = ()
        for observation in past:
            yield observation
