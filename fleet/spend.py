"""Dollars and tokens that a LiteLLM proxy booked, by model, team and key, from a Prometheus.

The dollars are those of the proxy's prices: what clients are charged, or what a provider takes.
They are no part of what GPUs cost, and stand beside it. A client without a series is left out, and
is not 0.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from fleet.documents import Json, number_of, part, text

CLIENTS_MAX: Final = 512
"""That are kept apart; of further ones nothing is known."""
_LABELS: Final = "requested_model, team, team_alias, api_key_alias, hashed_api_key"
_TOKENS: Final = "litellm_total_tokens_metric_total"
_DOLLARS: Final = "litellm_spend_metric_total"
_KIND: Final = "spend_kind"
"""The label of an answer that tells tokens from dollars."""
_HASH_CHARACTERS: Final = 8
_MILLION: Final = 1e6
_UNSET: Final = "None"
"""LiteLLM's word in a label that is not set."""


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Client:
    """The sender of requests for a model; an empty team or key is not known."""

    model: str
    team: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend:
    """Of one client, in some time."""

    usd: float | None = None
    """None = not booked, as of a model that the proxy has no price for."""
    tokens: float = 0.0
    """Prompt and generated ones."""

    def __add__(self, other: "Spend") -> "Spend":
        """Both together."""
        known = [one.usd for one in (self, other) if one.usd is not None]
        return Spend(usd=sum(known) if known else None, tokens=self.tokens + other.tokens)

    def times(self, factor: float) -> "Spend":
        """So many times as much."""
        usd = None if self.usd is None else self.usd * factor
        return Spend(usd=usd, tokens=self.tokens * factor)

    @property
    def usd_per_million(self) -> float | None:
        """None where there were no tokens, or no dollars are known."""
        return None if self.usd is None or not self.tokens else self.usd / self.tokens * _MILLION


def query(window_seconds: float) -> str:
    """PromQL for `spend_of`: tokens and dollars of each client in a window until now.

    One query, because Prometheus extrapolates to its own moment: of two moments the price of a
    token would come out a little wrong.
    """
    parts = (
        f"sum by ({_LABELS}) (increase({series}[{window_seconds:.0f}s]))"
        for series in (_TOKENS, _DOLLARS)
    )
    return " or ".join(
        f'label_replace({one}, "{_KIND}", "{kind}", "", "")'
        for one, kind in zip(parts, ("tokens", "usd"), strict=True)
    )


def spend_of(answer: Iterable[Json]) -> Mapping[Client, Spend]:
    """The spend of each client; dollars without tokens are none of a client's.

    Args:
        answer: the `result` of the query.
    """
    every = [(_client(series), _kind(series), number_of(series)) for series in answer]
    found: dict[Client, Spend] = defaultdict(Spend)
    for client, kind, number in every:
        if client is None or number is None or kind != "tokens":
            continue
        if client in found or len(found) < CLIENTS_MAX:
            found[client] += Spend(tokens=number)
    for client, kind, number in every:
        if client is not None and client in found and number is not None and kind == "usd":
            found[client] += Spend(usd=number)
    return dict(found)


def _kind(series: Json) -> str | None:
    return text(part(series, "metric"), _KIND)


def _client(series: Json) -> Client | None:
    labels = part(series, "metric")

    def first(*names: str) -> str:
        values = (text(labels, name) for name in names)
        return next((value for value in values if value and value != _UNSET), "")

    model = first("requested_model")
    if not model:
        return None
    key = first("api_key_alias") or first("hashed_api_key")[:_HASH_CHARACTERS]
    return Client(model=model, team=first("team_alias", "team"), key=key)
