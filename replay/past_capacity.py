"""What one replica can do, learned from a past: the iteration-time model fitted to its minutes.

Two series tell enough. The seconds between tokens, summed over all requests of a second, are the
mean number of decoding streams k (Little's law); over the tokens of the same second they are the
mean iteration time T. In steady state

    T = a + b·k + c·KV tokens + d·(prompt tokens a second)·T

so the four coefficients are a linear fit. Where the mix of prompts and answers hardly varies, the
last three move together: their sum is known and their shares are not. A weak prior, the shares of
a usual engine, then decides the shares, and what one replica serves at that mix is still measured.

A thin function of values, so that another learner can take its place: `learned_replica`.
"""

from dataclasses import dataclass, fields, replace
from math import ceil

import numpy as np
from numpy.typing import NDArray

from replay.profile import QWEN3_32B_FP8_H100, EngineProfile, RequestMix, work_seconds
from replay.profile import capacity_requests_per_second as capacity
from replay.replay_input import USED_RATIO
from replay.traffic import Floats
from scaler.errors import ForesailError

Rows = NDArray[np.intp]
_USUAL = QWEN3_32B_FP8_H100
_STEPS_MIN = 30
_STREAMS_MIN = 0.2
"""Of a replica: below, a minute has too few tokens to time."""
_SMOOTHED_STEPS = 15
"""A request's tokens are counted over its whole life: lengths are means over a quarter hour."""
_BLOCK_STEPS = 60
_RESAMPLES = 60
_SHARES_SPREAD = 0.5
"""How far the shares of the work may be from the usual engine's, as a ratio: the prior's width."""
_KV_USE_MIN = 0.02
_QUEUED_STEPS_MIN = 5
_PLATEAU = 0.95
_SLOTS_USUAL = 256
"""vLLM's max_num_seqs where nothing else is set."""
_FULL_KV = 0.85


class UnknownCapacityError(ForesailError):
    """The past does not show what a replica can do; the message says what is missing."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PastLoad:
    """One row a minute, sums over the replicas; NaN where nothing is known."""

    replicas: Floats
    streams: Floats
    """Decoding, on average over the minute: seconds between tokens per second."""
    requests_per_second: Floats
    prompt_tokens_per_second: Floats
    generated_tokens_per_second: Floats
    running: Floats
    waiting: Floats
    kv_use_ratio: Floats
    """Mean over the replicas."""

    def at(self, places: Rows) -> "PastLoad":
        """Some of the rows."""
        return PastLoad(**{one.name: getattr(self, one.name)[places] for one in fields(self)})


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedReplica:
    """One replica, as the past shows it."""

    profile: EngineProfile
    mix: RequestMix
    requests_per_second: float
    """That it serves in time at that mix."""
    low: float
    """Of `requests_per_second`: a range that holds nine of ten resamples of the past's hours."""
    high: float
    busiest_ratio: float
    """The busiest ten minutes of a replica, over `requests_per_second`."""
    steps: int
    """Minutes that it was fitted to."""
    error_ratio: float
    """Of the fitted iteration time: the usual size of its error."""
    slots_seen: bool
    """Whether a queue showed the number of batch slots; else vLLM's default stands for it."""


def learned_replica(load: PastLoad, *, name: str, gpus: int, itl_seconds: float) -> LearnedReplica:
    """Fit one replica to a past.

    Args:
        itl_seconds: the objective, within which a replica is full.

    Raises:
        UnknownCapacityError: too few minutes, no latencies, or a replica that misses the objective
            with nothing to do.
    """
    rows = _usable(load)
    if len(rows) < _STEPS_MIN:
        raise UnknownCapacityError(
            f"{len(rows)} minutes show the time between tokens with a steady number of replicas;"
            f" {_STEPS_MIN} are needed"
        )
    features = _features(load, rows)
    mix = _mix(load, rows)
    slots, slots_seen = _slots(load)
    limits = replace(
        _USUAL,
        name=name,
        model_name=name,
        gpus=gpus,
        sequences_max=slots,
        kv_tokens_max=_kv_tokens(load, rows),
    )
    profile = _fitted(limits, features)
    if profile.fixed_seconds >= itl_seconds:
        raise UnknownCapacityError(
            f"with nothing to do a replica takes {profile.fixed_seconds * 1000:.0f} ms from one"
            f" token to the next, later than the objective of {itl_seconds * 1000:g} ms: set a"
            " later --itl"
        )
    full = USED_RATIO * capacity(profile, mix, itl_seconds=itl_seconds)
    resampled = _resampled(features, profile, mix, itl_seconds)
    each = load.requests_per_second[rows] / load.replicas[rows]
    return LearnedReplica(
        profile=profile,
        mix=mix,
        requests_per_second=full,
        low=float(np.quantile(resampled, 0.05)),
        high=float(np.quantile(resampled, 0.95)),
        busiest_ratio=float(_smoothed(each, 10).max() / full),
        steps=len(rows),
        error_ratio=_error_ratio(features, profile),
        slots_seen=slots_seen,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Features:
    """Of each usable minute and one replica."""

    iteration: Floats
    parts: Floats
    """Columns: streams, KV tokens, prompt tokens an iteration; each times the usual coefficient."""

    def take(self, places: Rows) -> "_Features":
        return _Features(iteration=self.iteration[places], parts=self.parts[places])


def _usable(load: PastLoad) -> Rows:
    """Minutes with tokens to time, and the same replicas before and after."""
    tokens = load.generated_tokens_per_second - load.requests_per_second
    steady = np.zeros(len(load.replicas), dtype=np.bool_)
    steady[1:-1] = (load.replicas[1:-1] == load.replicas[:-2]) & (
        load.replicas[1:-1] == load.replicas[2:]
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        busy = (load.streams / load.replicas > _STREAMS_MIN) & (tokens > 0)
    known = np.isfinite(load.prompt_tokens_per_second) & (load.requests_per_second > 0)
    found: Rows = np.flatnonzero(steady & busy & known)
    return found


def _features(load: PastLoad, rows: Rows) -> _Features:
    replicas = load.replicas[rows]
    streams = load.streams[rows] / replicas
    # A request's first token comes after its prompt, so it has no time between tokens.
    tokens = load.generated_tokens_per_second[rows] - load.requests_per_second[rows]
    iteration = load.streams[rows] / tokens
    prompt = load.prompt_tokens_per_second[rows] / replicas
    usual = (
        _USUAL.per_sequence_seconds,
        _USUAL.per_kv_token_seconds,
        _USUAL.per_prefill_token_seconds,
    )
    parts = np.stack((streams, streams * _context(load, rows), prompt * iteration), axis=1)
    return _Features(iteration=iteration, parts=parts * np.array(usual))


def _context(load: PastLoad, rows: Rows) -> Floats:
    """Tokens that a stream holds on average."""
    requests = _smoothed(load.requests_per_second[rows], _SMOOTHED_STEPS)
    prompt = _smoothed(load.prompt_tokens_per_second[rows], _SMOOTHED_STEPS)
    output = _smoothed(load.generated_tokens_per_second[rows], _SMOOTHED_STEPS)
    context: Floats = prompt / requests + output / requests / 2
    return context


def _fitted(limits: EngineProfile, features: _Features) -> EngineProfile:
    """With its four coefficients: first the size of the whole work, then its shares."""
    total = features.parts.sum(axis=1)
    fixed, size = np.linalg.lstsq(
        np.stack((np.ones_like(total), total), axis=1), features.iteration, rcond=None
    )[0]
    size = max(float(size), 1e-3)
    error = features.iteration - fixed - size * total
    weight = float(error.std()) / (_SHARES_SPREAD * size)
    rows = np.vstack(
        (
            np.column_stack((np.ones(len(total)), features.parts)),
            np.column_stack((np.zeros(3), weight * np.eye(3))),
        )
    )
    aims = np.concatenate((features.iteration, np.full(3, weight * size)))
    fixed, *sizes = np.linalg.lstsq(rows, aims, rcond=None)[0].tolist()
    shares = [max(one, 0.0) for one in sizes]
    return replace(
        limits,
        fixed_seconds=max(fixed, 1e-4),
        per_sequence_seconds=shares[0] * _USUAL.per_sequence_seconds,
        per_kv_token_seconds=shares[1] * _USUAL.per_kv_token_seconds,
        per_prefill_token_seconds=shares[2] * _USUAL.per_prefill_token_seconds,
    )


def _error_ratio(features: _Features, profile: EngineProfile) -> float:
    sizes = np.array(
        [
            profile.per_sequence_seconds / _USUAL.per_sequence_seconds,
            profile.per_kv_token_seconds / _USUAL.per_kv_token_seconds,
            profile.per_prefill_token_seconds / _USUAL.per_prefill_token_seconds,
        ]
    )
    made = profile.fixed_seconds + features.parts @ sizes
    return float(np.median(np.abs(made / features.iteration - 1)))


def _mix(load: PastLoad, rows: Rows) -> RequestMix:
    requests = load.requests_per_second[rows].sum()
    return RequestMix.constant(
        float(load.prompt_tokens_per_second[rows].sum() / requests),
        float(load.generated_tokens_per_second[rows].sum() / requests),
    )


def _kv_tokens(load: PastLoad, rows: Rows) -> int:
    """That fit the cache: those that streams hold, over the share in use."""
    held = load.running[rows] / load.replicas[rows] * _context(load, rows)
    use = load.kv_use_ratio[rows]
    known = np.isfinite(use) & (use > _KV_USE_MIN) & np.isfinite(held) & (held > 0)
    if not known.any():
        return _USUAL.kv_tokens_max
    return max(1, round(float(held[known].sum() / use[known].sum())))


def _slots(load: PastLoad) -> tuple[int, bool]:
    """Batch slots of a replica, where requests queued at the most streams ever seen.

    A queue below that is one of prompts that wait to be computed, or of replicas that start.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        each = load.running / load.replicas
        queued = (load.waiting >= load.replicas) & ~(load.kv_use_ratio > _FULL_KV)
    full = each[queued & np.isfinite(each)]
    if len(full) < _QUEUED_STEPS_MIN:
        return _SLOTS_USUAL, False
    slots = float(np.quantile(full, 0.9))
    if slots < _PLATEAU * float(each[np.isfinite(each)].max()):
        return _SLOTS_USUAL, False
    return max(1, ceil(slots)), True


def _resampled(
    features: _Features, profile: EngineProfile, mix: RequestMix, itl_seconds: float
) -> list[float]:
    """What a replica serves in time, from the past's hours drawn anew."""
    generator = np.random.default_rng(0)
    blocks = np.array_split(
        np.arange(len(features.iteration)), max(1, len(features.iteration) // _BLOCK_STEPS)
    )
    found = []
    for _ in range(_RESAMPLES):
        drawn = [blocks[place] for place in generator.integers(0, len(blocks), len(blocks))]
        other = _fitted(profile, features.take(np.concatenate(drawn)))
        if work_seconds(other, mix) > 0:
            found.append(USED_RATIO * capacity(other, mix, itl_seconds=itl_seconds))
    return found


def _smoothed(values: Floats, steps: int) -> Floats:
    """Running means over so many rows."""
    steps = min(steps, len(values))
    sums = np.concatenate(([0.0], np.nan_to_num(values).cumsum()))
    means = (sums[steps:] - sums[:-steps]) / steps
    padded: Floats = np.pad(means, (steps // 2, len(values) - len(means) - steps // 2), mode="edge")
    return padded
