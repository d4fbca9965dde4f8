"""Liveness and readiness: whether the loop turns, and whether KEDA's answers are current."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp.test_utils import make_mocked_request
from prometheus_client import CollectorRegistry

from foresail.http import FrontState, Pages
from foresail.pace import planning_settings
from foresail.settings_cycle import CycleSettings
from scaler.decision.answers import Reference
from scaler.errors import SourceUnavailableError
from scaler.serving.board import Board
from scaler.serving.cycle import PlanningCycle
from scaler.serving.feeds import Binding
from scaler.serving.metrics import PlanningMetrics
from scaler.serving.state_book import NoStates
from scaler.signals import Observation, Signal, Value
from scaler.trigger import AllowedOptions, TriggerSpec, parse
from tests.scaler.fakes import binding

ALLOWED = AllowedOptions(
    engines={"vllm": False}, sources=frozenset({"main"}), default_source="main"
)


class FakeFeed:
    """Reads one number, fails, or never answers."""

    def __init__(self, *, hangs: bool = False, fails: bool = False) -> None:
        self.hangs = hangs
        self.fails = fails

    async def observe(self, *, now_seconds: float) -> Observation:
        if self.hangs:
            await asyncio.Event().wait()
        if self.fails:
            raise SourceUnavailableError("prometheus is down")
        reading = Value(value=1000.0, at_seconds=now_seconds)
        return Observation(at_seconds=now_seconds, readings={Signal.PROMPT_TOKENS: reading})

    async def history(self, **_: float) -> AsyncIterator[Observation]:
        raise NotImplementedError
        yield


class Site:
    """The pages over a cycle that learns of each object as KEDA asks about it."""

    def __init__(self, feeds: dict[str, FakeFeed]) -> None:
        steady, registry = asyncio.get_running_loop().time, CollectorRegistry()

        def connect(reference: Reference, trigger_spec: TriggerSpec) -> Binding:
            model = trigger_spec.model
            return binding(model, feeds[model], trigger_spec, source=model)

        self.board = Board(lambda _, m: parse(m, ALLOWED), clock=steady, objects_max=10_000)
        self.loop = PlanningCycle(
            connect,
            planning_settings(CycleSettings(history=0)),
            publish=self.board.publish,
            wall=lambda: 1_800_000_000.0 + steady(),
            steady=steady,
            metrics=PlanningMetrics(registry),
            states=NoStates(),
        )
        self.front = FrontState(accepting=True)
        self.pages = Pages(loop=self.loop, registry=registry, clock=steady, front=self.front)

    def ask(self, model: str) -> None:
        self.board.ask(Reference.of("llm", model, {"model": model, "mode": "act"}))
        self.loop.apply(self.board.take_changes())

    async def status(self, path: str) -> int:
        request = make_mocked_request("GET", path)
        page = {"/healthz": self.pages.healthz, "/readyz": self.pages.readyz}[path]
        return (await page(request)).status


@asynccontextmanager
async def running(site: Site) -> AsyncIterator[None]:
    task = asyncio.create_task(site.loop.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_hundreds_of_feeds_that_hang_leave_the_pod_alive_and_ready() -> None:
    feeds = {f"hung-{n}": FakeFeed(hangs=True) for n in range(500)}
    site = Site({**feeds, "sound": FakeFeed()})
    async with running(site):
        for model in (*feeds, "sound"):
            site.ask(model)
        for _ in range(40):
            await asyncio.sleep(15)

            assert await site.status("/healthz") == 200
            assert await site.status("/readyz") == 200


async def test_a_loop_that_does_not_turn_is_not_alive() -> None:
    site = Site({})  # nobody runs its loop

    await asyncio.sleep(45)
    assert await site.status("/healthz") == 200
    await asyncio.sleep(1)
    assert await site.status("/healthz") == 500


async def test_a_pod_that_is_not_accepting_is_not_ready() -> None:
    site = Site({})
    site.front.accepting = False

    assert await site.status("/readyz") == 503


async def test_an_object_that_was_never_read_makes_nobody_unready() -> None:
    site = Site({"a": FakeFeed()})
    site.ask("a")

    assert await site.status("/readyz") == 200


async def test_errors_that_say_why_are_current_and_old_answers_are_not() -> None:
    site = Site({"a": FakeFeed(fails=True)})
    async with running(site):
        site.ask("a")
        await asyncio.sleep(1000)
        assert await site.status("/readyz") == 200  # a source that is down is no fault of the pod

    await asyncio.sleep(301)  # and now nobody plans
    assert await site.status("/readyz") == 503
