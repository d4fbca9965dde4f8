"""The tables of docs/metrics.md, made from the chart's alerts and the metrics that are exported.

`python -m tests.docs.metrics_page` writes them anew; test_metrics.py fails when they are stale.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from typing_extensions import override

from fleet.cluster.follow.mirror import Mirror
from fleet.cluster.reading import Cluster
from foresail.controller.controller import Connections, Controller
from foresail.controller.lever_executor import LeverExecutor, Levers
from foresail.controller.metrics import ControllerCollector
from foresail.controller.nightly_tuning import NightlyTuning
from foresail.controller.node_events import NodeEvents
from foresail.controller.policies_in_force import PoliciesInForce
from foresail.controller.process import CLOCKS
from foresail.controller.rounds import ClusterRounds, PlannedReplicas
from foresail.controller.tuning_worker import choose_apart
from foresail.placement.placement_events import PlacementEvents
from foresail.placement.scheduling_metrics import PlacementCollector
from foresail.ports.certificate_ends import CertificateEnds
from foresail.ports.limits_seen import LimitCollector
from foresail.serve.exported import WorkloadCollector
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

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "metrics.md"
ALERTS: Final = ROOT / "deploy" / "chart" / "foresail" / "files" / "alerts.yaml"
BEGIN: Final = "<!-- Below: python -m tests.docs.metrics_page -->\n"
BEGIN_ALERTS: Final = "<!-- Alerts: python -m tests.docs.metrics_page -->\n"
END_ALERTS: Final = "\n## Dashboards\n"
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
    registry.register(LimitCollector())
    registry.register(WorkloadCollector(cast(PlanningCycle, NoWorkloads()), clock=lambda: 0.0))
    return registry


def controller() -> LabelledRegistry:
    registry = LabelledRegistry()
    rounds = ClusterRounds(KNOWN)
    made = rounds.make(Cluster(name="test"), (), PlannedReplicas(), NOW)
    connections = Connections(mirror=Mirror("test"), policies=PoliciesInForce(None))
    Controller(rounds, connections, CLOCKS, registry)
    registry.register(ControllerCollector(lambda: made, lambda: True))
    registry.register(CertificateEnds({}))
    registry.register(LimitCollector())
    NodeEvents(NotedEvents(), registry)
    NightlyTuning(rounds, choose_apart, lambda: made, lambda: NOW, registry)
    LeverExecutor(None, cast(Levers, None), registry)  # type: ignore[arg-type]
    return registry


def scheduler() -> LabelledRegistry:
    registry = LabelledRegistry()
    ExtenderMetrics(registry)
    PlacementEvents(NotedEvents(), registry)
    intake = Intake(PlacementState((), Mix(dict(USUAL))), History())
    registry.register(LimitCollector())
    registry.register(PlacementCollector(intake, {}))
    return registry


def webhook() -> LabelledRegistry:
    registry = LabelledRegistry()
    WebhookMetrics(registry)
    registry.register(CertificateEnds({}))
    registry.register(LimitCollector())
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


def series_labels() -> dict[str, set[str]]:
    """Every series that a query can name, with its labels; a histogram has three."""
    found: dict[str, set[str]] = {}
    for make in PROCESSES.values():
        registry = make()
        labels = registry.labels()
        for family in registry.collect():
            own = set(labels[family.name])
            if family.type == "histogram":
                found |= {f"{family.name}_{one}": own for one in ("count", "sum")}
                found[f"{family.name}_bucket"] = {*own, "le"}
            else:
                found[series_of(family)] = own
    return found


def alerts() -> list[dict[str, Any]]:
    """Of the chart's rule file, in its order."""
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def alert_table() -> str:
    lines = ["", "| alert | severity | after | what it says |", "|---|---|---|---|"]
    for one in alerts():
        name, said = one["alert"], one["annotations"]["summary"]
        workload = "{{ $labels.namespace }}/{{ $labels.scaled_object }}"
        said = re.sub(r"\{\{ \$labels\.(\w+) }}", r"`\1`", said.replace(workload, "the workload"))
        link = one["annotations"]["runbook_url"].removeprefix("docs/")
        severity = one["labels"]["severity"]
        lines.append(f"| [`{name}`]({link}) | {severity} | {one.get('for', 'at once')} | {said} |")
    return "\n".join(lines) + "\n"


def page(text: str) -> str:
    """The page with its tables written anew."""
    before, _, rest = text.partition(BEGIN_ALERTS)
    between = END_ALERTS + rest.partition(END_ALERTS)[2].partition(BEGIN)[0]
    return before + BEGIN_ALERTS + alert_table() + between + BEGIN + tables() + "\n"


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
    PAGE.write_text(page(PAGE.read_text()))
