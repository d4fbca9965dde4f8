"""What feeds have in common that one query reads, and each feed's part of the answer."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from scaler.scope import Scope
from scaler.sources.preset import Preset
from scaler.sources.prometheus_config import PrometheusConfig
from scaler.sources.selector import matchers, selector
from scaler.sources.series import SampledSeries


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """All that a query selects by, but the model.

    Equal for feeds that one query can read. It holds the namespace of the tenant and the labels of
    the trigger, so such feeds are one tenant's, and each label narrows the query for all of them.
    """

    namespace: str | None
    """Of the tenant, also where series have no namespace."""
    names: tuple[str, ...]
    """Of the series, in all their spellings."""
    equal: tuple[tuple[str, str], ...]
    """Label → value."""
    model_label: str
    by_model: bool
    """Whether it selects by the model too; if not, the reader does."""
    has_unlabelled: bool
    """Whether series without the model's label belong to every feed."""

    @classmethod
    def of(cls, preset: Preset, scope: Scope, config: PrometheusConfig) -> Self:
        """The selection of a feed.

        Raises:
            SourceMisconfiguredError: the scope cannot be asked for.
        """
        equal = matchers(
            preset, scope, namespace_label=config.namespace_label, labels=config.labels
        )
        by_model = equal.pop(preset.model_label, None) is not None
        return cls(
            namespace=scope.namespace,
            names=tuple(preset.spelled),
            equal=tuple(sorted(equal.items())),
            model_label=preset.model_label,
            by_model=by_model,
            has_unlabelled=preset.has_unlabelled,
        )

    def selector(self, scopes: Iterable[Scope], *, names: Iterable[str] | None = None) -> str:
        """PromQL for the series of the feeds with these scopes.

        Args:
            scopes: of feeds of this selection.
            names: of the series, if not all of them.
        """
        one_of: dict[str, tuple[str, ...]] = {}
        if self.by_model:
            models = tuple(scope.model for scope in scopes if scope.model is not None)
            one_of[self.model_label] = (*models, "") if self.has_unlabelled else models
        return selector(self.names if names is None else names, dict(self.equal), one_of=one_of)

    def split(
        self, answer: Iterable[SampledSeries], scopes: Sequence[Scope]
    ) -> list[list[SampledSeries]]:
        """The series of each of these feeds, in their order.

        Args:
            answer: to a query for all of them.
            scopes: of the feeds that were asked for.
        """
        found: list[list[SampledSeries]] = [[] for _ in scopes]
        by_model: dict[str | None, list[list[SampledSeries]]] = {}
        for scope, own in zip(scopes, found, strict=True):
            by_model.setdefault(scope.model, []).append(own)
        for series in answer:
            model = series.labels.get(self.model_label, "")
            of_all = not self.by_model or (self.has_unlabelled and not model)
            for own in found if of_all else by_model.get(model, ()):
                own.append(series)
        return found
