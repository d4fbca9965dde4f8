"""A real Ray Serve application goes where the plan says, and one that scales itself stays."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from foresail.ray.command import RayOptions, follow
from foresail.ray.serve import NotOursError, RayError, RayServe, ServeDeployment
from foresail.ray.targets import targets_of
from tests.contracts.plan_readers import PlansSite, named, status
from tests.integration.ray_cluster import MODEL, OURS, OWN, RayCluster

# A real Ray, in real time.
pytestmark = pytest.mark.looptime(False)

SCALED_SECONDS = 60.0
A = named("a")


@pytest.fixture(scope="module")
def ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    cluster = RayCluster(tmp_path_factory.mktemp("ray"))
    try:
        cluster.deploy()
        yield cluster
    finally:
        cluster.stop()


def plan(site: PlansSite, replicas: int) -> None:
    site.statuses[A] = replace(status(A, replicas=replicas), on_watch_list=True)
    site.book.changed(A)


async def until(condition: Callable[[], bool], what: Callable[[], str]) -> None:
    loop = asyncio.get_running_loop()
    limit = loop.time() + SCALED_SECONDS
    while not await asyncio.to_thread(condition):
        assert loop.time() < limit, what()
        await asyncio.sleep(0.2)


@asynccontextmanager
async def scaling(ray: RayCluster, application: str) -> AsyncIterator[tuple[PlansSite, list[str]]]:
    """`foresail ray-scale --act`, and the plans that it follows."""
    site, lines = PlansSite(), list[str]()
    async with site.served():
        options = RayOptions(
            server=f"127.0.0.1:{site.port}",
            tls=None,
            ray=ray.url,
            token_file=None,
            targets=targets_of([f"team-a/a={application}/{MODEL}"]),
            acts=True,
        )
        following = asyncio.create_task(follow(options, lines.append))
        try:
            yield site, lines
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)


async def test_a_ray_serve_application_goes_where_the_plan_says(ray: RayCluster) -> None:
    async with scaling(ray, OURS) as (site, lines):
        plan(site, 3)
        await until(lambda: ray.running(OURS) == 3, lambda: f"three replicas: {lines}")
        plan(site, 0)
        await until(lambda: ray.running(OURS) == 0, lambda: f"no replica: {lines}")

    ours = f"team-a/a: {OURS}/{MODEL} from"
    assert [line for line in lines if "from" in line] == [f"{ours} 1 to 3", f"{ours} 3 to 0"]


async def test_an_application_that_ray_scales_itself_stays(ray: RayCluster) -> None:
    async with scaling(ray, OWN) as (site, lines):
        plan(site, 2)
        await until(lambda: any("Ray scales it itself" in line for line in lines), str)
    assert ray.target(OWN) == 1


async def test_rays_412_is_not_ours_and_its_404_an_error(ray: RayCluster) -> None:
    async with RayServe(ray.url) as dashboard:
        with pytest.raises(NotOursError, match="external_scaler_enabled"):
            await dashboard.scale(ServeDeployment(application=OWN, name=MODEL), 2)
        with pytest.raises(RayError, match="HTTP 404"):
            await dashboard.scale(ServeDeployment(application="none", name=MODEL), 2)
    assert ray.target(OWN) == 1
