"""The events of a watch of plans, from the messages of one connection or several."""

from dataclasses import dataclass

from foresail.plans_api.plan import Plan, plan_of, workload_of
from scaler.decision.answers import Reference
from scaler.rpc.foresail.v1 import plans_pb2 as pb


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All plans; a workload that is not among them is known no more."""

    plans: tuple[Plan, ...]
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """The newest plan of one workload."""

    plan: Plan
    version: str | None
    """Give it to `watch` to go on after this event; None = not yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """The workload is known no more."""

    workload: Reference
    version: str | None


Event = Snapshot | Changed | Removed


@dataclass(slots=True)
class WatchPosition:
    """How far a watch has come."""

    version: str | None
    """To go on from after a fault; None = with all plans."""
    _collected: dict[Reference, Plan] | None = None
    """The plans of a snapshot that is not whole yet."""

    def take(self, response: pb.WatchWorkloadPlansResponse) -> Event | None:
        """The event of a message, if it is one for the caller."""
        if response.HasField("version"):
            self.version = response.version
        match response.WhichOneof("event"):
            case "begin":
                self._begin(complete=response.begin.complete)
                return None
            case "synced":
                return self._synced()
            case "plan":
                return self._changed(plan_of(response.plan))
            case "removed":
                return self._removed(workload_of(response.removed))
            case _:
                return None  # an event of a newer server

    def _begin(self, *, complete: bool) -> None:
        self._collected = {} if complete else None
        if complete:
            self.version = None

    def _synced(self) -> Snapshot | None:
        if self._collected is None or self.version is None:
            return None
        plans, self._collected = tuple(self._collected.values()), None
        return Snapshot(plans=plans, version=self.version)

    def _changed(self, plan: Plan) -> Changed | None:
        if self._collected is None:
            return Changed(plan=plan, version=self.version)
        self._collected[plan.workload] = plan
        return None

    def _removed(self, workload: Reference) -> Removed | None:
        if self._collected is None:
            return Removed(workload=workload, version=self.version)
        self._collected.pop(workload, None)
        return None
