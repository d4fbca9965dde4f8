"""What the extender knows and takes for granted, as Prometheus series made when scraped."""

from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from fleet.cluster.kinds import Kind
from scheduler.intake import KINDS, Intake


class PlacementCollector(Collector):
    """Series of the placement state and of what feeds it."""

    def __init__(self, intake: Intake, troubles: Mapping[Kind, str]) -> None:
        self._intake = intake
        self._troubles = troubles

    @override
    def collect(self) -> Iterator[Metric]:
        state = self._intake.placement.occupancy
        for name, description, value in (
            ("foresail_extender_nodes", "Nodes that Foresail knows.", len(state.row)),
            (
                "foresail_extender_pods",
                "Pods that run on the nodes that Foresail knows.",
                state.bound_pods,
            ),
            (
                "foresail_extender_assumed_pods",
                "Pods that got an answer and were not yet seen to run; they count as placed.",
                state.assumed,
            ),
            (
                "foresail_extender_idle_gpus",
                "GPUs that are not in use, parts of shared ones included.",
                float(state.nodes.idle.sum()) / 1000,
            ),
            (
                "foresail_extender_unpredicted_claims",
                (
                    "Claims that wait and are of a kind that is not predicted, and those asked "
                    "about lately whose devices cannot be predicted on some node."
                ),
                self._intake.unpredicted,
            ),
        ):
            yield GaugeMetricFamily(name, description, value=value)
        stale = GaugeMetricFamily(
            "foresail_extender_stale",
            "1 while a kind of object cannot be read from the API server.",
            labels=["kind"],
        )
        unread = CounterMetricFamily(
            "foresail_extender_unread_objects",
            "Objects that were left out because they could not be read.",
            labels=["kind"],
        )
        for kind in KINDS:
            stale.add_metric((kind,), float(kind in self._troubles))
            unread.add_metric((kind,), self._intake.unread[kind])
        yield from (stale, unread)
