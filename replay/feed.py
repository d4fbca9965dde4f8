"""A world as a metrics source: the scaler reads its pages as it would read real pods.

What the pages say goes through the shipped preset and reader, samples, counters and all. The past
is the input's, as a range query over the days before would have shown it.
"""

from collections.abc import AsyncIterator, Iterator

import numpy as np

from replay.generated_day import PAST_STEP_SECONDS
from replay.world import World
from scaler.signals import Observation, Reading, Signal, Value
from scaler.sources.catalogue import load
from scaler.sources.reading import ObservationReader
from scaler.sources.series import Sample


class WorldFeed:
    """One world's workload, second 0 at `epoch_seconds` of Unix time."""

    def __init__(self, world: World, *, epoch_seconds: float) -> None:
        self._world = world
        self._epoch_seconds = epoch_seconds
        self._reader = ObservationReader(
            load("vllm"), model=world.replay_input.platform.profile.model_name
        )

    async def observe(self, *, now_seconds: float) -> Observation:
        return self._reader.observe(self._samples(now_seconds), now_seconds=now_seconds)

    def _samples(self, at_seconds: float) -> Iterator[Sample]:
        for pod, lines in self._world.samples().items():
            for line in lines:
                labels = {**dict(line.labels), "pod": pod}
                yield Sample(name=line.name, labels=labels, value=line.value, at_seconds=at_seconds)

    async def history(
        self, *, start_seconds: float, end_seconds: float, step_seconds: float
    ) -> AsyncIterator[Observation]:
        """Rates of the days before, and the streams they kept running by Little's law."""
        past = self._world.replay_input.past
        if step_seconds != PAST_STEP_SECONDS:
            raise ValueError(f"the past has steps of {PAST_STEP_SECONDS} s, not {step_seconds:g} s")
        profile = self._world.replay_input.platform.profile
        # An engine at moderate load; what was in flight then is nowhere recorded.
        seconds_per_token = 2 * profile.fixed_seconds
        rows = zip(
            past.at_seconds + self._epoch_seconds,
            past.prompt_tokens_per_second,
            past.generated_tokens_per_second,
            past.requests_per_second,
            strict=True,
        )
        for at, prompt, generated, requests in rows:
            if not start_seconds <= at <= end_seconds:
                continue
            amounts = {
                Signal.PROMPT_TOKENS: prompt,
                Signal.GENERATED_TOKENS: generated,
                Signal.REQUESTS: requests,
                Signal.RUNNING: np.float64(generated * seconds_per_token),
                Signal.WAITING: np.float64(0.0),
            }
            readings: dict[Signal, Reading] = {
                signal: Value(value=float(amount), at_seconds=float(at))
                for signal, amount in amounts.items()
            }
            yield Observation(at_seconds=float(at), readings=readings)
