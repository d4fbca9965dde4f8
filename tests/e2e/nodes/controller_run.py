"""`foresail controller` on the bed with Karpenter, round by round, with the rights that we ship.

A test makes the rounds and sets the clocks forward, so that it waits for Karpenter and for nothing
else:

    async with controller_run(kubeconfig) as run:
        await run.until(lambda: buffers(nodes), "an order")
        run.later(120)                      # both clocks: leases go on, the wall clock is not set
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from kubernetes_asyncio.client import ApiClient

from foresail.clock import steady_clock, wall_clock
from foresail.controller.controller import Clocks
from foresail.controller.lever_executor import Levers
from foresail.controller.options import ControllerOptions
from foresail.controller.process import Parts, assembled
from foresail.controller.rounds import ClusterRound
from foresail.controller.state_folder import PLANNING
from policies.decide import SETTLED
from policies.node_plan import PoolPlan
from policies.planning.demand import STEP_SECONDS
from policies.planning.node_planning import NodePlanning, PlanningState
from policies.planning.state_bytes import encode_state
from tests.e2e import bed as beds
from tests.e2e import kubernetes
from tests.e2e.clients import api_client
from tests.e2e.nodes.documents import Document
from tests.e2e.nodes.node_cluster import NodeCluster

ACCOUNT = "system:serviceaccount:foresail:foresail-controller"
USER = "controller"
OURS = "foresail"
"""The namespace of the controller, and the value of its label on what it makes."""
POLICIES = "/apis/foresail.io/v1alpha1/capacitypolicies"
_EXAMPLES = beds.ROOT / "deploy" / "examples"
_BUFFERS = "/apis/autoscaling.x-k8s.io/v1beta1/namespaces/foresail/capacitybuffers"
_DEPLOYMENTS = "/apis/apps/v1/namespaces/foresail/deployments"
_TEMPLATES = "/api/v1/namespaces/foresail/podtemplates"
TERM_SECONDS = 31.0
"""After which the Lease of a replica that is dead is anybody's."""
_WAIT_SECONDS = 180.0
_PAUSE_SECONDS = 0.3


def install(bed: beds.Bed) -> Path:
    """The CustomResourceDefinition, and the account with the roles of mode act; its kubeconfig."""
    crd = (beds.ROOT / "deploy" / "crds" / "capacitypolicies.yaml").read_text()
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": OURS}}
    bed.apply(namespace, *yaml.safe_load_all(crd))
    bed.wait_for_kinds()
    for name in ("controller.yaml", "controller-act.yaml"):
        documents = yaml.safe_load_all((_EXAMPLES / name).read_text())
        bed.apply(
            *(one for one in documents if "Role" in one["kind"] or one["kind"] == "ServiceAccount")
        )
    kubernetes.add_user(bed, USER, ACCOUNT)
    return bed.kubeconfig(USER)


class Policies:
    """CapacityPolicies of mode act, and what becomes of them; all are gone at the end."""

    def __init__(self, nodes: NodeCluster) -> None:
        self._nodes = nodes
        self._made: list[str] = []

    def set(self, pool: str, *, floor: int = 0, **spec: object) -> None:
        """What a pool's policy says; it is called as the pool.

        Args:
            pool: that it is about, alone.
            floor: nodes that are wanted at all hours.
            spec: further keys, as the API has them.
        """
        floors = [{**all_hours(), "nodes": floor}] if floor else []
        policy = {
            "apiVersion": "foresail.io/v1alpha1",
            "kind": "CapacityPolicy",
            "metadata": {"name": pool},
            "spec": {
                "mode": "act",
                "pools": {"names": [pool]},
                "idleCeiling": {"usdPerHour": 1000},
                "warmFloors": floors,
                **spec,
            },
        }
        if pool in self._made:
            self._nodes.bed.send("PATCH", f"{POLICIES}/{pool}", policy)
        else:
            self._nodes.bed.send("POST", POLICIES, policy)
            self._made.append(pool)

    def delete(self) -> None:
        """Take the policies away."""
        while self._made:
            self._nodes.bed.send("DELETE", f"{POLICIES}/{self._made.pop()}")

    def clear(self) -> None:
        """Take the policies away, and what the controller made for them."""
        self.delete()
        bed = self._nodes.bed
        for buffer in bed.read(_BUFFERS)["items"]:
            # Karpenter counts again when a buffer falls to 0, and not when it is deleted.
            bed.send("PATCH", _path(_BUFFERS, buffer), {"spec": {"replicas": 0}})
        for collection in (_BUFFERS, _TEMPLATES, _DEPLOYMENTS):
            for one in bed.read(collection)["items"]:
                bed.send("DELETE", _path(collection, one))


def all_hours() -> Document:
    """Of a policy's schedule."""
    days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    return {"days": days, "from": "00:00", "to": "24:00"}


@dataclass
class SetClocks:
    """Clocks that a test sets forward, both by the same time."""

    ahead_seconds: float = 0.0

    def clocks(self) -> Clocks:
        return Clocks(
            steady=lambda: steady_clock() + self.ahead_seconds,
            wall=lambda: wall_clock() + self.ahead_seconds,
        )


@dataclass
class ControllerRun:
    """A controller that leads and makes a round when it is told to."""

    parts: Parts
    clocks: SetClocks
    levers: Levers
    rounds: list[ClusterRound] = field(default_factory=list)

    async def round(self) -> ClusterRound:
        """Make a round of what is known, and carry it out."""
        async with asyncio.timeout(_WAIT_SECONDS):
            while self.parts.controller.unreadable() is not None:
                await asyncio.sleep(_PAUSE_SECONDS)
        await self._lead()
        made = await self.parts.controller.round_now()
        self.rounds.append(made)
        return made

    async def until(
        self, condition: Callable[[], object], what: str, *, each_seconds: float = 0.0
    ) -> None:
        """Make rounds until it holds.

        Args:
            condition: asked after each round.
            what: that is waited for.
            each_seconds: that the clocks are set forward after each round.
        """
        # The one who waits must not take the time that the processes need.
        deadline = steady_clock() + _WAIT_SECONDS
        while True:
            made = await self.round()
            if await asyncio.to_thread(condition):
                return
            if steady_clock() > deadline:
                raise AssertionError(f"{what}: not within {_WAIT_SECONDS:g} s; {_told(made)}")
            self.later(each_seconds)
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _lead(self) -> None:
        election = self.parts.election
        assert election is not None
        deadline = steady_clock() + _WAIT_SECONDS
        await election.attempt()
        while not election.leading:
            assert steady_clock() < deadline, election.trouble or election.holder
            if election.trouble is None:
                # A dead replica has the Lease: it is ours when it stood unchanged for its term.
                self.later(TERM_SECONDS)
            await asyncio.sleep(_PAUSE_SECONDS)  # a busy API server may not answer in time
            await election.attempt()

    def later(self, seconds: float) -> None:
        """Set the clocks forward."""
        self.clocks.ahead_seconds += seconds

    @property
    def last_seconds(self) -> float:
        """When the last round was made, by its clocks."""
        return self.rounds[-1].at_seconds

    async def until_read(self, policy: str, *, floor: int) -> None:
        """Wait until the controller has learned of its watch that a policy has this floor."""
        policies = self.parts.controller._connections.policies

        def floors() -> set[int | None]:
            found = [one for one in policies.current() if one.name == policy]
            return {hours.nodes for one in found for hours in one.spec.warm_floors}

        async with asyncio.timeout(_WAIT_SECONDS):
            while floors() != {floor}:
                await asyncio.sleep(_PAUSE_SECONDS)

    def plan(self, pool: str) -> PoolPlan:
        """Of the last round."""
        return next(one for one in self.rounds[-1].decided.plan.pools if one.pool == pool)

    def said(self, pool: str) -> str:
        """The steps of the last plan."""
        return "\n".join(step.text for step in self.plan(pool).steps)

    async def said_by_levers(self, pool: str) -> str:
        """The steps of the levers that carry the last plan out."""
        found = await self.levers.actions(self.rounds[-1])
        return "\n".join(step.text for step in found.steps[pool])


@asynccontextmanager
async def controller_run(
    kubeconfig: Path,
    *,
    identity: str = "e2e",
    state: Path | None = None,
    prices: Path | None = None,
    ahead_seconds: float = 0.0,
    prepare: Callable[[ApiClient], None] = lambda _: None,
) -> AsyncIterator[ControllerRun]:
    """A controller that leads from its first round on; its Lease is given back at the end.

    Args:
        kubeconfig: of its account.
        identity: of this replica.
        state: the folder that keeps what it learned.
        prices: beside those of the clouds.
        ahead_seconds: how far its clocks are set forward.
        prepare: takes the client before it is used.
    """
    options = ControllerOptions(
        identity=identity, kubeconfig=kubeconfig, state=state, prices=prices
    )
    clocks = SetClocks(ahead_seconds)
    async with api_client(kubeconfig) as client:
        prepare(client)
        async with _led(options, client, clocks) as run:
            yield run


@asynccontextmanager
async def _led(
    options: ControllerOptions, client: ApiClient, clocks: SetClocks
) -> AsyncIterator[ControllerRun]:
    async with assembled(options, client, clocks.clocks()) as parts:
        levers = Levers(client, options.namespace, steady_clock)
        run = ControllerRun(parts=parts, clocks=clocks, levers=levers)
        try:
            yield run
        finally:
            if parts.election is not None:
                await parts.election.give_back()


def write_past(folder: Path, pool: str, gpus: Sequence[float]) -> None:
    """A state in which a pool wanted these GPUs, a value each two minutes up to now.

    With none it is that of a controller that has been there for long.
    """
    planning = NodePlanning(PlanningState(decisions=SETTLED))
    for back, wanted in zip(range(len(gpus), 0, -1), gpus, strict=True):
        planning.learn(wall_clock() - back * STEP_SECONDS, {pool: wanted})
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PLANNING).write_bytes(encode_state(planning.state))


def buffers(nodes: NodeCluster) -> list[Any]:
    """Of the controller."""
    found: list[Any] = nodes.bed.read(_BUFFERS)["items"]
    return found


def wait_answered(nodes: NodeCluster) -> None:
    """Until Karpenter has answered every order.

    One that nobody answers for a minute is given up, and tests set clocks forward by more.
    """
    nodes.wait(
        lambda: all(one.get("status", {}).get("conditions") for one in buffers(nodes)),
        "Karpenter to answer the orders",
    )


def placeholders(nodes: NodeCluster) -> list[Any]:
    """Deployments of the controller."""
    found: list[Any] = nodes.bed.read(_DEPLOYMENTS)["items"]
    return found


def templates(nodes: NodeCluster) -> list[Any]:
    """PodTemplates of the controller."""
    found: list[Any] = nodes.bed.read(_TEMPLATES)["items"]
    return found


def annotations(document: Document) -> dict[str, str]:
    found: dict[str, str] = document["metadata"].get("annotations", {})
    return found


def _path(collection: str, document: Document) -> str:
    return f"{collection}/{document['metadata']['name']}"


def _told(made: ClusterRound) -> str:
    return "; ".join(
        f"{pool.pool}: {step.text}" for pool in made.decided.plan.pools for step in pool.steps
    )
