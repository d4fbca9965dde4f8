"""Tokens and dollars of models, by programs that trace requests: LangFuse and LangSmith.

They know what clients sent to them, which may be a part of all requests, and the dollars of their
own price lists. A model that they do not know is left out, and is not 0.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from fleet.tokens import Tokens

MODELS_MAX: Final = 10_000
"""Of one meter that are kept apart; of further ones nothing is known."""
NAME_CHARACTERS_MAX: Final = 256
_NUMBER_MAX: Final = 1e15
_MILLION: Final = 1e6
_MILLISECONDS: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A time, in milliseconds, with both ends: meters count so."""

    begin_ms: int
    end_ms: int

    def halves(self) -> tuple["Window", "Window"]:
        """Both halves, of which no moment is in both."""
        middle = (self.begin_ms + self.end_ms) // 2
        return (
            Window(begin_ms=self.begin_ms, end_ms=middle),
            Window(begin_ms=middle + 1, end_ms=self.end_ms),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Metered:
    """Of one model, in some time."""

    tokens: Tokens = field(default_factory=Tokens)
    usd: float | None = None
    """None = the meter has no price for the model."""

    def __add__(self, other: "Metered") -> "Metered":
        """Both together; without a price of one of them, dollars of a part would stand for all."""
        usd = None if self.usd is None or other.usd is None else self.usd + other.usd
        return Metered(tokens=self.tokens + other.tokens, usd=usd)

    def times(self, factor: float) -> "Metered":
        """So many times as much."""
        usd = None if self.usd is None else self.usd * factor
        return Metered(tokens=self.tokens.times(factor), usd=usd)

    @property
    def all_tokens(self) -> float:
        return self.tokens.generated + self.tokens.prompt

    @property
    def usd_per_million(self) -> float | None:
        """None where no dollars are known."""
        return None if self.usd is None else self.usd / self.all_tokens * _MILLION


def metered(*, prompt: object, generated: object, total: object, usd: object) -> Metered | None:
    """What a meter says of a model; None = it counted no tokens, as of requests without usage.

    The total is larger than prompt and generated tokens where some have a kind of their own, such
    as those of a cached prompt.
    """
    of_prompt, made, every = (number(one) or 0.0 for one in (prompt, generated, total))
    of_prompt = max(of_prompt, every - made)
    if not of_prompt + made:
        return None
    # Both meters write 0 for a model without a price.
    return Metered(tokens=Tokens(prompt=of_prompt, generated=made), usd=number(usd) or None)


def number(value: object) -> float | None:
    """A number, or a text with one, as databases write large ones; None = neither, or below 0."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) and 0 <= found <= _NUMBER_MAX else None


def summed(every: Iterable[tuple[object, Metered | None]]) -> dict[str, Metered]:
    """The sum of each model that has a name and tokens."""
    found: dict[str, Metered] = {}
    for given, one in every:
        if not isinstance(given, str) or not given or one is None:
            continue
        name = given[:NAME_CHARACTERS_MAX]
        if name in found:
            found[name] += one
        elif len(found) < MODELS_MAX:
            found[name] = one
    return found


def by_label(found: Mapping[str, Metered], labels: Iterable[str]) -> Mapping[str, Metered]:
    """The same by the names that pods' labels give to models.

    A label has no slash, so `Qwen/Qwen3-32B` is the label `qwen3-32b` where one label is called so.
    """
    every = set(labels)
    also: dict[str, set[str]] = defaultdict(set)
    for label in every:
        also[label.casefold()].add(label)

    def label_of(name: str) -> str:
        alike = also.get(name.rpartition("/")[2].casefold(), set())
        return name if name in every or len(alike) != 1 else next(iter(alike))

    return summed((label_of(name), one) for name, one in found.items())


def moment(milliseconds: int) -> str:
    """A time as the APIs of meters write it."""
    at = datetime.fromtimestamp(milliseconds / _MILLISECONDS, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
