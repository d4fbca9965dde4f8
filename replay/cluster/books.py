"""GPU-seconds of one pool: in use, or idle for exactly one reason."""

from dataclasses import dataclass, field

from fleet.reasons import Reason


@dataclass(slots=True, kw_only=True)
class Books:
    """They add up: the GPU-seconds of all nodes = those in use + idle ones by reason."""

    used_gpu_seconds: float = 0.0
    """On pods, also while these load."""
    idle_gpu_seconds: dict[Reason, float] = field(default_factory=dict)
    gone_gpu_seconds: float = 0.0
    """Lifetimes of the nodes that are gone, from order to end."""
    launches: int = 0
    failures: int = 0
    """Launches that came to nothing."""
    refusals: int = 0
    """Orders for which the cloud had no node."""
    reclaimed: int = 0

    def idle(self, reason: Reason, gpu_seconds: float) -> None:
        if gpu_seconds == 0:
            return
        self.idle_gpu_seconds[reason] = self.idle_gpu_seconds.get(reason, 0.0) + gpu_seconds


@dataclass(slots=True, kw_only=True)
class Waits:
    """How long each pod of a workload waited: until its binding, and for the rest of the pull."""

    created_seconds: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def add(self, created_seconds: float, seconds: float) -> int:
        """Returns the place, for a pod that is removed before its wait is over."""
        self.created_seconds.append(created_seconds)
        self.seconds.append(seconds)
        return len(self.seconds) - 1
