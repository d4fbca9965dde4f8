"""The cost of one cluster by reason, and of its models' tokens, over readings and restarts."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fleet.account.gpu_hours import GAP_SECONDS, Cost, Costs, GpuHours
from fleet.reasons import Reason
from fleet.snapshot import FleetSnapshot
from fleet.tokens import MODELS_MAX, Tokens

_MILLION = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCost:
    """What the pods of a model cost, and their tokens, in a time in which both are known."""

    usd: float = 0.0
    tokens: Tokens = field(default_factory=Tokens)

    def __add__(self, other: "TokenCost") -> "TokenCost":
        """Both together."""
        return TokenCost(usd=self.usd + other.usd, tokens=self.tokens + other.tokens)

    @property
    def usd_per_million_generated(self) -> float | None:
        """None = it generated nothing."""
        return _per_million(self.usd, self.tokens.generated)

    @property
    def usd_per_million(self) -> float | None:
        """Of prompt and generated tokens together; None = there were none."""
        return _per_million(self.usd, self.tokens.generated + self.tokens.prompt)


@dataclass(frozen=True, slots=True, kw_only=True)
class CostBook:
    """Of one cluster until its last reading."""

    gpu_hours: GpuHours = field(default_factory=GpuHours)
    models: Mapping[str, TokenCost] = field(default_factory=dict)
    starting_usd: Mapping[str, float] = field(default_factory=dict)
    """Dollars of models that have only loaded so far, which count from their first tokens on;
    not kept in its bytes."""

    def read(
        self,
        snapshot: FleetSnapshot,
        now_seconds: float,
        *,
        planned: Mapping[str, Reason] | None = None,
        tokens: Mapping[str, Tokens] | None = None,
    ) -> "CostBook":
        """With the time since the last reading added, and this reading's reasons from now on.

        Args:
            snapshot: what was read.
            now_seconds: when.
            planned: why a plan keeps empty nodes, by the name of the NodeClaim, else of the node.
            tokens: of each model since the last reading; a model that is left out has made none
                while all its pods loaded, else it is unknown. None = all are unknown.
        """
        before = self.gpu_hours
        since = now_seconds - (now_seconds if before.at_seconds is None else before.at_seconds)
        models, starting = dict(self.models), dict(self.starting_usd)
        # Of a longer time the dollars of a model are not known.
        if tokens is not None and 0 < since <= GAP_SECONDS:
            none = dict.fromkeys(_loading(before.hourly), Tokens())
            for model, cost in token_costs(before.hourly, since, none | {**tokens}).items():
                if model not in models and model not in tokens:
                    if model in starting or len(starting) < MODELS_MAX:
                        starting[model] = starting.get(model, 0.0) + cost.usd
                elif model in models or len(models) < MODELS_MAX:
                    begun = TokenCost(usd=starting.pop(model, 0.0))
                    models[model] = models.get(model, begun) + cost
        hours = before.read(snapshot, now_seconds, planned)
        return CostBook(gpu_hours=hours, models=models, starting_usd=starting)


def _loading(hourly: Costs) -> Iterable[str]:
    """Models of which no pod is ready: they have no tokens yet."""
    reasons: dict[str, set[Reason]] = defaultdict(set)
    for series in hourly:
        if series.model is not None:
            reasons[series.model].add(series.reason)
    return (model for model, every in reasons.items() if every == {Reason.VETO})


def token_costs(
    hourly: Costs, seconds: float, tokens: Mapping[str, Tokens]
) -> Mapping[str, TokenCost]:
    """What the tokens of each model cost; none of a model of which a part has no price.

    Args:
        hourly: what an hour costs.
        seconds: in which the tokens were counted.
        tokens: by model.
    """
    of_models: dict[str | None, Cost] = defaultdict(Cost)
    for series, cost in hourly.items():
        of_models[series.model] += cost
    return {
        model: TokenCost(usd=of_models[model].usd * seconds / 3600, tokens=count)
        for model, count in tokens.items()
        if model in of_models and not of_models[model].unpriced_gpu_hours
    }


def _per_million(usd: float, tokens: float) -> float | None:
    return usd * _MILLION / tokens if tokens > 0 else None
