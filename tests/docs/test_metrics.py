"""The table of series names those that `foresail serve` shows, and no other."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

from prometheus_client import CollectorRegistry

from foresail.exported import WorkloadCollector
from foresail.limits_seen import LimitCollector
from scaler.serving.cycle import PlanningCycle
from scaler.serving.feeds import WorkloadStatus
from scaler.serving.metrics import PlanningMetrics, ServiceMetrics

PAGE = (Path(__file__).parents[2] / "docs" / "how-it-works.md").read_text()
TABLE = PAGE.partition("| series | labels |")[2].partition("\n\n")[0]


class NoWorkloads:
    """A cycle that nobody has asked yet."""

    def statuses(self) -> Sequence[WorkloadStatus]:
        return ()


def registered() -> Iterator[str]:
    registry = CollectorRegistry()
    PlanningMetrics(registry)
    ServiceMetrics(registry)
    registry.register(LimitCollector(dict))
    registry.register(WorkloadCollector(cast(PlanningCycle, NoWorkloads()), clock=lambda: 0.0))
    for family in registry.collect():
        yield f"{family.name}_total" if family.type == "counter" else family.name


def test_every_series_is_documented_and_no_other() -> None:
    documented = re.findall(r"^\| `(foresail_\w+)`", TABLE, re.MULTILINE)

    assert sorted(documented) == sorted(registered())


def test_the_alerts_are_on_series_that_are_there() -> None:
    alerts = PAGE.partition("| alert |")[2].partition("\n\n")[0]

    assert set(re.findall(r"foresail_\w+", alerts)) <= set(registered())
