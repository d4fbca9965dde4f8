"""Readings beyond the physical bounds of their signal, with the exporter that reports them."""

from collections.abc import Iterator, Mapping

from scaler.bounds import BOUNDS, outlier
from scaler.limits import Limit
from scaler.signals import Absent, Reading, Signal, Value
from scaler.sources.page import MatchedSeries
from scaler.sources.preset import Combine, Preset
from scaler.sources.series import Exporter

_POOL_REPLICAS: float = BOUNDS[Signal.REPLICAS].most
"""Of a pool whose number of replicas is not measured: what any pool may have."""


def outliers(
    preset: Preset,
    found: Mapping[Signal, Mapping[Exporter, MatchedSeries]],
    readings: Mapping[Signal, Reading],
) -> Iterator[tuple[Signal, Absent]]:
    """Each signal with a number that nothing can have measured.

    The signal as a whole is absent then: a sum without one exporter is too low, and would shrink.
    """
    replicas = _replicas_of_each(preset, readings)
    for signal, by_exporter in found.items():
        reading = readings[signal]
        if not isinstance(reading, Value):
            continue
        for exporter, matched in by_exporter.items():
            why = outlier(signal, max(matched.numbers, default=0.0), replicas=replicas)
            why = why or outlier(signal, _together(preset, signal, matched), replicas=replicas)
            if why is not None:
                yield signal, Absent(why=f"{exporter} reports {why}", limit=Limit.SIGNAL_BOUND)
                break
        else:
            if latency := outlier(signal, reading.value, replicas=_POOL_REPLICAS):
                yield signal, Absent(why=latency, limit=Limit.SIGNAL_BOUND)


def _together(preset: Preset, signal: Signal, matched: MatchedSeries) -> float:
    """The sum of an exporter's series, where they are added."""
    return sum(matched.numbers) if preset.signals[signal].combine is Combine.SUM else 0.0


def _replicas_of_each(preset: Preset, readings: Mapping[Signal, Reading]) -> float:
    """The replicas that one exporter reports for: one, or as a gateway all of its pool."""
    rule = preset.signals.get(Signal.REPLICAS)
    if rule is None or rule.combine is Combine.COUNT:
        return 1.0
    reading = readings[Signal.REPLICAS]
    if not isinstance(reading, Value) or outlier(Signal.REPLICAS, reading.value):
        return _POOL_REPLICAS
    return reading.value
