"""Our text of gauges reads as that of Prometheus' own library."""

import math
from collections.abc import Iterable, Iterator, Sequence

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from typing_extensions import override

from foresail.serve.gauges import Gauge, Group, Owner, Sample, families_of, text_of

OBJECTS = Gauge("objects", "Of all.", of_workload=False)
BY_ZONE = Gauge("by_zone", "Of no workload,\nwith a \\.", ("zone",), of_workload=False)
REPLICAS = Gauge("replicas", "Without labels of its own.")
DEMAND = Gauge("demand", "By labels.", ("zone", "Area"))
NONE = Gauge("none", "Without a sample.", ("zone",))
GAUGES = (OBJECTS, BY_ZONE, REPLICAS, DEMAND, NONE)
VALUES = (0, 7, -1.5, 1e22, 1e-9, 123456.789, 0.1, math.nan, math.inf, -math.inf, True)
TEXTS = ("", "plain", 'a "quoted" one', "back\\slash", "two\nlines", "Grüße, {x}", "a,b=c} 1", "\r")


class Gauges(Collector):
    """As the library takes them."""

    def __init__(self, groups: Sequence[Group]) -> None:
        self._groups = groups

    @override
    def collect(self) -> Iterator[GaugeMetricFamily]:
        return families_of(GAUGES, self._groups)


def read(text: bytes) -> list[object]:
    """Each family with its samples; numbers as text, in which NaN is itself."""
    return [
        (
            family.name,
            family.documentation,
            family.type,
            [(one.name, one.labels, repr(one.value)) for one in family.samples],
        )
        for family in text_string_to_metric_families(text.decode())
    ]


def written(groups: Iterable[Group]) -> bytes:
    return b"".join(text_of(GAUGES, groups))


def test_gauges_read_as_the_library_writes_them() -> None:
    groups: list[Group] = [(None, [(OBJECTS, (), 3), (BY_ZONE, ("z",), 4)])]
    for text in TEXTS:
        samples: list[Sample] = [(REPLICAS, (), 2)]
        samples += [(DEMAND, (f"{value}", text), value) for value in VALUES]
        groups.append((("llm", text), samples))
    assert read(written(groups)) == read(generate_latest(Gauges(groups)))


# A text that no Unicode is has no UTF-8; protobuf hands none over.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
owners: st.SearchStrategy[Owner] = st.tuples(texts, texts)
samples: st.SearchStrategy[Sample] = st.one_of(
    st.tuples(st.just(REPLICAS), st.just(()), st.floats()),
    st.tuples(st.just(DEMAND), st.tuples(texts, texts), st.floats()),
)


@given(st.lists(st.tuples(owners, st.lists(samples, max_size=4)), max_size=4))
def test_whatever_labels_and_values_are_the_same_is_read(groups: list[Group]) -> None:
    assert read(written(groups)) == read(generate_latest(Gauges(groups)))


def test_lines_of_many_workloads_are_not_joined_in_one_piece() -> None:
    """Joining holds every thread: 1,000 workloads have 11 MB."""

    def parts(workloads: int) -> list[bytes]:
        owned: list[Group] = [(("llm", f"w-{n:04}"), [(REPLICAS, (), 1)]) for n in range(workloads)]
        return list(text_of(GAUGES, owned))

    few, many = parts(100), parts(1000)
    assert max(map(len, many)) == max(map(len, few))
