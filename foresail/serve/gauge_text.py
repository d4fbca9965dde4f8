"""Gauges as the text that Prometheus scrapes.

`prometheus_client` looks at each character of each name in each line: 1 s for the 64,000 lines of
1,000 workloads, in which the planner's other threads wait. The names here are our own and valid.
Gauges alone are written: no counters, histograms, exemplars or timestamps.
"""

from collections.abc import Iterable, Iterator

from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Sample
from prometheus_client.utils import floatToGoString


def text_of(gauges: Iterable[Metric]) -> bytes:
    """The text, the same as that of `prometheus_client.generate_latest`."""
    return "".join(_lines(gauges)).encode()


def _lines(gauges: Iterable[Metric]) -> Iterator[str]:
    for gauge in gauges:
        yield f"# HELP {gauge.name} {_escaped(gauge.documentation)}\n"
        yield f"# TYPE {gauge.name} gauge\n"
        labels: tuple[str, ...] = ()
        names: tuple[tuple[str, str], ...] = ()
        """Of these labels in their order, each with its beginning in the text."""
        for sample in gauge.samples:
            if tuple(sample.labels) != labels:
                labels = tuple(sample.labels)
                names = tuple((name, f'{name}="') for name in sorted(labels))
            yield _line(sample, names)


def _line(sample: Sample, names: tuple[tuple[str, str], ...]) -> str:
    value = str(floatToGoString(sample.value))  # type: ignore[no-untyped-call]
    if not names:
        return f"{sample.name} {value}\n"
    labels = sample.labels
    text = ",".join([f'{begun}{_quotable(labels[name])}"' for name, begun in names])
    return f"{sample.name}{{{text}}} {value}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _quotable(text: str) -> str:
    return _escaped(text).replace('"', r"\"")
