"""`foresail ray-scale`: plans of a running `foresail serve` scale Ray.

They set targets of Ray Serve deployments, and floors of KubeRay's worker groups.

Each plan that comes is compared with Ray's own target. A change that fails is tried again a few
times, and then with the next plan; the newest plan always counts.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from foresail.api.client import client_of
from foresail.client import Changed, ClientTls, Plans, Removed, Snapshot
from foresail.plans_api.events import Event
from foresail.plans_api.plan import Plan
from foresail.ray.clusters import RayClusters, RayGroupError
from foresail.ray.groups import AdviseReplicas, GroupTarget, wanted_of_group
from foresail.ray.scaling import Keep, wanted
from foresail.ray.serve import NotOursError, RayError, RayServe, ServeDeployment
from scaler.message_text import printable

RETRY_SECONDS: Final = (1.0, 2.0)
"""Waits between the tries of one change. Three tries end before the next plan comes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RayOptions:
    """Which plans scale which deployments."""

    server: str
    tls: ClientTls | None
    ray: str
    token_file: Path | None
    targets: Mapping[str, ServeDeployment]
    """Workload, as `NAMESPACE/NAME` → its deployment."""
    groups: Mapping[str, GroupTarget] = field(default_factory=dict)
    """Workload → the worker group that it runs on."""
    replica_hosts: int | None = None
    """Pods that one replica of a model takes; None = those of a replica of its group."""
    context: str | None = None
    kubeconfig: Path | None = None
    acts: bool = False
    """Without it nothing is changed."""
    retry_seconds: Sequence[float] = RETRY_SECONDS


async def follow(options: RayOptions, say: Callable[[str], None]) -> None:
    """Scale by each plan that comes, without end.

    Args:
        say: takes a line for each change, and for each new reason against one.

    Raises:
        ForesailError: the server of plans refuses, or an option cannot be used.
    """
    ours = {*options.targets, *options.groups}
    namespaces = sorted({workload.partition("/")[0] for workload in ours})
    lines = Lines(say=say)
    plans = Plans(options.server, namespaces=namespaces, tls=options.tls)
    async with plans, _hands(options, lines) as hands, aclosing(plans.watch()) as events:
        async for event in events:
            for hand in hands:
                await hand.take(_plans_in(event))
            _say_who_is_missing(event, ours, lines)


@asynccontextmanager
async def _hands(
    options: RayOptions, lines: "Lines"
) -> AsyncIterator[Sequence["RayScaling | GroupScaling"]]:
    async with AsyncExitStack() as stack:
        hands: list[RayScaling | GroupScaling] = []
        if options.targets:
            serve = RayServe(options.ray, token_file=options.token_file)
            ray = await stack.enter_async_context(serve)
            hands.append(RayScaling(options=options, ray=ray, lines=lines))
        if options.groups:
            kube = client_of(options.context, options.kubeconfig)
            clusters = RayClusters(client=await stack.enter_async_context(kube))
            hands.append(GroupScaling(options=options, ray=clusters, lines=lines))
        yield hands


def _plans_in(event: Event) -> Sequence[Plan]:
    match event:
        case Snapshot(plans=every):
            return every
        case Changed(plan=plan):
            return [plan]
        case _:
            return []


def _say_who_is_missing(event: Event, ours: set[str], lines: "Lines") -> None:
    match event:
        case Snapshot(plans=every):
            for name in ours - {_name(plan) for plan in every}:
                # A name may be misspelled.
                lines.tell(name, "no plan: the server knows no such workload")
        case Removed(workload=workload):
            name = f"{workload.namespace}/{workload.name}"
            if name in ours:
                lines.tell(name, "known no more")
        case _:
            pass


@dataclass(slots=True)
class Lines:
    """What is said of each workload, once."""

    say: Callable[[str], None]
    _told: dict[tuple[str, str], str] = field(default_factory=dict)
    """Workload and target → the last line about it."""

    def tell(self, workload: str, line: str, target: str = "") -> None:
        """Say it, unless it was the last that was said."""
        if self._told.get((workload, target)) != line:
            self._told[workload, target] = line
            self.say(printable(f"{workload}: {line}"))


@dataclass(slots=True)
class RayScaling:
    """Brings plans to Ray Serve."""

    options: RayOptions
    ray: RayServe
    lines: Lines

    async def take(self, plans: Sequence[Plan]) -> None:
        """Scale by the plans of our workloads."""
        ours = {_name(plan): plan for plan in plans if _name(plan) in self.options.targets}
        if not ours:
            return
        try:
            states = await self.ray.states()
        except RayError as error:
            for name in ours:
                self.lines.tell(name, str(error))
            return
        for name, plan in ours.items():
            deployment = self.options.targets[name]
            change = wanted(plan, states.get(deployment))
            if isinstance(change, Keep):
                self.lines.tell(name, f"{deployment} stays: {change.why}")
            elif not self.options.acts:
                self.lines.tell(
                    name,
                    f"{deployment} would go from {change.before} to {change.replicas} (advice)",
                )
            else:
                self.lines.tell(
                    name, await self._scaled(deployment, change.before, change.replicas)
                )

    async def _scaled(self, deployment: ServeDeployment, before: int, replicas: int) -> str:
        """What came of it, in words."""
        for wait_seconds in (*self.options.retry_seconds, None):
            try:
                await self.ray.scale(deployment, replicas)
            except NotOursError as error:
                return f"{deployment} stays: {error}"
            except RayError as error:
                if wait_seconds is None:
                    return f"{deployment} stays at {before} until the next plan: {error}"
                await asyncio.sleep(wait_seconds)
            else:
                break
        return f"{deployment} from {before} to {replicas}"


@dataclass(slots=True)
class GroupScaling:
    """Brings plans to the floors of worker groups."""

    options: RayOptions
    ray: RayClusters
    lines: Lines

    async def take(self, plans: Sequence[Plan]) -> None:
        """Set or advise the floors by the plans of our workloads."""
        for plan in plans:
            name = _name(plan)
            target = self.options.groups.get(name)
            if target is not None:
                self.lines.tell(name, f"{target} {await self._brought(plan, target)}", str(target))

    async def _brought(self, plan: Plan, target: GroupTarget) -> str:
        """What came of a plan, in words."""
        try:
            group = await self.ray.group(target)
            change = wanted_of_group(plan, group, replica_hosts=self.options.replica_hosts)
            if isinstance(change, Keep):
                return f"stays: {change.why}"
            cut = f"; {change.why_not_more}" if change.why_not_more else ""
            if isinstance(change, AdviseReplicas):
                return (
                    f"has no autoscaling: replicas may go from {change.before} to "
                    f"{change.replicas}, {change.pods} pods (advice){cut}"
                )
            floor = f"from {change.before} to {change.replicas}, {change.pods} pods"
            if not self.options.acts:
                return f"would get minReplicas {floor} (advice){cut}"
            assert group is not None
            await self.ray.set_least(group, change, _name(plan))
        except RayGroupError as error:
            return f"stays until the next plan: {error}"
        else:
            return f"minReplicas {floor}{cut}"


def _name(plan: Plan) -> str:
    return f"{plan.workload.namespace}/{plan.workload.name}"
