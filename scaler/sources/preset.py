"""What an engine preset is: which series of which engine means which signal."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from functools import cached_property
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fleet.series_names import spellings
from scaler.signals import Signal


class Kind(StrEnum):
    """The kind of a series, which decides how a number is made from it."""

    GAUGE = "gauge"
    """The newest sample."""
    COUNTER = "counter"
    """Its increase per second over the reading window."""
    HISTOGRAM_SUM = "histogram_sum"
    """The increase per second of its `_sum`: of a histogram of token counts, tokens per second."""
    HISTOGRAM = "histogram"
    """The 95th percentile of the observations in the reading window, from its `_bucket`s; with its
    `_sum`, their mean too."""
    HISTOGRAM_MEAN = "histogram_mean"
    """Of a histogram its `_count` and `_sum` alone: their mean, from two series, not twenty."""
    LABELS = "labels"
    """The product of some of its labels, which hold numbers."""


class Combine(StrEnum):
    """The way to combine the series of all replicas into one number."""

    SUM = "sum"
    MEAN = "mean"
    MAX = "max"
    COUNT = "count"
    """How many exporters have the series, asleep ones left out."""
    EXPORTER_MEAN = "exporter_mean"
    """The sum at each exporter, and the mean over exporters: a rank of several has a part of it."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MetricSeries(_Record):
    """One series an engine exports, by the name in the engine's own source."""

    name: str = Field(pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*$")
    kind: Kind = Kind.GAUGE
    labels: Mapping[str, tuple[str, ...]] = {}
    """Only series whose label has one of these values; "" is a label that is not there."""
    label_min: Mapping[str, float] = {}
    """Only series whose label is no number below this; a label that is not there is none."""
    less: str | None = None
    """A series of the same kind that is taken off: prompt tokens less cached ones."""
    by_model: bool = True
    """Whether it carries the model label. Series of a pool do not and are read unfiltered."""
    of_model: bool = False
    """Carries no model label, and counts at exporters that have series of the model."""
    unless: str | None = None
    """Another series, of any model, that counts the same better: not read beside it."""
    factors: tuple[str, ...] = ()
    """Of kind `labels`: the labels to multiply."""
    since: str | None = None
    until: str | None = None
    """Versions of the engine that added and removed it; documentation only."""

    @property
    def exposed_name(self) -> str:
        return self.name + _EXPOSED_SUFFIX[self.kind]

    @property
    def exposed_sum(self) -> str | None:
        """The series with the sum of a histogram's observations."""
        return f"{self.name}_sum" if self.kind in HISTOGRAMS else None

    @property
    def exposed_less(self) -> str | None:
        return None if self.less is None else self.less + _EXPOSED_SUFFIX[self.kind]


_EXPOSED_SUFFIX: Final = {
    Kind.GAUGE: "",
    Kind.COUNTER: "",
    Kind.HISTOGRAM_SUM: "_sum",
    Kind.HISTOGRAM: "_bucket",
    Kind.HISTOGRAM_MEAN: "_count",
    Kind.LABELS: "",
}
HISTOGRAMS: Final = frozenset({Kind.HISTOGRAM, Kind.HISTOGRAM_MEAN})
"""Read as latencies."""


class Zero(_Record):
    """A missing series means zero while this other one, of the same exporter, is fresh.

    Only for a series that an engine exports after its first event. A series that is always
    exported and missing was renamed, and a rename read as zero would scale down a loaded pool.
    """

    name: str
    by_model: bool = True


class SignalRule(_Record):
    """The rule by which one canonical signal is read."""

    combine: Combine = Combine.SUM
    series: tuple[MetricSeries, ...] = Field(min_length=1)
    """In order of preference; each exporter is read by the first one that has a value."""
    zero_while: tuple[Zero, ...] = ()

    @model_validator(mode="after")
    def _combines(self) -> Self:
        histograms = {series.kind in HISTOGRAMS for series in self.series}
        if len(histograms) > 1:
            raise ValueError("a signal is read from histograms or from other series, not from both")
        return self


class Asleep(_Record):
    """The gauge of an engine that is loaded but serves nothing and is no capacity."""

    name: str
    labels: Mapping[str, tuple[str, ...]] = {}
    equals: float


class Condition(_Record):
    """A gauge compared with a number; of several series the largest counts."""

    name: str
    labels: Mapping[str, tuple[str, ...]] = {}
    above: float | None = None
    equals: float | None = None

    @model_validator(mode="after")
    def _compares_once(self) -> Self:
        if (self.above is None) == (self.equals is None):
            raise ValueError(f"{self.name}: exactly one of `above` and `equals`")
        return self


class Distrust(_Record):
    """Signals taken as absent while all conditions hold: the exporter then reports wrong values."""

    when: tuple[Condition, ...] = Field(min_length=1)
    signals: frozenset[Signal]
    why: str


class Starts(_Record):
    """The histogram of how long starts took, one for each value of a label."""

    name: str
    by: str
    """The label."""


class ReplicaPrior(_Record):
    """The default capacity of one replica: coarse, to be replaced by a measurement."""

    prompt_tokens_per_second: float = Field(gt=0)
    generated_tokens_per_second: float = Field(gt=0)
    concurrent_requests: float = Field(gt=0)
    why: str


class Identity(_Record):
    """The labels that tell one exporter from another; the first present label of each list counts.

    `exported_` comes first: a scraper without `honor_labels`, such as federation, renames the
    exporter's own label to that and adds its own label.
    """

    place: tuple[tuple[str, ...], ...] = (
        ("cluster",),
        ("exported_namespace", "namespace", "kubernetes_namespace"),
    )
    pod: tuple[str, ...] = ("exported_pod", "pod", "kubernetes_pod_name", "pod_name")
    instance: tuple[str, ...] = ("exported_instance", "instance")
    worker: tuple[str, ...] = ()
    """All of these belong to the identity: several exporters behind one scraped address."""


class Preset(_Record):
    """One engine."""

    engine: str
    about: str
    read_at: str
    """The engine's version whose exposition this file was written from."""
    model_label: str
    series_labels: frozenset[str]
    """Labels that the engine itself puts on a series to tell it from its others. All other
    labels (job, endpoint, an HA pair's replica label) were added on the way; ignored here."""
    identity: Identity = Identity()
    survives_zero: bool
    """Whether it reports with no replica left; if not, nothing can wake the workload."""
    signals: Mapping[Signal, SignalRule]
    starts: Starts | None = None
    asleep: Asleep | None = None
    distrust: tuple[Distrust, ...] = ()
    replica_prior: ReplicaPrior | None = None
    """None of a gateway that is read beside an engine alone."""

    @cached_property
    def own_labels(self) -> frozenset[str]:
        return self.series_labels | {self.model_label}

    @cached_property
    def spelled(self) -> Mapping[str, str]:
        """Every spelling of every exposed series this preset reads → the engine's own name."""
        return {
            spelling: name for name in sorted(set(self._exposed())) for spelling in spellings(name)
        }

    @cached_property
    def counters(self) -> frozenset[str]:
        """The engine's own names of the series that only grow, such as buckets."""
        series = [one for rule in self.signals.values() for one in rule.series]
        growing = [one for one in series if one.kind is not Kind.GAUGE]
        names = {name for one in growing for name in (one.exposed_name, one.exposed_less)}
        return frozenset(name for name in names if name is not None)

    @cached_property
    def all_by_model(self) -> bool:
        """Whether every series that is read carries the model label."""
        series = [each for rule in self.signals.values() for each in rule.series]
        return not self.distrust and all(each.by_model or each.of_model for each in series)

    @cached_property
    def has_unlabelled(self) -> bool:
        """Whether some series of the model's exporters lack the model label."""
        return any(each.of_model for rule in self.signals.values() for each in rule.series)

    def without_buckets(self) -> "Preset":
        """The preset without buckets, which are four of five series.

        Of the time between tokens the mean stays, from which capacity is learned.
        """
        signals = {
            signal: rule
            for signal, rule in self.signals.items()
            if rule.series[0].kind is not Kind.HISTOGRAM
        }
        itl = self.signals.get(Signal.ITL)
        if itl is not None and itl.series[0].kind is Kind.HISTOGRAM:
            means = tuple(
                each.model_copy(update={"kind": Kind.HISTOGRAM_MEAN}) for each in itl.series
            )
            signals[Signal.ITL] = itl.model_copy(update={"series": means})
        fields = {name: getattr(self, name) for name in Preset.model_fields}
        return Preset.model_validate({**fields, "signals": signals})

    def with_latency_sums(self) -> "Preset":
        """The preset whose latencies are the seconds that requests spent on them, per second.

        Of the time between tokens that is the mean number of streams (Little's law), and over the
        tokens of the same time the mean latency. Two series in place of a histogram's buckets.
        """

        def summed(rule: SignalRule) -> SignalRule:
            series = tuple(
                one.model_copy(update={"kind": Kind.HISTOGRAM_SUM})
                if one.kind is Kind.HISTOGRAM
                else one
                for one in rule.series
            )
            return rule.model_copy(update={"series": series})

        # Validated anew, because a copy would keep the cached spellings of the buckets.
        fields = {name: getattr(self, name) for name in Preset.model_fields}
        signals = {signal: summed(rule) for signal, rule in self.signals.items()}
        return Preset.model_validate({**fields, "signals": signals})

    def _exposed(self) -> Iterator[str]:
        for rule in self.signals.values():
            for series in rule.series:
                yield series.exposed_name
                yield from filter(None, (series.exposed_less, series.exposed_sum, series.unless))
            for zero in rule.zero_while:
                yield zero.name
        if self.starts is not None:
            yield f"{self.starts.name}_bucket"
            yield f"{self.starts.name}_sum"
        if self.asleep is not None:
            yield self.asleep.name
        for distrust in self.distrust:
            for condition in distrust.when:
                yield condition.name
