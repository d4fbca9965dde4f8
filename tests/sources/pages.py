"""Samples as a scraper would bring them, written short."""

from collections.abc import Iterable, Mapping

from scaler.sources.preset import Preset
from scaler.sources.series import Sample
from scaler.sources.text_format import PageLines, samples_of

MODEL = "llama-70b"


def sample(name: str, value: float, at_seconds: float, /, **labels: str) -> Sample:
    """One sample of pod `a` of our model, unless labels say otherwise; an empty label is none."""
    known = {"model_name": MODEL, "engine": "0", "pod": "a", **labels}
    return Sample(
        name=name,
        labels={label: text for label, text in known.items() if text},
        value=value,
        at_seconds=at_seconds,
    )


def samples_on(page: str, preset: Preset, *, at_seconds: float, **labels: str) -> list[Sample]:
    """The preset's samples on an exporter's page."""
    lines = PageLines(preset.spelled, bytes_max=2**20, lines_max=1000)
    lines.add(page.encode())
    return list(samples_of(lines.end(), labels=labels, at_seconds=at_seconds))


def series(name: str, points: Mapping[float, float], /, **labels: str) -> list[Sample]:
    """One series: time → value."""
    return [sample(name, value, at_seconds, **labels) for at_seconds, value in points.items()]


def histogram(
    name: str, counts: Mapping[str, Iterable[float]], at_seconds: Iterable[float], /, **labels: str
) -> list[Sample]:
    """The buckets of a histogram: upper bound → cumulative count at each time."""
    return [
        sample(f"{name}_bucket", count, at, le=bound, **labels)
        for bound, values in counts.items()
        for at, count in zip(at_seconds, values, strict=True)
    ]
