"""The fleet's /metrics as vLLM 0.33 writes them, one page a replica.

Only what Foresail and the rules of others read is on the page; names, labels and bucket edges are
those of a recorded vLLM. A replica that starts has no page: nothing listens there yet. One that
drains still has its own. The shared queue of `engine` shows on the ready replicas in equal parts,
because with vLLM there is no other place where a queue could show.

Names and labels never change during a run, so they are spelled once and only values are made anew.
"""

from itertools import accumulate
from typing import NamedTuple

from replay.counters import ITL_EDGES_SECONDS, TTFT_EDGES_SECONDS
from replay.engine import Engine
from replay.traffic import Floats

Labels = tuple[tuple[str, str], ...]
_BLOCK_TOKENS = 16
_SLEEP_STATES = ("awake", "weights_offloaded", "discard_all")
_FINISHED_REASONS = ("stop", "length", "abort", "error", "repetition")
_PROMPT_SOURCES = ("local_compute", "local_cache_hit", "external_kv_transfer")


class Sample(NamedTuple):
    """One line of a page."""

    name: str
    labels: Labels
    value: float


class _Family(NamedTuple):
    name: str
    kind: str
    lines: tuple[tuple[str, Labels], ...]


class Exposition:
    """Pages for one served model."""

    def __init__(self, model_name: str, *, kv_tokens_max: int) -> None:
        families = _families((("engine", "0"), ("model_name", model_name)), kv_tokens_max)
        self._names: list[tuple[str, Labels]] = []
        self._heads: list[str] = []
        for family in families:
            head = f"# TYPE {family.name} {family.kind}\n"
            for name, labels in family.lines:
                self._names.append((name, labels))
                self._heads.append(f"{head}{name}{_braces(labels)} ")
                head = ""

    def values(self, engine: Engine, row: int, *, waiting: int) -> tuple[float, ...]:
        """Values of one replica's page in the order of its lines."""
        counters = engine.counters
        prompt = float(counters.prompt_tokens[row])
        cached = prompt * engine.profile.prefix_hit_ratio
        return (
            float(engine.streams[row]),
            float(waiting),
            *(float(waiting), 0.0),
            *(1.0, 0.0, 0.0),
            float(engine.kv_use_ratio[row]),
            1.0,
            float(counters.preempted[row]),
            prompt,
            *(prompt - cached, cached, 0.0),
            float(counters.generated_tokens[row]),
            *(float(counters.finished[row]), 0.0, float(counters.aborted[row]), 0.0, 0.0),
            *_histogram(counters.ttft_buckets[row], float(counters.ttft_seconds[row])),
            *_histogram(counters.itl_buckets[row], float(counters.itl_seconds[row])),
        )

    def samples(self, values: tuple[float, ...]) -> tuple[Sample, ...]:
        """The page without text, for readers that would only parse it again."""
        return tuple(
            Sample(name, labels, value)
            for (name, labels), value in zip(self._names, values, strict=True)
        )

    def text(self, values: tuple[float, ...]) -> str:
        """The page as text/plain;version=0.0.4."""
        pairs = zip(self._heads, values, strict=True)
        return "".join([f"{head}{value!r}\n" for head, value in pairs])


def _families(common: Labels, kv_tokens_max: int) -> tuple[_Family, ...]:
    def plain(name: str, kind: str) -> _Family:
        return _Family(name, kind, ((name, common),))

    def by(name: str, kind: str, label: str, values: tuple[str, ...]) -> _Family:
        lines = tuple((name, tuple(sorted((*common, (label, value))))) for value in values)
        return _Family(name, kind, lines)

    def histogram(name: str, edges: tuple[float, ...]) -> _Family:
        edge_names = (*(repr(edge) for edge in edges), "+Inf")
        buckets = by(f"{name}_bucket", "histogram", "le", edge_names).lines
        totals = ((f"{name}_count", common), (f"{name}_sum", common))
        return _Family(name, "histogram", (*buckets, *totals))

    waiting_reasons = ("capacity", "deferred")
    return (
        plain("vllm:num_requests_running", "gauge"),
        plain("vllm:num_requests_waiting", "gauge"),
        by("vllm:num_requests_waiting_by_reason", "gauge", "reason", waiting_reasons),
        by("vllm:engine_sleep_state", "gauge", "sleep_state", _SLEEP_STATES),
        plain("vllm:kv_cache_usage_perc", "gauge"),
        _Family(
            "vllm:cache_config_info",
            "gauge",
            (("vllm:cache_config_info", _cache_config(kv_tokens_max)),),
        ),
        plain("vllm:num_preemptions_total", "counter"),
        plain("vllm:prompt_tokens_total", "counter"),
        by("vllm:prompt_tokens_by_source_total", "counter", "source", _PROMPT_SOURCES),
        plain("vllm:generation_tokens_total", "counter"),
        by("vllm:request_success_total", "counter", "finished_reason", _FINISHED_REASONS),
        histogram("vllm:time_to_first_token_seconds", TTFT_EDGES_SECONDS),
        histogram("vllm:inter_token_latency_seconds", ITL_EDGES_SECONDS),
    )


def _cache_config(kv_tokens_max: int) -> Labels:
    """An information series: its labels say it all, and the model is not among them."""
    blocks = kv_tokens_max // _BLOCK_TOKENS
    return (("block_size", str(_BLOCK_TOKENS)), ("engine", "0"), ("num_gpu_blocks", str(blocks)))


def _braces(labels: Labels) -> str:
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels) + "}"


def _histogram(buckets: Floats, total_seconds: float) -> tuple[float, ...]:
    cumulative = tuple(accumulate(buckets.tolist()))
    return (*cumulative, cumulative[-1], total_seconds)
