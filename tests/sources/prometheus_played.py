"""A Prometheus that holds series and answers selectors over them, without sockets or time."""

import asyncio
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import aiohttp

from scaler.sources.access import Tls
from scaler.sources.prometheus import PrometheusSource
from scaler.sources.prometheus_answer import series_of_answer
from scaler.sources.prometheus_config import PrometheusConfig
from scaler.sources.prometheus_response import NoAnswerError
from scaler.sources.prometheus_session import translated
from scaler.sources.prometheus_transport import Transport
from scaler.sources.refused_time import RefusedTime
from scaler.sources.series import SampledSeries

_MATCHER = re.compile(r'(\w+)(=~|=)"((?:[^"\\]|\\.)*)"', re.DOTALL)
_WINDOW = re.compile(r"\[(\d+)ms\]$")
Answer = TypeVar("Answer")


@dataclass
class Series:
    """One series: its labels with its name, and its samples."""

    labels: dict[str, str]
    samples: list[tuple[float, float]]


@dataclass
class Store:
    """What it holds, how it fails, and what it was asked."""

    series: list[Series] = field(default_factory=list)
    refuses: Callable[[int], bool] = lambda _: False
    """Whether an answer of so many samples is refused as too large."""
    unreadable: set[str] = field(default_factory=set)
    """Models whose samples are no numbers."""
    down: aiohttp.ClientError | None = None
    """Raised in place of an answer."""
    asked: list[str] = field(default_factory=list)
    """Queries of a window."""
    looked_up: list[str] = field(default_factory=list)
    """Selectors of look-ups."""

    def matching(self, query: str) -> Iterator[Series]:
        matchers = [
            (label, sign, re.sub(r"\\(.)", _unescaped, value, flags=re.DOTALL))
            for label, sign, value in _MATCHER.findall(query)
        ]
        for one in self.series:
            if all(_holds(one.labels.get(label, ""), sign, v) for label, sign, v in matchers):
                yield one

    def answer(self, query: str, now_seconds: float) -> list[dict[str, Any]]:
        self.asked.append(query)
        window = _WINDOW.search(query)
        assert window is not None
        begin = now_seconds - int(window[1]) / 1000
        found: list[dict[str, Any]] = []
        for one in self.matching(query):
            within = [[at, str(v)] for at, v in one.samples if begin <= at <= now_seconds]
            if within and one.labels.get("model_name") in self.unreadable:
                within = [[within[0][0], "one"]]
            if within:
                found.append({"metric": dict(one.labels), "values": within})
        return found


def _unescaped(match: re.Match[str]) -> str:
    return "\n" if match[1] == "n" else match[1]


def _holds(value: str, sign: str, wanted: str) -> bool:
    return value == wanted if sign == "=" else re.fullmatch(wanted, value) is not None


class PlayedPrometheus(PrometheusSource):
    """A source that reads a store in its caller's thread."""

    def __init__(self, store: Store, **settings: Any) -> None:
        settings = {"timeout_seconds": 5, "concurrency": 1} | settings
        super().__init__(PrometheusConfig(name="main", url="http://played", **settings))
        self._store = store
        self._played = Transport(
            Tls(), body_bytes_max=2**20, owner="main", refused_time=RefusedTime()
        )

    async def run(self, work: Callable[[], Answer], namespace: str | None = None) -> Answer:
        loop = asyncio.get_running_loop()
        return self._played.bound(work, loop, float("inf"), namespace)()

    def window(self, query: str, *, now_seconds: float) -> list[SampledSeries]:
        with translated("main", "http://played"):
            if self._store.down is not None:
                raise self._store.down
            answer = json.loads(json.dumps(self._store.answer(query, now_seconds)))
            if self._store.refuses(sum(len(one["values"]) for one in answer)):
                raise NoAnswerError("an answer of over 7 values")
            return list(series_of_answer(answer))

    def label_values(self, label: str, query: str, *, start_seconds: float) -> Sequence[str]:
        self._store.looked_up.append(query)
        values = (one.labels.get(label, "") for one in self._store.matching(query))
        return sorted({value for value in values if value})
