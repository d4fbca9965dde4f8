"""Gauges of workloads, as the text that Prometheus scrapes and as the families of its library.

`prometheus_client` makes an object of each sample and looks at each character of each name in it:
1 s for 1,000 workloads, in which the planner's other threads wait. Here a line is put together from
a name, the labels of its workload, which are escaped once, and the text of its other labels.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from prometheus_client.core import GaugeMetricFamily

WORKLOAD: Final = ("namespace", "scaled_object")
_JOINED: Final = 64
"""Workloads whose lines are joined at a time: a call on all of them would hold every thread."""
_NOT_FINITE: Final = {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}


@dataclass(frozen=True, slots=True, eq=False)
class Gauge:
    """A gauge with its labels; two are never the same."""

    name: str
    text: str
    labels: tuple[str, ...] = ()
    """Beside those of the workload."""
    of_workload: bool = True
    """Whether it has the labels of a workload, too."""


Sample = tuple[Gauge, tuple[str, ...], float]
"""With the values of the gauge's own labels."""
Owner = tuple[str, str]
"""Namespace and name of a workload."""
Group = tuple[Owner | None, Iterable[Sample]]
"""The samples of one workload; None = of none."""


def text_of(gauges: Sequence[Gauge], groups: Iterable[Group]) -> Iterator[bytes]:
    """The parts of the text; the library's `generate_latest` writes the same families.

    Args:
        gauges: all that samples are of, in the order in which they are written.
        groups: no two of the same workload.
    """
    lines: dict[Gauge, list[str]] = {gauge: [_head(gauge)] for gauge in gauges}
    parts: dict[Gauge, list[bytes]] = {gauge: [] for gauge in gauges}
    series: dict[tuple[Gauge, tuple[str, ...]], tuple[list[str], str, str]] = {}
    """The lines of a gauge, and what stands before and after the labels of the workload."""
    for number, (owner, samples) in enumerate(groups, start=1):
        of_owner = "" if owner is None else _labels(WORKLOAD, owner)
        for gauge, labels, value in samples:
            try:
                of_gauge, before, after = series[gauge, labels]
            except KeyError:
                of_gauge, (before, after) = lines[gauge], _around(gauge, labels)
                series[gauge, labels] = of_gauge, before, after
            figure = repr(float(value))
            of_gauge.append(f"{before}{of_owner}{after} {_NOT_FINITE.get(figure, figure)}\n")
        if not number % _JOINED:
            _join(lines, parts)
    _join(lines, parts)
    for gauge in gauges:
        yield from parts[gauge]


def families_of(gauges: Sequence[Gauge], groups: Iterable[Group]) -> Iterator[GaugeMetricFamily]:
    """The same as families of the library."""
    families = {
        gauge: GaugeMetricFamily(
            gauge.name, gauge.text, labels=(*(WORKLOAD if gauge.of_workload else ()), *gauge.labels)
        )
        for gauge in gauges
    }
    for owner, samples in groups:
        for gauge, labels, value in samples:
            families[gauge].add_metric((*(owner or ()), *labels), value)
    yield from families.values()


def _head(gauge: Gauge) -> str:
    return f"# HELP {gauge.name} {_escaped(gauge.text)}\n# TYPE {gauge.name} gauge\n"


def _around(gauge: Gauge, labels: Sequence[str]) -> tuple[str, str]:
    own = _labels(gauge.labels, labels)
    if not gauge.of_workload:
        return gauge.name, f"{{{own}}}" if own else ""
    return f"{gauge.name}{{", f",{own}}}" if own else "}"


def _labels(names: Sequence[str], values: Sequence[str]) -> str:
    pairs = zip(names, values, strict=True)
    return ",".join(f'{name}="{_quotable(value)}"' for name, value in pairs)


def _join(lines: dict[Gauge, list[str]], parts: dict[Gauge, list[bytes]]) -> None:
    for gauge, of_gauge in lines.items():
        if of_gauge:
            parts[gauge].append("".join(of_gauge).encode())
            of_gauge.clear()


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _quotable(text: str) -> str:
    return _escaped(text).replace('"', r"\"")
