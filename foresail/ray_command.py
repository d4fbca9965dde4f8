"""`foresail ray-scale`: plans of a running `foresail serve` scale Ray Serve deployments.

Each plan that comes is compared with Ray's own target. A change that fails is tried again a few
times, and then with the next plan; the newest plan always counts.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from foresail.client import Changed, ClientTls, Plans, Removed, Snapshot
from foresail.client_plan import Plan
from foresail.ray_scaling import Keep, wanted
from foresail.ray_serve import NotOursError, RayError, RayServe, ServeDeployment
from scaler.errors import ForesailError
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
    namespaces = sorted({workload.partition("/")[0] for workload in options.targets})
    plans = Plans(options.server, namespaces=namespaces, tls=options.tls)
    async with plans, RayServe(options.ray, token_file=options.token_file) as ray:
        scaling = RayScaling(options=options, ray=ray, say=say)
        async with aclosing(plans.watch()) as events:
            async for event in events:
                match event:
                    case Snapshot(plans=every):
                        await scaling.take(every)
                        scaling.name_missing(every)
                    case Changed(plan=plan):
                        await scaling.take([plan])
                    case Removed(workload=workload):
                        scaling.tell(f"{workload.namespace}/{workload.name}", "known no more")


@dataclass(slots=True)
class RayScaling:
    """Brings plans to Ray."""

    options: RayOptions
    ray: RayServe
    say: Callable[[str], None]
    _told: dict[str, str] = field(default_factory=dict)
    """Workload → the last line about it."""

    async def take(self, plans: Sequence[Plan]) -> None:
        """Scale by the plans of our workloads."""
        ours = {_name(plan): plan for plan in plans if _name(plan) in self.options.targets}
        if not ours:
            return
        try:
            states = await self.ray.states()
        except RayError as error:
            for name in ours:
                self.tell(name, str(error))
            return
        for name, plan in ours.items():
            deployment = self.options.targets[name]
            change = wanted(plan, states.get(deployment))
            if isinstance(change, Keep):
                self.tell(name, f"{deployment} stays: {change.why}")
            elif not self.options.acts:
                self.tell(
                    name,
                    f"{deployment} would go from {change.before} to {change.replicas} (advice)",
                )
            else:
                self.tell(name, await self._scaled(deployment, change.before, change.replicas))

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

    def name_missing(self, plans: Sequence[Plan]) -> None:
        """Say which workloads have no plan at all: a name may be misspelled."""
        for name in self.options.targets.keys() - {_name(plan) for plan in plans}:
            self.tell(name, "no plan: the server knows no such workload")

    def tell(self, workload: str, line: str) -> None:
        """Say it once."""
        if workload in self.options.targets and self._told.get(workload) != line:
            self._told[workload] = line
            self.say(printable(f"{workload}: {line}"))


def _name(plan: Plan) -> str:
    return f"{plan.workload.namespace}/{plan.workload.name}"


def targets_of(texts: Sequence[str]) -> Mapping[str, ServeDeployment]:
    """Workloads and their deployments, each as `NAMESPACE/NAME=APPLICATION/DEPLOYMENT`.

    Raises:
        ForesailError: one is not of that form, or two name one workload or one deployment.
    """
    targets: dict[str, ServeDeployment] = {}
    for text in texts:
        workload, deployment = _target_of(text)
        if workload in targets or deployment in targets.values():
            raise ForesailError(
                f"--target {printable(text)!r}: its workload or its deployment is in another "
                "target; two plans cannot scale one deployment"
            )
        targets[workload] = deployment
    return targets


def _target_of(text: str) -> tuple[str, ServeDeployment]:
    workload, _, deployment = text.partition("=")
    application, _, name = deployment.partition("/")
    if (
        workload.count("/") != 1
        or not all((*workload.split("/"), application, name))
        or "/" in name
    ):
        raise ForesailError(
            f"--target {printable(text)!r}: write it as NAMESPACE/NAME=APPLICATION/DEPLOYMENT, "
            "with the workload as `foresail plans` shows it"
        )
    return workload, ServeDeployment(application=application, name=name)
