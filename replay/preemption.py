"""Streams that a full KV cache threw out, until they may go on: vLLM's pre-emption by recompute.

When running streams outgrow the cache, the engine frees all that the newest of them holds and puts
it at the head of the replica's own queue. It keeps the tokens it has, but its cache is gone: before
the next token, prompt and tokens so far pass through prefill again. No new request is admitted
before it.
"""

from collections import defaultdict, deque
from dataclasses import dataclass

import numpy as np

from replay.streams import Places, Streams
from replay.traffic import Tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Halted:
    """One stream without its cache."""

    request: int
    context_tokens: float
    """Prompt and tokens so far: what is computed again."""
    generated_tokens: float
    tokens_left: float


def thrown_out(
    seats: Streams, row: int, *, clock: float, prompt_tokens: Tokens, over_tokens: float
) -> tuple[Places, list[Halted]]:
    """The newest streams of a replica that free the overflow; its oldest always goes on.

    Args:
        prompt_tokens: of every request.
        over_tokens: what the replica holds beyond its cache.
    """
    places = seats.of_row(row)
    places = places[seats.first_clock[places] <= clock]
    places = places[np.argsort(-seats.first_clock[places], kind="stable")]
    generated = clock - seats.first_clock[places]
    context = prompt_tokens[seats.request[places]] + generated
    count = min(int(np.searchsorted(context.cumsum(), over_tokens)) + 1, len(places) - 1)
    places = places[: max(count, 0)]
    halted = [
        Halted(
            request=int(seats.request[place]),
            context_tokens=float(context[turn]),
            generated_tokens=float(generated[turn]),
            tokens_left=float(seats.last_clock[place] - clock),
        )
        for turn, place in enumerate(places.tolist())
    ]
    return places, halted


class Preemption:
    """The halted streams of every replica, the next to go on first."""

    def __init__(self) -> None:
        self._by_row: dict[int, deque[Halted]] = defaultdict(deque)

    def __bool__(self) -> bool:
        return any(self._by_row.values())

    @property
    def rows(self) -> list[int]:
        """Replicas that have any, in order."""
        return sorted(row for row, halted in self._by_row.items() if halted)

    def halt(self, row: int, stream: Halted) -> None:
        """To the head of the queue: of two, the older was thrown out later and goes on first."""
        self._by_row[row].appendleft(stream)

    def resuming(self, row: int, room_tokens: float) -> list[Halted]:
        """Those that fit now, in their order; taken off the queue."""
        queue, found = self._by_row[row], []
        while queue and queue[0].context_tokens <= room_tokens:
            found.append(queue.popleft())
            room_tokens -= found[-1].context_tokens
        return found

    def gone(self, row: int) -> list[int]:
        """Requests that go with their replica."""
        return [halted.request for halted in self._by_row.pop(row, ())]

    def count(self, row: int) -> int:
        return len(self._by_row[row]) if row in self._by_row else 0
