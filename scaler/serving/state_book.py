"""The planning cycle's port to states: those it resumes from, and a place for new ones."""

from typing import Protocol

from typing_extensions import override

from scaler.decision.answers import Reference
from scaler.state.records import FeedState, WorkloadState


class StateBook(Protocol):
    """The states of one planning process."""

    def workload(self, reference: Reference) -> WorkloadState | None:
        """The state of a workload from an earlier process; None without a usable one."""
        ...

    async def feed(self, key: str) -> FeedState | None:
        """The state of a feed, from a peer or the disk; None without a usable one. Never raises."""
        ...

    def note(self, state: WorkloadState) -> None:
        """Keep a workload's state after a look, before its outcome is published."""
        ...

    def forget(self, reference: Reference) -> None: ...


class NoStates(StateBook):
    """For a process that starts without a past and keeps nothing: the demo, a backtest."""

    @override
    def workload(self, reference: Reference) -> None:
        return None

    @override
    async def feed(self, key: str) -> None:
        return None

    @override
    def note(self, state: WorkloadState) -> None:
        pass

    @override
    def forget(self, reference: Reference) -> None:
        pass
