"""Our text of gauges is the same as that of Prometheus' own library."""

import math
from collections.abc import Iterator

from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from typing_extensions import override

from foresail.serve.gauge_text import text_of

VALUES = (0, 7, -1.5, 1e22, 1e-9, 123456.789, math.nan, math.inf, -math.inf, True)
TEXTS = ("", "plain", 'a "quoted" one', "back\\slash", "two\nlines", "Grüße, {x}")


class Gauges(Collector):
    @override
    def collect(self) -> Iterator[GaugeMetricFamily]:
        yield GaugeMetricFamily("objects", "Of all.", value=3)
        yield GaugeMetricFamily("none", "Without\na sample, and with a \\.", labels=("zone",))
        demand = GaugeMetricFamily("demand", "By labels.", labels=("zone", "name", "Area"))
        for value in VALUES:
            for text in TEXTS:
                demand.add_metric(("z", text, "a"), value)
        yield demand
        mixed = GaugeMetricFamily("mixed", "Samples with other labels, as many.")
        mixed.add_sample("mixed", {"zone": "z"}, 1)
        mixed.add_sample("mixed", {"area": "a"}, 2)
        yield mixed


def test_gauges_read_as_the_library_writes_them() -> None:
    assert text_of(Gauges().collect()) == generate_latest(Gauges())
