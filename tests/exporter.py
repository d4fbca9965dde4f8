"""A vLLM-shaped metrics page, served over HTTP in each of the spellings that reach a Prometheus.

The page is made by prometheus_client itself, so the renaming of `vllm:` to `vllm_` for a scraper
that asks for OpenMetrics is the library's, not ours.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

START = time.time()  # noqa: TID251 - counters grow with real time, the scraper is real


class WholeIntervals:
    """The time by which the counters of an engine have grown that a Prometheus scrapes.

    Prometheus books a scrape at a fixed time of each interval, and a busy core makes the page a
    part of an interval later: counters of the page's own time would have other rates.
    """

    def __init__(self, interval_seconds: float = 1.0) -> None:
        self._interval_seconds = interval_seconds
        self._first_page_at: float | None = None

    def __call__(self) -> float:
        now = time.time()  # noqa: TID251
        if self._first_page_at is None:
            self._first_page_at = now
        intervals = 1 + round((now - self._first_page_at) / self._interval_seconds)
        return intervals * self._interval_seconds


@dataclass(eq=False)  # a registry wants it hashable
class Engine:
    """What one vLLM pretends; change it while it is served."""

    model: str
    prefix: str = "vllm:"
    """`ray_vllm_` for an engine under Ray."""
    plain_text: bool = False
    """Serve the text format whatever is asked for, as exporters before OpenMetrics: colons stay."""
    kv_name: str = "kv_cache_usage_perc"
    waiting: float = 5
    deferred: float = 2
    running: float = 7
    kv_use: float = 0.25
    computed_per_second: float = 600
    cached_per_second: float = 400
    generated_per_second: float = 120
    requests_per_second: float = 2
    awake: bool = True
    dead: bool = False
    """No page is answered: a scrape fails, as at an address where nobody listens."""
    grown_seconds: Callable[[], float] = lambda: time.time() - START  # noqa: TID251
    """For how long its counters have grown."""
    # Cumulative share of first tokens at or below so many seconds: the 95th is at 0.75 s.
    ttft_shares: dict[str, float] = field(
        default_factory=lambda: {"0.1": 0.5, "0.5": 0.9, "1.0": 1.0, "+Inf": 1.0}
    )

    def collect(self) -> Iterable[Metric]:
        seconds = self.grown_seconds()
        yield self._gauge("num_requests_waiting", {}, self.waiting + self.deferred)
        by_reason = self._family(GaugeMetricFamily, "num_requests_waiting_by_reason", ["reason"])
        by_reason.add_metric([self.model, "0", "capacity"], self.waiting)
        by_reason.add_metric([self.model, "0", "deferred"], self.deferred)
        yield by_reason
        yield self._gauge("num_requests_running", {}, self.running)
        yield self._gauge(self.kv_name, {}, self.kv_use)
        yield self._gauge("engine_sleep_state", {"sleep_state": "awake"}, float(self.awake))
        by_source = self._family(CounterMetricFamily, "prompt_tokens_by_source", ["source"])
        by_source.add_metric([self.model, "0", "local_compute"], self.computed_per_second * seconds)
        by_source.add_metric([self.model, "0", "local_cache_hit"], self.cached_per_second * seconds)
        yield by_source
        prompt_per_second = self.computed_per_second + self.cached_per_second
        yield self._counter("prompt_tokens", {}, prompt_per_second * seconds)
        yield self._counter("generation_tokens", {}, self.generated_per_second * seconds)
        finished = self.requests_per_second * seconds
        yield self._counter("request_success", {"finished_reason": "stop"}, finished)
        ttft = self._family(HistogramMetricFamily, "time_to_first_token_seconds", [])
        buckets = [(bound, share * finished) for bound, share in self.ttft_shares.items()]
        ttft.add_metric([self.model, "0"], buckets, sum_value=finished)
        yield ttft

    def _family(self, kind, name: str, labels: list[str]):
        return kind(f"{self.prefix}{name}", name, labels=["model_name", "engine", *labels])

    def _gauge(self, name: str, labels: dict[str, str], value: float) -> Metric:
        return self._one(GaugeMetricFamily, name, labels, value)

    def _counter(self, name: str, labels: dict[str, str], value: float) -> Metric:
        return self._one(CounterMetricFamily, name, labels, value)

    def _one(self, kind, name: str, labels: dict[str, str], value: float) -> Metric:
        family = self._family(kind, name, list(labels))
        family.add_metric([self.model, "0", *labels.values()], value)
        return family


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """A line per scrape helps nobody."""


class Exporter:
    """Serves one engine on a port of its own, in a thread, until stopped."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        registry = CollectorRegistry()
        registry.register(engine)
        self._pages = make_wsgi_app(registry)
        self._server = make_server("127.0.0.1", 0, self._answer, handler_class=_Quiet)
        self.address = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def _answer(self, environ, start_response):
        if self.engine.dead:
            start_response("503 Service Unavailable", [])
            return []
        if self.engine.plain_text:
            environ["HTTP_ACCEPT"] = "text/plain;version=0.0.4"
        return self._pages(environ, start_response)

    def stop(self) -> None:
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()


@contextmanager
def served(*engines: Engine) -> Iterator[list[Exporter]]:
    exporters = [Exporter(engine) for engine in engines]
    try:
        yield exporters
    finally:
        for exporter in exporters:
            exporter.stop()
