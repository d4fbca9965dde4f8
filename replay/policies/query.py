"""The PromQL of autoscaling rules, answered from what a replay's metrics show.

A replay has no series, only the workload's totals (`Seen`), so a query is read and worked out on
those: a series a pod counts as spread evenly over the ready replicas. The part of PromQL that rules
are written in is understood: metrics of vLLM, `rate` and the `..._over_time` functions, `sum`,
`avg`, `max`, `min` and `count`, arithmetic, `or`, `vector`, `clamp_min`, `clamp_max`, and
`histogram_quantile` of the two latencies. A query with anything else is refused by name, never
guessed.
"""

import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil, floor, isfinite, nan
from operator import add, mul, sub, truediv
from typing import Final

from replay.policies.port import Seen
from scaler.durations import parse_duration
from scaler.errors import ForesailError
from scaler.sources.catalogue import load

_RATE_SECONDS: Final = 60.0
"""Over which the rates in `Seen` are taken already."""


class QueryError(ForesailError):
    """A query that cannot be replayed; the message names the part."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an expression comes to."""

    total: float
    """Over all pods; NaN where nothing was measured."""
    is_per_pod: bool = False
    """One series a pod, of which `total` is the sum."""


Node = Callable[[Seen], Answer]
Query = Callable[[Seen], float]

_GAUGES: Final[Mapping[str, Callable[[Seen], float]]] = {
    "num_requests_waiting": lambda seen: seen.waiting,
    "num_requests_waiting_by_reason": lambda seen: seen.waiting,
    "num_requests_running": lambda seen: seen.running,
    "kv_cache_usage_perc": lambda seen: seen.kv_use_ratio * seen.ready,
    "gpu_cache_usage_perc": lambda seen: seen.kv_use_ratio * seen.ready,
    "up": lambda seen: float(seen.ready),
}
_COUNTERS: Final[Mapping[str, Callable[[Seen], float]]] = {
    "request_success_total": lambda seen: seen.finished_per_second,
    "prompt_tokens_total": lambda seen: seen.prompt_tokens_per_second,
    "generation_tokens_total": lambda seen: seen.output_tokens_per_second,
}
_LATENCIES: Final[Mapping[str, Callable[[Seen], float | None]]] = {
    "time_to_first_token_seconds_bucket": lambda seen: seen.ttft_p90_seconds,
    "inter_token_latency_seconds_bucket": lambda seen: seen.itl_seconds,
    "time_per_output_token_seconds_bucket": lambda seen: seen.itl_seconds,
}
_PREFIX: Final = re.compile(r"^(ray_)?vllm[:_]")
_TOKEN: Final = re.compile(
    r"\s*(?:(?P<number>\d+\.?\d*(?:e[+-]?\d+)?)|(?P<name>[A-Za-z_][A-Za-z0-9_:]*)"
    r"|(?P<labels>\{[^}]*\})|(?P<range>\[[^\]]*\])|(?P<sign>[-+*/(),]))"
)
_MATCHER: Final = re.compile(r"""(?P<name>\w+)\s*(?:=~|!~|!=|=)\s*(?:"[^"]*"|'[^']*')""")
_OVER_TIME: Final[Mapping[str, Callable[[list[float]], float]]] = {
    "avg_over_time": lambda values: sum(values) / len(values),
    "max_over_time": max,
    "min_over_time": min,
    "last_over_time": lambda values: values[-1],
}
_MAPPED: Final[Mapping[str, Callable[[float], float]]] = {"ceil": ceil, "floor": floor, "abs": abs}
_AGGREGATES: Final = ("sum", "avg", "max", "min", "count")
_BY_POD: Final = re.compile(r"\b(pod|instance|kubernetes_pod_name)\b")


def gauge(name: str) -> Query:
    """The sum of a metric over all pods, by its name in vLLM or as an adapter spells it.

    Raises:
        QueryError: a replay knows no such metric.
    """
    read = _GAUGES.get(_PREFIX.sub("", name)) or _COUNTERS.get(_PREFIX.sub("", name))
    if read is None:
        raise QueryError(
            f"metric {name!r} is none that a replay knows: {', '.join(sorted(_known()))}"
        )
    return read


def compiled(text: str) -> Query:
    """A query as a function of what is seen. It remembers what its windows need.

    Raises:
        QueryError: it cannot be replayed.
    """
    node = _Parser(text).whole()

    def answer(seen: Seen) -> float:
        found = node(seen)
        # KEDA reads an empty answer, and what is no number, as 0 (ignoreNullValues).
        return found.total if isfinite(found.total) else 0.0

    return answer


def _known() -> list[str]:
    return [*_GAUGES, *_COUNTERS, *_LATENCIES]


class _Parser:
    """Recursive descent: `or`, then sums, then products, then signs."""

    def __init__(self, text: str) -> None:
        self._text = " ".join(text.split())
        self._tokens = self._split()

    def whole(self) -> Node:
        node = self._either()
        if self._tokens:
            raise self._fault(self._tokens[0][1])
        return node

    def _split(self) -> deque[tuple[str, str]]:
        found: deque[tuple[str, str]] = deque()
        at = 0
        while at < len(self._text):
            match = _TOKEN.match(self._text, at)
            if match is None or match.lastgroup is None:
                raise self._fault(self._text[at:].strip()[:20])
            found.append((match.lastgroup, match.group(match.lastgroup)))
            at = match.end()
        return found

    def _fault(self, part: str) -> QueryError:
        return QueryError(f"query {self._text!r}: {part!r} cannot be replayed")

    def _peek(self) -> tuple[str, str]:
        return self._tokens[0] if self._tokens else ("end", "the end")

    def _take(self, sign: str) -> bool:
        if self._peek()[1] == sign:
            self._tokens.popleft()
            return True
        return False

    def _expect(self, sign: str) -> None:
        if not self._take(sign):
            raise self._fault(self._peek()[1])

    def _either(self) -> Node:
        node = self._sum()
        while self._take("or"):
            node = _or(node, self._sum())
        return node

    def _sum(self) -> Node:
        node = self._product()
        while (sign := self._peek()[1]) in {"+", "-"}:
            self._tokens.popleft()
            node = _joined(add if sign == "+" else sub, node, self._product())
        return node

    def _product(self) -> Node:
        node = self._signed()
        while (sign := self._peek()[1]) in {"*", "/"}:
            self._tokens.popleft()
            node = _joined(mul if sign == "*" else truediv, node, self._signed())
        return node

    def _signed(self) -> Node:
        if self._take("-"):
            return _joined(sub, _number(0.0), self._signed())
        kind, part = self._peek()
        if kind == "number":
            self._tokens.popleft()
            return _number(float(part))
        if self._take("("):
            node = self._either()
            self._expect(")")
            return node
        if kind == "name":
            self._tokens.popleft()
            return self._named(part)
        raise self._fault(part)

    def _named(self, name: str) -> Node:
        if name in _AGGREGATES:
            return self._aggregate(name)
        if self._take("("):
            node = self._call(name)
            self._expect(")")
            return node
        return self._selector(name)

    def _aggregate(self, name: str) -> Node:
        per_pod = self._grouping()
        self._expect("(")
        node = self._either()
        self._expect(")")
        per_pod = self._grouping() or per_pod
        return node if per_pod else _aggregated(name, node)

    def _grouping(self) -> bool:
        """Whether a `by (...)` keeps the pods apart."""
        kind = self._peek()[1]
        if kind not in {"by", "without"}:
            return False
        self._tokens.popleft()
        self._expect("(")
        labels = []
        while not self._take(")"):
            labels.append(self._peek()[1])
            if not self._tokens:
                raise self._fault("the end")
            self._tokens.popleft()
        return kind == "by" and bool(_BY_POD.search(" ".join(labels)))

    def _call(self, name: str) -> Node:
        if name in {"rate", "irate", "increase"}:
            return self._rate(name)
        if name in _OVER_TIME:
            inner = self._inner()
            return _over(inner, self._window(), _OVER_TIME[name])
        if name == "histogram_quantile":
            return self._quantile()
        node = self._either()
        if name in {"vector", "scalar"}:
            return node
        if name in _MAPPED:
            return _mapped(node, _MAPPED[name])
        if name in {"clamp_min", "clamp_max"}:
            self._expect(",")
            return _joined(max if name == "clamp_min" else min, node, self._either())
        raise self._fault(name)

    def _inner(self) -> Node:
        kind, name = self._peek()
        if kind != "name":
            raise self._fault(name)
        self._tokens.popleft()
        return self._selector(name)

    def _rate(self, name: str) -> Node:
        kind, metric = self._peek()
        read = _COUNTERS.get(_PREFIX.sub("", metric))
        if kind != "name" or read is None:
            raise self._fault(metric)
        self._tokens.popleft()
        self._labels()
        seconds = self._window()
        node = _over(_read(read), seconds - _RATE_SECONDS, _OVER_TIME["avg_over_time"])
        return node if name != "increase" else _joined(mul, node, _number(seconds))

    def _quantile(self) -> Node:
        """Of a latency, whatever the level: a replay keeps one percentile of each."""
        self._either()
        self._expect(",")
        read = None
        depth = 0
        while depth or self._peek()[1] != ")":
            if not self._tokens:
                raise self._fault("the end")
            _, part = self._tokens.popleft()
            depth += (part == "(") - (part == ")")
            read = _LATENCIES.get(_PREFIX.sub("", part)) or read
        if read is None:
            raise self._fault("histogram_quantile")
        found = read
        return lambda seen: Answer(nan if (value := found(seen)) is None else value)

    def _selector(self, name: str) -> Node:
        read = _GAUGES.get(_PREFIX.sub("", name))
        if read is None:
            raise self._fault(name)
        self._labels()
        return _read(read)

    def _labels(self) -> None:
        """Take matchers that select the workload: it alone is replayed, and each of its pods."""
        if self._peek()[0] != "labels":
            return
        _, matchers = self._tokens.popleft()
        engine = load("vllm")
        # What tells parts of an engine's series from each other: `Seen` has their sums.
        parts = engine.own_labels - {engine.model_label, "engine"}
        part = next((one for one in _MATCHER.finditer(matchers) if one["name"] in parts), None)
        if part is not None:
            raise self._fault(part.group())

    def _window(self) -> float:
        kind, part = self._peek()
        seconds = parse_duration(part.strip("[]")) if kind == "range" else None
        if not isinstance(seconds, int | float):
            raise self._fault(part)
        self._tokens.popleft()
        return float(seconds)


def _number(value: float) -> Node:
    return lambda _seen: Answer(value)


def _read(read: Callable[[Seen], float]) -> Node:
    return lambda seen: Answer(read(seen), is_per_pod=True)


def _or(first: Node, second: Node) -> Node:
    def answer(seen: Seen) -> Answer:
        found = first(seen)
        return found if isfinite(found.total) else second(seen)

    return answer


def _mapped(node: Node, function: Callable[[float], float]) -> Node:
    def answer(seen: Seen) -> Answer:
        found = node(seen)
        each = _each(found, seen)
        value = function(each) if isfinite(each) else nan
        return Answer(value * _pods(found, seen), found.is_per_pod)

    return answer


def _joined(operation: Callable[[float, float], float], left: Node, right: Node) -> Node:
    """Pod by pod where one of the two has a series a pod."""

    def answer(seen: Seen) -> Answer:
        one, other = left(seen), right(seen)
        per_pod = one.is_per_pod or other.is_per_pod
        try:
            value = operation(_each(one, seen), _each(other, seen))
        except ZeroDivisionError:
            value = nan
        return Answer(value * (seen.ready if per_pod else 1), per_pod)

    return answer


def _aggregated(name: str, node: Node) -> Node:
    def answer(seen: Seen) -> Answer:
        found = node(seen)
        if name == "sum":
            return Answer(found.total)
        return Answer(_pods(found, seen) if name == "count" else _each(found, seen))

    return answer


def _over(node: Node, seconds: float, function: Callable[[list[float]], float]) -> Node:
    """A function of the answers of the last seconds."""
    kept: deque[tuple[float, float]] = deque()

    def answer(seen: Seen) -> Answer:
        found = node(seen)
        kept.append((seen.at_seconds, found.total))
        while kept[0][0] < seen.at_seconds - max(seconds, 0.0):
            kept.popleft()
        return Answer(function([value for _, value in kept]), found.is_per_pod)

    return answer


def _pods(found: Answer, seen: Seen) -> float:
    return float(seen.ready) if found.is_per_pod else 1.0


def _each(found: Answer, seen: Seen) -> float:
    if not found.is_per_pod:
        return found.total
    return found.total / seen.ready if seen.ready else nan
