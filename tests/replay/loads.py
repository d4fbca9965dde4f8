"""Loads with known answers, for the tests of the engine."""

import numpy as np

from replay.engine import Engine
from replay.profile import EngineProfile
from replay.traffic import Requests


def steady(rate: float, seconds: int, *, prompt: int, output: int, seed: int = 0) -> Requests:
    """Poisson arrivals of one length."""
    generator = np.random.default_rng(seed)
    count = int(generator.poisson(rate * seconds))
    return Requests(
        arrival_seconds=np.sort(generator.random(count) * seconds),
        prompt_tokens=np.full(count, prompt),
        output_tokens=np.full(count, output),
    )


def even(rate: float, seconds: int, *, prompt: int, output: int) -> Requests:
    """Arrivals like clockwork."""
    arrivals = np.arange(int(rate * seconds)) / rate
    return Requests(
        arrival_seconds=arrivals,
        prompt_tokens=np.full(len(arrivals), prompt),
        output_tokens=np.full(len(arrivals), output),
    )


def exponential(rate: float, seconds: int, *, output: int, seed: int) -> Requests:
    """Poisson arrivals of exponential length, prompts of next to nothing."""
    generator = np.random.default_rng(seed)
    count = int(generator.poisson(rate * seconds))
    outputs = np.maximum(np.rint(generator.exponential(output, count)), 1)
    return Requests(
        arrival_seconds=np.sort(generator.random(count) * seconds),
        prompt_tokens=np.full(count, 10),
        output_tokens=outputs.astype(np.int64),
    )


def joined(*parts: Requests) -> Requests:
    """Several loads at once."""
    arrivals = np.concatenate([part.arrival_seconds for part in parts])
    order = np.argsort(arrivals, kind="stable")
    return Requests(
        arrival_seconds=arrivals[order],
        prompt_tokens=np.concatenate([part.prompt_tokens for part in parts])[order],
        output_tokens=np.concatenate([part.output_tokens for part in parts])[order],
    )


def started(
    profile: EngineProfile, requests: Requests, *, replicas: int, patience_seconds: int = 60
) -> Engine:
    """An engine with so many replicas ready from second 0 and room for as many again."""
    engine = Engine(profile, requests, rows=2 * replicas, patience_seconds=patience_seconds)
    for row in range(replicas):
        engine.open_row(row)
    return engine
