"""`foresail ray-scale`: which plans scale, on a dashboard that answers as Ray's."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest
from aiohttp import web
from click.testing import CliRunner

from foresail.cli import main
from foresail.plans_api.plan import Plan, plan_of
from foresail.ray.command import RayOptions, follow
from foresail.ray.scaling import Keep, Scale, wanted
from foresail.ray.serve import DeploymentState, RayError, RayServe, ServeDeployment
from foresail.ray.targets import targets_of
from scaler.decision.answers import Reference
from scaler.errors import ForesailError
from scaler.serving.plan_message import plan_message
from tests.contracts.plan_readers import NOW, PlansSite, named, status

pytestmark = pytest.mark.looptime(False)  # sockets need real time

A = named("a")
MODEL = ServeDeployment(application="chat", name="Model")
STATE = DeploymentState(
    target_replicas=2, running_replicas=2, scales_itself=False, refuses_others=False
)


def plan(**changes: object) -> Plan:
    made = plan_of(plan_message(status(A, replicas=4), now_seconds=NOW))
    return replace(made, on_watch_list=True, **changes)


@dataclass
class Dashboard:
    """Answers as Ray 2.60 does."""

    target: int = 1
    config: dict[str, object] | None = field(
        default_factory=lambda: {"external_scaler_enabled": True}
    )
    autoscaling: dict[str, int] | None = None
    statuses: list[int] = field(default_factory=list)
    """Of the next changes, before they succeed."""
    posted: list[int] = field(default_factory=list)
    agents: set[str] = field(default_factory=set)

    async def applications(self, _: web.Request) -> web.Response:
        deployment = {
            "target_num_replicas": self.target,
            "replicas": [{"state": "RUNNING"}, {"state": "STARTING"}],
            "deployment_config": {"autoscaling_config": self.autoscaling},
        }
        application = {"deployed_app_config": self.config, "deployments": {"Model": deployment}}
        return web.json_response({"applications": {"chat": application}})

    async def scale(self, request: web.Request) -> web.Response:
        self.agents.add(request.headers["User-Agent"])
        self.posted.append((await request.json())["target_num_replicas"])
        if self.statuses:
            return web.json_response({"error": "not now"}, status=self.statuses.pop(0))
        self.target = self.posted[-1]
        return web.json_response({"message": "Scaling request received."})

    @asynccontextmanager
    async def served(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_get("/api/serve/applications/", self.applications)
        app.router.add_post("/api/v1/applications/chat/deployments/Model/scale", self.scale)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()


@pytest.mark.parametrize(
    ("given", "state", "expected"),
    [
        pytest.param(plan(), STATE, Scale(replicas=4, before=2), id="another target"),
        pytest.param(plan(), replace(STATE, target_replicas=4), "4 is the target", id="the same"),
        pytest.param(plan(), None, "no such deployment", id="unknown"),
        pytest.param(
            plan(), replace(STATE, scales_itself=True), "Ray scales it itself", id="its own"
        ),
        pytest.param(
            plan(), replace(STATE, refuses_others=True), "external_scaler_enabled", id="refuses"
        ),
        pytest.param(plan(valid_for_seconds=None), STATE, "too old", id="stands no longer"),
        pytest.param(plan(plan=None, failure="HTTP 401"), STATE, "HTTP 401", id="no plan"),
        pytest.param(replace(plan(), on_watch_list=False), STATE, "KEDA asks", id="KEDA's"),
    ],
)
def test_a_deployment_is_scaled_only_by_a_standing_plan_and_where_it_is_ours(
    given: Plan, state: DeploymentState | None, expected: Scale | str
) -> None:
    change = wanted(given, state)
    if isinstance(expected, str):
        assert isinstance(change, Keep)
        assert expected in change.why
    else:
        assert change == expected


@dataclass
class Following:
    """A run of the command beside a served book of plans."""

    site: PlansSite
    lines: list[str]

    def plan(self, replicas: int, reference: Reference = A) -> None:
        self.site.statuses[reference] = replace(
            status(reference, replicas=replicas), on_watch_list=True
        )
        self.site.book.changed(reference)

    async def said(self, text: str) -> str:
        async with asyncio.timeout(60):
            while True:
                for line in self.lines:
                    if text in line:
                        return line
                await asyncio.sleep(0.01)


@asynccontextmanager
async def following(
    ray: str, *, acts: bool = True, target: str = "team-a/a=chat/Model"
) -> AsyncIterator[Following]:
    run = Following(PlansSite(), [])
    async with run.site.served():
        options = RayOptions(
            server=f"127.0.0.1:{run.site.port}",
            tls=None,
            ray=ray,
            token_file=None,
            targets=targets_of([target]),
            acts=acts,
            retry_seconds=(0.01, 0.01),
        )
        task = asyncio.create_task(follow(options, run.lines.append))
        try:
            yield run
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_each_plan_becomes_the_target() -> None:
    ray = Dashboard()
    async with ray.served() as url, following(url) as run:
        run.plan(4)
        assert await run.said("from 1 to 4") == "team-a/a: chat/Model from 1 to 4"
        run.plan(0)
        await run.said("from 4 to 0")
    assert ray.posted == [4, 0]
    assert ray.agents == {"foresail"}


async def test_without_act_it_says_what_would_change() -> None:
    ray = Dashboard()
    async with ray.served() as url, following(url, acts=False) as run:
        run.plan(4)
        await run.said("would go from 1 to 4 (advice)")
    assert ray.posted == []


async def test_a_change_that_fails_is_tried_three_times_and_again_with_the_next_plan() -> None:
    ray = Dashboard(statuses=[500, 503, 500])
    async with ray.served() as url, following(url) as run:
        run.plan(4)
        line = await run.said("until the next plan")
        assert ray.posted == [4, 4, 4]
        run.plan(5)
        await run.said("from 1 to 5")
    assert "HTTP 500" in line
    assert ray.posted == [4, 4, 4, 5]


async def test_a_412_is_not_ours_and_not_tried_again() -> None:
    """An application that was deployed from Python shows no config."""
    ray = Dashboard(config=None, statuses=[412])
    async with ray.served() as url, following(url) as run:
        run.plan(4)
        await run.said("`external_scaler_enabled: true`")
    assert ray.posted == [4]


@pytest.mark.parametrize(
    "ray",
    [
        pytest.param(Dashboard(autoscaling={"max_replicas": 2}), id="its own autoscaling"),
        pytest.param(Dashboard(config={"name": "chat"}), id="not deployed for it"),
    ],
)
async def test_an_application_that_is_not_ours_is_never_asked_to_change(ray: Dashboard) -> None:
    async with ray.served() as url, following(url) as run:
        run.plan(4)
        await run.said("stays")
    assert ray.posted == []


async def test_a_ray_that_is_down_and_a_workload_that_is_unknown_are_told() -> None:
    async with following("http://127.0.0.1:9") as run:
        await run.said("no plan: the server knows no such workload")
        run.plan(4)
        await run.said("Ray at http://127.0.0.1:9: ")


@pytest.mark.parametrize("body", ["[]", "{}", "<html>", '{"applications": {"chat": 1}}'])
async def test_an_answer_that_is_none_of_rays_is_an_error(body: str) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=body)

    dashboard = Dashboard()
    dashboard.applications = answer  # type: ignore[method-assign]
    async with dashboard.served() as url, RayServe(url) as ray:
        with pytest.raises(RayError, match="its list of applications cannot be read"):
            await ray.states()


@pytest.mark.parametrize(
    "targets",
    [
        pytest.param(["llm/m"], id="no deployment"),
        pytest.param(["m=chat/Model"], id="no namespace"),
        pytest.param(["llm/m=chat"], id="no name"),
        pytest.param(["llm/m=chat/Model", "llm/m=chat/Other"], id="a workload twice"),
        pytest.param(["llm/m=chat/Model", "llm/n=chat/Model"], id="a deployment twice"),
    ],
)
def test_targets_that_cannot_be_used_are_refused(targets: list[str]) -> None:
    with pytest.raises(ForesailError, match="--target"):
        targets_of(targets)
    given = [part for target in targets for part in ("--target", target)]
    result = CliRunner().invoke(main, ["ray-scale", *given])
    assert result.exit_code == 1
    assert "--target" in result.output
