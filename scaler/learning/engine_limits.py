"""The limits of an engine beside its iteration time: batch slots, and what a queue showed.

Slots are a limit of their own: requests queue while the ITL is well within its limit and the cache
has room, and the running requests of a replica then are the slots. While no queue showed them,
replicas may be filled a quarter above what was seen, so that a guess is no trap.
"""

from dataclasses import dataclass
from typing import Final

from scaler.decision.need import KV_USE_MAX

FURTHER: Final = 1.25
"""How far above the most requests seen a replica may be planned while no limit showed."""
_HALF_LIFE_MINUTES: Final = 3 * 24 * 60.0
_FULL: Final = 0.9


@dataclass(slots=True, kw_only=True)
class EngineLimits:
    """Per replica."""

    running_max: float = 0.0
    """Most requests that ran without a queue; old ones count less."""
    slots: float = 0.0
    """Requests that ran while others waited though the ITL was within its limit; 0 = never seen."""
    context_tokens: float = 0.0
    """In the cache for a running request; 0 = never measured."""
    prompt_tokens: float = 0.0
    """Of one request, those that are computed; 0 = never measured."""
    kv_tokens: float = 0.0
    """That the cache of a replica holds; 0 = unknown."""
    queue_minutes: float = 0.0
    """Minutes in which a queue stood."""
    queue_prompt_tokens: float = 0.0
    """Prompt tokens a second while a queue stood, mean."""
    queue_generated_tokens: float = 0.0

    def take_running(self, running: float, *, queued: bool, paced: bool, minutes: float) -> None:
        """Account for the running requests of a replica.

        Args:
            queued: whether a queue stands.
            paced: whether the ITL is within its limit, and the cache has room.
        """
        self.running_max *= 0.5 ** (minutes / _HALF_LIFE_MINUTES)
        if queued and paced:
            share = min(1.0, minutes / 10) if self.slots else 1.0
            self.slots = max(running, self.slots + (running - self.slots) * share)
        elif not queued:
            self.running_max = max(self.running_max, running)
            if self.slots:
                self.slots = max(self.slots, running)

    def is_full(self, running: float, waiting: float) -> bool:
        """Whether about as many requests run, or wait, as ever ran without a queue.

        Where slots were made fewer, so many run no more. Prompts that a batch has room for and that
        wait to be computed are not so many.
        """
        return max(running, waiting) >= _FULL * self.running_max

    def take_queue(self, prompt: float, generated: float, *, minutes: float) -> None:
        """Account for the tokens a second that a replica served while a queue stood."""
        self.queue_minutes += minutes
        share = minutes / min(self.queue_minutes, 60.0)
        self.queue_prompt_tokens += (prompt - self.queue_prompt_tokens) * share
        self.queue_generated_tokens += (generated - self.queue_generated_tokens) * share

    def requests(self, given: float, at_limit: float) -> float:
        """Requests that a replica works on at a time.

        Args:
            given: by the trigger or the preset; what holds until the engine shows more.
            at_limit: running at the ITL's limit, beyond which slots do not matter.
        """
        most = self.slots or max(given, min(at_limit, FURTHER * self.running_max))
        # A cache that holds less than one request is no true figure.
        if self.context_tokens and self.kv_tokens >= self.context_tokens:
            most = min(most, KV_USE_MAX * self.kv_tokens / self.context_tokens)
        return max(most, 1.0)
