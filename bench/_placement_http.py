"""The same run as `fill_up`, but each pod goes through the extender's HTTP verbs."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter

import numpy as np
from aiohttp import ClientSession, TCPConnector, web

from bench._placement_rules import Fgd
from bench._placement_run import Outcome, Tally
from bench._placement_trace import arrivals, in_random_order
from scheduler.extender import Extender
from scheduler.gains import ROWS_IN_A_HURRY
from scheduler.machines import Machine
from scheduler.mix import Mix
from scheduler.placement import ANY_MODEL, Node, Shape
from scheduler.placement_state import SCORE_MAX, PlacementState
from scheduler.pods import GPU_MILLI, GPU_MODELS, Known, pod_of

_SHARING = Known(shares=True)
"""Pods of the traces share GPUs."""
_WINDOW = 0.005


def over_http(
    nodes: Sequence[Node], pods: Sequence[Shape], mix: Mix, seed: int, *, in_a_hurry: bool
) -> Outcome:
    """Pods arrive one by one; the node with the highest score gets each."""
    rows_at_once = ROWS_IN_A_HURRY if in_a_hurry else None
    return asyncio.run(_run(nodes, pods, mix, seed, rows_at_once))


async def _run(
    nodes: Sequence[Node],
    pods: Sequence[Shape],
    mix: Mix,
    seed: int,
    rows_at_once: int | None,
) -> Outcome:
    random = np.random.default_rng(seed)
    # As in the protocol: nodes are renamed in the seeded order, and ties go to the smallest name.
    ordered = [
        replace(node, name=f"node-{at:05d}")
        for at, node in enumerate(in_random_order(nodes, random))
    ]
    machines = [machine(node) for node in ordered]
    placement = PlacementState(machines, mix, rows_at_once=rows_at_once)
    capacity = int(placement.nodes.idle.sum())
    tally, arriving = Tally(), arrivals(pods, capacity, random)
    names = [node.name for node in ordered]
    wide_percent: float | None = None
    begun = perf_counter()
    async with serving(placement) as url, ClientSession(connector=TCPConnector(limit=1)) as session:
        for number, shape in enumerate(arriving):
            pod = manifest(shape, str(number))
            fits = placement.nodes.fits(counted(shape))
            asked = [names[row] for row in np.flatnonzero(fits).tolist()]
            node = await chosen(session, url, pod, asked)
            if node is not None:
                placement.bound(pod_of(pod, _SHARING), node)
            tally.count(shape, given=node is not None)
            load = tally.asked_milli / capacity
            if abs(load - 1) <= _WINDOW:
                tally.samples.append(100 * tally.given_milli / capacity)
            if load >= 1 and tally.fragment is None:
                tally.fragment = 100 * Fgd(placement.nodes, mix).fragment_milli() / capacity
                wide_percent = tally.wide_percent()
    return Outcome(
        allocation_100=float(np.mean(tally.samples)),
        allocation_130=100 * tally.given_milli / capacity,
        multi_gpu_accepted_100=wide_percent,
        frag_100=tally.fragment,
        pods_per_second=len(arriving) / (perf_counter() - begun),
    )


def counted(shape: Shape) -> Shape:
    """What kube-scheduler counts itself, before it asks: neither models nor shares of a GPU."""
    if shape.is_share:
        return replace(shape, gpus=0, gpu_milli=0, models=ANY_MODEL)
    return replace(shape, models=ANY_MODEL)


class serving:  # noqa: N801 a context manager, used as a verb
    """The extender on a free port of loopback."""

    def __init__(self, placement: PlacementState) -> None:
        extender = Extender(placement=placement, clock=perf_counter, known=_SHARING)
        self._runner = web.AppRunner(extender.application(), access_log=None)

    async def __aenter__(self) -> str:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()


async def chosen(
    session: ClientSession, url: str, pod: dict[str, object], names: list[str]
) -> str | None:
    """The node that kube-scheduler would take of these if nothing else had a say."""
    if not names:
        return None
    asked = {"Pod": pod, "Nodes": None, "NodeNames": names}
    async with session.post(f"{url}/filter", json=asked) as response:
        left: list[str] = (await response.json())["NodeNames"]
    if len(left) < 2:  # noqa: PLR2004 with one node left nobody asks for scores
        return left[0] if left else None
    async with session.post(f"{url}/prioritize", json=asked | {"NodeNames": left}) as response:
        scores = await response.json()
    (best,) = [score["Host"] for score in scores if score["Score"] == SCORE_MAX]
    return str(best)


def machine(node: Node) -> Machine:
    return Machine(
        name=node.name,
        cpu_milli=node.cpu_milli,
        memory_mib=node.memory_mib,
        model=node.model,
        gpus=len(node.gpus_milli),
    )


def manifest(shape: Shape, uid: str) -> dict[str, object]:
    """The pod object of a shape."""
    requests = {"cpu": f"{shape.cpu_milli}m", "memory": f"{shape.memory_mib}Mi"}
    annotations = {}
    if shape.gpus:
        requests["nvidia.com/gpu"] = str(shape.gpus)
    if shape.is_share:
        annotations[GPU_MILLI] = str(shape.gpu_milli)
    if shape.models:
        annotations[GPU_MODELS] = "|".join(sorted(shape.models))
    return {
        "metadata": {"name": uid, "namespace": "bench", "uid": uid, "annotations": annotations},
        "spec": {"containers": [{"name": "main", "resources": {"requests": requests}}]},
    }
