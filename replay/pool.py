"""Several workloads on one pool of GPUs: a replica starts only where a GPU is free.

Each workload has its own rule, engine and traffic. A replica that is wanted and finds no GPU is a
pod that stays pending; the one that has been pending longest is scheduled first. A draining replica
keeps its GPUs until it is gone.

Variants of one model have one traffic: a gateway sends each second's requests to the replicas that
are ready, by what they serve.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from replay.in_expectation import InExpectation
from replay.policies.port import Policy
from replay.replay_input import ReplayInput
from replay.simulate import Result, Simulation


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tenant:
    """One workload of the pool."""

    replay_input: ReplayInput
    policy: Policy


def play(
    tenants: Sequence[Tenant], gpus: int, *, seed: int, one_model: bool = False
) -> list[Result]:
    """Run all of them side by side, as long as the shortest input lasts.

    Args:
        one_model: whether they are variants of one model; then their inputs have the same requests.

    Raises:
        ValueError: they begin with more GPUs than the pool has.
    """
    running = [_Running(tenant, seed) for tenant in tenants]
    at_start = sum(one.gpus for one in running)
    if at_start > gpus:
        raise ValueError(f"the workloads begin with {at_start} GPUs, and the pool has {gpus}")
    for now in range(min(tenant.replay_input.seconds for tenant in tenants)):
        due = [one for one in running if now % one.policy.period_seconds == 0]
        for one in due:
            one.decide(now)
        if due:
            _schedule(running, gpus)
        if one_model:
            _spread(running)
        for one in running:
            one.run.step()
    return [one.run.result(name=one.name, knob=0.0) for one in running]


@dataclass(slots=True, eq=False)
class _Running:
    tenant: Tenant
    seed: int
    served: InExpectation = field(init=False)
    run: Simulation = field(init=False)
    wanted: int = field(init=False)
    pending_since: int | None = None

    def __post_init__(self) -> None:
        self.served = InExpectation(self.tenant.replay_input, seed=self.seed)
        self.run = Simulation(self.tenant.replay_input, self.served)
        self.wanted = self.served.fleet.wanted

    @property
    def name(self) -> str:
        return self.tenant.replay_input.name

    @property
    def policy(self) -> Policy:
        return self.tenant.policy

    @property
    def gpus(self) -> int:
        """GPUs that its replicas hold, the draining ones included."""
        fleet = self.served.fleet
        return len(fleet.replicas) * fleet.settings.gpus_per_replica

    def decide(self, now: int) -> None:
        """What it wants from now on; what it gives up goes at once."""
        self.wanted = self.policy.decide(self.served.seen(now))
        has = self.served.fleet.wanted
        if self.wanted <= has:
            self.run.scale_to(self.wanted)
            self.pending_since = None
        elif self.pending_since is None:
            self.pending_since = now

    def take(self, free: int) -> int:
        """Start what is pending on free GPUs; how many of them it took."""
        fleet = self.served.fleet
        each, has = fleet.settings.gpus_per_replica, fleet.wanted
        new = min(self.wanted - has, free // each)
        self.run.scale_to(has + new)
        if fleet.wanted >= self.wanted:
            self.pending_since = None
        return new * each


def _spread(running: Sequence[_Running]) -> None:
    """Share the requests of the next second; evenly while nothing is ready."""
    serves = [
        one.served.ready * one.tenant.replay_input.replica_requests_per_second for one in running
    ]
    total = sum(serves)
    for one, each in zip(running, serves, strict=True):
        one.served.share = each / total if total else 1 / len(running)


def _schedule(running: Sequence[_Running], gpus: int) -> None:
    free = gpus - sum(one.gpus for one in running)
    waiting = [(one.pending_since, one) for one in running if one.pending_since is not None]
    for _, one in sorted(waiting, key=lambda pair: pair[0]):
        free -= one.take(max(0, free))
