"""The tables of docs/metrics.md, made from the metrics that the processes export.

`python -m tests.docs.metrics_page` writes them anew; test_metrics.py fails when they are stale.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from typing_extensions import override

from fleet.cluster.reading import Cluster
from foresail.certificate_ends import CertificateEnds
from foresail.controller.controller import Connections, Controller
from foresail.controller.lever_executor import LeverExecutor, Levers
from foresail.controller.metrics import ControllerCollector
from foresail.controller.nightly_tuning import NightlyTuning
from foresail.controller.node_events import NodeEvents
from foresail.controller.process import CLOCKS
from foresail.controller.rounds import ClusterRounds, PlannedReplicas
from foresail.controller.tuning_worker import choose_apart
from foresail.exported import WorkloadCollector
from foresail.limits_seen import LimitCollector
from foresail.placement_events import PlacementEvents
from foresail.scheduling_metrics import PlacementCollector
from scaler.serving.cycle import PlanningCycle
from scaler.serving.feeds import WorkloadStatus
from scaler.serving.metrics import PlanningMetrics, ServiceMetrics
from scheduler.extender import ExtenderMetrics
from scheduler.history import USUAL, History
from scheduler.intake import Intake
from scheduler.mix import Mix
from scheduler.placement_state import PlacementState
from scheduler.webhook import WebhookMetrics
from tests.foresail.controller.stage import NotedEvents
from tests.policies.test_assess import KNOWN, NOW

PAGE: Final = Path(__file__).parents[2] / "docs" / "metrics.md"
BEGIN: Final = "<!-- Below: python -m tests.docs.metrics_page -->\n"
_LABELS_MAX: Final = 6


class LabelledRegistry(CollectorRegistry):
    """A registry that remembers its collectors, because one without samples shows no labels."""

    def __init__(self) -> None:
        super().__init__()
        self.collectors: list[Any] = []

    @override
    def register(self, collector: Any) -> None:
        self.collectors.append(collector)
        super().register(collector)

    def labels(self) -> Mapping[str, Sequence[str]]:
        """Of each family, by its name."""
        return {
            family.name: _labels_of(family)
            for collector in self.collectors
            for family in _with_a_sample(collector)
        }


class NoWorkloads:
    """A cycle that KEDA has not asked yet."""

    def statuses(self) -> Sequence[WorkloadStatus]:
        return ()


def serve() -> LabelledRegistry:
    registry = LabelledRegistry()
    PlanningMetrics(registry)
    ServiceMetrics(registry)
    registry.register(LimitCollector(dict))
    registry.register(WorkloadCollector(cast(PlanningCycle, NoWorkloads()), clock=lambda: 0.0))
    return registry


def controller() -> LabelledRegistry:
    registry = LabelledRegistry()
    rounds = ClusterRounds(KNOWN)
    made = rounds.make(Cluster(name="test"), (), PlannedReplicas(), NOW)
    Controller(rounds, cast(Connections, None), CLOCKS, registry)
    registry.register(ControllerCollector(lambda: made, lambda: True))
    registry.register(CertificateEnds({}))
    NodeEvents(NotedEvents(), registry)
    NightlyTuning(rounds, choose_apart, lambda: made, lambda: NOW, registry)
    LeverExecutor(None, cast(Levers, None), registry)  # type: ignore[arg-type]
    return registry


def scheduler() -> LabelledRegistry:
    registry = LabelledRegistry()
    ExtenderMetrics(registry)
    PlacementEvents(NotedEvents(), registry)
    intake = Intake(PlacementState((), Mix(dict(USUAL))), History())
    registry.register(PlacementCollector(intake, {}))
    return registry


def webhook() -> LabelledRegistry:
    registry = LabelledRegistry()
    WebhookMetrics(registry)
    registry.register(CertificateEnds({}))
    return registry


PROCESSES: Final = {
    "foresail serve": serve,
    "foresail controller": controller,
    "foresail scheduler": scheduler,
    "foresail webhook": webhook,
}


def names() -> set[str]:
    """Of every series that some process exports."""
    return {series_of(one) for make in PROCESSES.values() for one in make().collect()}


def series_of(family: Metric) -> str:
    return f"{family.name}_total" if family.type == "counter" else family.name


def tables() -> str:
    return "\n".join("\n".join(_section(name, make())) for name, make in PROCESSES.items())


def _section(process: str, registry: LabelledRegistry) -> Iterator[str]:
    yield from (
        "",
        f"## {process}",
        "",
        "| metric | labels | meaning |",
        "|---|---|---|",
    )
    labels = registry.labels()
    for family in sorted(registry.collect(), key=lambda one: one.name):
        named = ", ".join(f"`{one}`" for one in labels[family.name])
        text = family.documentation.replace("|", r"\|")
        yield f"| `{series_of(family)}` {family.type} | {named} | {text} |"


def _with_a_sample(collector: Any) -> Iterator[Metric]:
    for count in range(1, _LABELS_MAX):
        try:
            collector.labels(*"?" * count)
        except (AttributeError, ValueError):
            continue
        break
    for family in collector.collect():
        if not family.samples and isinstance(family, GaugeMetricFamily | CounterMetricFamily):
            family.add_metric("?" * _LABELS_MAX, 0.0)
        yield family


def _labels_of(family: Metric) -> Sequence[str]:
    return [name for name in family.samples[0].labels if name != "le"]


if __name__ == "__main__":
    PAGE.write_text(PAGE.read_text().partition(BEGIN)[0] + BEGIN + tables() + "\n")
