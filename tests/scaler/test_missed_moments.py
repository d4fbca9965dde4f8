"""Feeds that wait for a slot of their source, and are more than can be planned for in a period."""

from prometheus_client import CollectorRegistry

from foresail.serve.pace import planning_settings
from foresail.settings.cycle import CycleSettings
from scaler.clock import WallTime
from scaler.decision.answers import Reference, TimedOutcome
from scaler.serving.board import Board
from scaler.serving.looks import Looks
from scaler.serving.metrics import PlanningMetrics
from scaler.serving.plan_book import NoReaders
from scaler.serving.plans import Plans
from scaler.serving.shares import Shares
from scaler.serving.slots import SourceSlots
from scaler.serving.state_book import NoStates
from scaler.serving.workloads import Workloads
from scaler.trigger_parsing import parse
from tests.scaler.fakes import binding
from tests.scaler.test_cycle import ALLOWED, FakeFeed

MODELS = ("a", "b", "c", "d")


class SlowPlanner:
    """A planner to which one feed's plan takes a whole period, while all its feeds wait."""

    def __init__(self) -> None:
        self.now = 0.0
        self.told: list[str] = []
        """Whose outcome was published, in this order."""
        settings = planning_settings(CycleSettings(history=0))
        wall, metrics = WallTime(self._clock, self._clock), PlanningMetrics(CollectorRegistry())
        plans = Plans(
            answer_seconds_max=settings.answer_seconds_max,
            shares=Shares({}),
            publish=self._publish,
            readers=NoReaders(),
            states=NoStates(),
            wall=wall,
            steady=self._clock,
            metrics=metrics,
        )
        workloads = Workloads(
            lambda _, spec: binding(spec.model, FakeFeed(), spec),
            settings,
            plans=plans,
            readers=NoReaders(),
            states=NoStates(),
            wall=wall,
            steady=self._clock,
            metrics=metrics,
            keep_sources=lambda _: None,
        )
        self.looks = Looks(
            settings,
            workloads=workloads,
            plans=plans,
            slots=SourceSlots(looks_at_once=16, restores_at_once=1),
            wall=wall,
            steady=self._clock,
            metrics=metrics,
        )
        board = Board(lambda _, m: parse(m, ALLOWED), clock=self._clock, objects_max=100)
        for model in MODELS:
            _ = board.ask(Reference.of("llm", model, {"model": model, "mode": "act"}))
        workloads.apply(board.take_changes())

    def _clock(self) -> float:
        return self.now

    def _publish(self, reference: Reference, _: TimedOutcome) -> None:
        self.told.append(reference.name)
        self.now += 15.0
        _ = self.looks.due(self.now)  # the next moment, which ends this pass


async def test_feeds_that_wait_take_turns_where_a_pass_over_them_outlasts_a_period() -> None:
    planner = SlowPlanner()
    for _ in range(6):
        waiting = planner.looks.due(planner.now).waiting
        assert len(waiting) == 4
        await planner.looks.miss(waiting, planner.now)

    assert planner.told == ["a", "b", "c", "d", "a", "b"]
