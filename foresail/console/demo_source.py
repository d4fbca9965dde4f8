"""The demo as a source of the console: one workload, in the demo's own time."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from fleet.catalogue import shipped
from foresail.console.history import Bounds, History
from foresail.console.records import Fleet, Score, WorkloadPage, WorkloadRow
from foresail.console.workload_page import Paid, page_of
from foresail.console.workload_row import row_of
from foresail.demo.day import Frame, Playback
from foresail.plans_api.plan import Plan, plan_of
from replay.simulate import Result
from scaler.serving.plan_message import plan_message

GPU: Final = "NVIDIA H100 80GB HBM3"
"""What the demo's engines run on, by its profile."""
_BOUNDS: Final = Bounds(step_seconds=120.0, samples_max=720, decisions_max=12)
_WHY_NO_NODES: Final = "the demo has replicas and no nodes"


@dataclass(slots=True)
class DemoSource:
    """Takes the frames of a playback, and gives them to pages."""

    playback: Playback
    refresh_seconds: float = 1.0
    _history: History = field(default_factory=lambda: History(_BOUNDS))
    _plan: Plan | None = None
    _frame: Frame | None = None
    _scores: tuple[Score, ...] = ()
    _usd_per_gpu_hour: float | None = None

    def __post_init__(self) -> None:
        generation = shipped().find(GPU)
        assert generation is not None
        self._usd_per_gpu_hour = generation.usd_per_hour_of(self._gpus)

    def take(self, frame: Frame) -> None:
        """The newest moment."""
        self._frame = frame
        if frame.status is not None:
            message = plan_message(frame.status, now_seconds=frame.clock_seconds)
            self._plan = plan_of(message)
            self._history.take(self._plan)

    def ended(self, results: Sequence[Result]) -> None:
        """The comparison at the end; ours is the first."""
        self._scores = tuple(
            self._score(result, ours=place == 0) for place, result in enumerate(results)
        )

    def fleet(self) -> Fleet:
        """The one workload of the demo."""
        row = self._row()
        return Fleet(
            source=self._name,
            at_seconds=None if self._frame is None else self._frame.clock_seconds,
            workloads=() if row is None else (row,),
            plans_missing="three days of history are read first" if row is None else None,
            nodes=None,
            nodes_missing=_WHY_NO_NODES,
        )

    def workload(self, key: str) -> WorkloadPage | None:
        """Its page; None before the first frame."""
        row = self._row()
        if row is None or self._plan is None or self._frame is None or row.key != key:
            return None
        return page_of(
            self._plan,
            row,
            self._history,
            source=self._name,
            paid=Paid(
                gpu_hours=self._frame.view.gpu_hours,
                usd=self._usd(self._frame.view.gpu_hours),
                usd_per_gpu_hour=self._usd_per_gpu_hour,
            ),
            scores=self._scores,
            scores_meaning=self._meaning if self._scores else None,
        )

    def keys_of(self, namespace: str, name: str) -> Sequence[str]:
        """The key of the demo's workload."""
        row = self._row()
        if row is None or (row.namespace, row.name) != (namespace, name):
            return ()
        return (row.key,)

    @property
    def _name(self) -> str:
        return f"demo, seed {self.playback.seed}"

    @property
    def _gpus(self) -> int:
        """Of one replica."""
        return self.playback.day.platform.profile.gpus

    @property
    def _meaning(self) -> str:
        hours = self.playback.day.seconds / 3600
        objective = self.playback.day.platform.objective
        return (
            f"{hours:.1f} h of the same traffic under each rule. In time: first token within "
            f"{objective.ttft_seconds:g} s, the others within {objective.itl_seconds * 1000:.0f} "
            "ms each on average"
        )

    def _row(self) -> WorkloadRow | None:
        if self._plan is None or self._frame is None:
            return None
        view = self._frame.view
        gpus = (view.ready + view.starting + view.draining) * self._gpus
        return row_of(self._plan, usd_per_hour=self._usd(gpus))

    def _usd(self, gpu_hours: float) -> float | None:
        each = self._usd_per_gpu_hour
        return None if each is None else gpu_hours * each

    def _score(self, result: Result, *, ours: bool) -> Score:
        return Score(
            rule=result.policy,
            in_time=result.attainment,
            ttft_p95_seconds=result.ttft_p95,
            gpu_hours=result.gpu_hours,
            usd=self._usd(result.gpu_hours),
            lost=round(result.errors),
            ours=ours,
        )
