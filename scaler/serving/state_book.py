"""What the cycle asks of states: those it goes on from, and a place for those it makes."""

from typing import Protocol

from typing_extensions import override

from scaler.decision.answers import Reference
from scaler.state.records import FeedState, WorkloadState


class StateBook(Protocol):
    """The states of one planning process."""

    def workload(self, reference: Reference) -> WorkloadState | None:
        """What was known of a workload before this process; None without a usable state."""
        ...

    async def feed(self, key: str) -> FeedState | None:
        """The same of a feed; it may come from a peer or from a disk, and never raises."""
        ...

    def note(self, state: WorkloadState) -> None:
        """Take a workload's state after a look, before its outcome is published."""
        ...

    def forget(self, reference: Reference) -> None: ...


class NoStates(StateBook):
    """For a process that begins anew and leaves nothing behind: the demo, a backtest."""

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
