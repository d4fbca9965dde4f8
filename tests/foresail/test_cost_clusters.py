"""`foresail cost` on API servers: once, over a time, and going on from a file."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from rich.console import Console

from fleet.account.cost_state import decoded
from fleet.cluster.kinds import SOURCES, Kind
from foresail.cost import command as cost_command
from foresail.cost import reading as cost_reading
from foresail.cost.command import CostOptions
from foresail.gpus.options import FleetOptions
from scaler.errors import ForesailError
from tests.fleet.api_server import ApiServer
from tests.fleet.objects import H100, node, node_claim, pod

pytestmark = pytest.mark.looptime(False)  # sockets live in real time

P5 = H100 | {"node.kubernetes.io/instance-type": "p5.48xlarge", "karpenter.sh/nodepool": "big"}
CLAIMS = SOURCES[Kind.NODE_CLAIM].path
GPU_USD_PER_SECOND = 6.88 / 3600


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    one = ApiServer()
    one.serve(SOURCES[Kind.NODE].path, "Node", node(labels=P5, gpus=8))
    one.serve(SOURCES[Kind.POD].path, "Pod", pod("a", gpus=2, labels={"model": "chat"}))
    one.serve(CLAIMS, "NodeClaim", node_claim("big-x7kq2", "Launched", labels=P5))
    await one.start()
    yield one
    await one.stop()


@pytest.fixture
def once(server: ApiServer, tmp_path: Path) -> CostOptions:
    """Of context `prod`; `other` is the same server."""
    names = ("prod", "other")
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "prod",
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.port}"}}],
        "contexts": [{"name": one, "context": {"cluster": "c", "user": "me"}} for one in names],
        "users": [{"name": "me", "user": {"token": "t"}}],
    }
    file = tmp_path / "config"
    file.write_text(yaml.safe_dump(document))
    return CostOptions(fleet=FleetOptions(kubeconfig=file, form="json"))


@pytest.fixture
def watched(once: CostOptions) -> CostOptions:
    return replace(once, watch_seconds=0.5, every_seconds=0.1)


class Clock:
    """The time of a watch, which passes only while the watch waits."""

    def __init__(self) -> None:
        self.now = 0.0
        self.then: tuple[float, Callable[[], Awaitable[None]]] | None = None
        """What happens once, and when."""

    def time(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.then is not None and self.now >= self.then[0]:
            (_, happen), self.then = self.then, None
            await happen()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    loop = SimpleNamespace(get_running_loop=lambda: made, sleep=made.sleep, gather=asyncio.gather)
    monkeypatch.setattr(cost_command, "asyncio", loop)
    for module in (cost_command, cost_reading):
        monkeypatch.setattr(module, "wall_clock", lambda: 1_800_000_000.0 + made.now)
    return made


async def rounds(server: ApiServer, count: int) -> None:
    """Wait until a cluster was read so often."""
    async with asyncio.timeout(60):
        while [one["path"] for one in server.asked].count(SOURCES[Kind.NODE].path) < count:
            await asyncio.sleep(0.01)


async def test_a_second_process_is_kept_from_the_same_file(
    watched: CostOptions, server: ApiServer, tmp_path: Path
) -> None:
    options = replace(watched, state=tmp_path / "cost.json", watch_seconds=30.0)
    first = asyncio.create_task(cost_command.watch(options, Console()))
    await rounds(server, 2)

    with pytest.raises(ForesailError, match=r"cost\.json: another `foresail cost` adds up into it"):
        await cost_command.watch(options, Console())

    first.cancel()
    await asyncio.wait([first])
    assert {one.name for one in tmp_path.iterdir()} == {"config", "cost.json", "cost.json.lock"}


async def test_a_named_pipe_is_not_waited_for(watched: CostOptions, tmp_path: Path) -> None:
    pipe = tmp_path / "cost.json"
    os.mkfifo(pipe)
    with pytest.raises(ForesailError, match=r"cost\.json: it is no regular file"):
        await cost_command.watch(replace(watched, state=pipe), Console())


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    (line,) = capsys.readouterr().out.splitlines()
    document = json.loads(line)
    assert isinstance(document, dict)
    return document


def usd(document: dict[str, Any]) -> dict[str, float]:
    return {row["reason"]: row["usd"] for row in document["reasons"]}


async def test_one_reading_has_the_cost_of_an_hour_and_of_machines_to_come(
    once: CostOptions, capsys: pytest.CaptureFixture[str]
) -> None:
    await cost_command.show(once, Console())

    assert usd(told(capsys)) == {
        "veto": pytest.approx(2 * 6.88),
        "uninitialized": pytest.approx(55.04),
        "fragmentation": pytest.approx(6 * 6.88),
    }


async def test_a_cluster_without_karpenter_has_no_machines_to_come(
    once: CostOptions, server: ApiServer, capsys: pytest.CaptureFixture[str]
) -> None:
    del server.collections[CLAIMS]

    await cost_command.show(once, Console())

    document = told(capsys)
    assert "uninitialized" not in usd(document)
    assert [one for one in document["remarks"] if "NodeClaim" in one] == []


async def test_without_the_right_to_read_nodeclaims_the_rest_is_shown_and_it_says_so(
    once: CostOptions, server: ApiServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.forbidden.add(CLAIMS)

    await cost_command.show(once, Console())

    document = told(capsys)
    assert document["total"]["usd"] == pytest.approx(55.04)
    assert "no NodeClaim was read: machines without a node are not counted" in document["remarks"]


async def test_readings_are_added_up_over_a_time(
    watched: CostOptions, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    await cost_command.watch(watched, Console())

    document = told(capsys)
    seconds = document["overSeconds"]
    assert seconds == pytest.approx(0.5)
    assert usd(document) == {
        "veto": pytest.approx(2 * seconds * GPU_USD_PER_SECOND),
        "uninitialized": pytest.approx(8 * seconds * GPU_USD_PER_SECOND),
        "fragmentation": pytest.approx(6 * seconds * GPU_USD_PER_SECOND),
    }


async def test_a_change_counts_from_the_reading_that_finds_it(
    watched: CostOptions, server: ApiServer, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    async def ends() -> None:
        await server.delete(SOURCES[Kind.POD].path, "a")

    clock.then = (0.75, ends)  # found by the reading at 0.8 s
    await cost_command.watch(replace(watched, watch_seconds=2.0), Console())

    document = told(capsys)
    assert set(usd(document)) == {"veto", "uninitialized", "fragmentation", "no reason"}
    assert usd(document)["veto"] == pytest.approx(2 * 0.8 * GPU_USD_PER_SECOND)
    assert document["total"]["gpuHours"] == pytest.approx(16 * document["overSeconds"] / 3600)


async def test_a_cluster_that_is_gone_for_a_round_is_named_and_its_time_is_not_lost(
    watched: CostOptions, server: ApiServer, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    async def gone() -> None:
        server.forbidden.add(SOURCES[Kind.NODE].path)

    clock.then = (1.0, gone)
    await cost_command.watch(replace(watched, watch_seconds=2.0), Console())

    document = told(capsys)
    assert [one.partition(":")[0] for one in document["notShown"]] == ["prod"]
    assert document["total"]["gpuHours"] == pytest.approx(16 * document["overSeconds"] / 3600)


async def test_time_in_which_nothing_can_be_read_is_unknown_to_the_end(
    watched: CostOptions, server: ApiServer, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    async def gone() -> None:
        server.forbidden.add(SOURCES[Kind.NODE].path)

    clock.then = (600.0, gone)
    hours = replace(watched, watch_seconds=2 * 3600.0, every_seconds=300.0)
    await cost_command.watch(hours, Console())

    document = told(capsys)
    assert document["overSeconds"] == 2 * 3600.0
    hours_of = {row["reason"]: row["gpuHours"] for row in document["reasons"]}
    # The last reading was at 5 minutes, and told of 10 more.
    assert hours_of["unknown"] == pytest.approx(16 * 1.75)
    assert document["total"]["gpuHours"] == pytest.approx(16 * 2)


async def test_totals_go_on_from_a_file(
    watched: CostOptions, clock: Clock, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = replace(watched, state=tmp_path / "cost", watch_seconds=0.2)

    await cost_command.watch(kept, Console())
    first = told(capsys)
    clock.now += 1.0
    await cost_command.watch(kept, Console())
    second = told(capsys)

    assert first["overSeconds"] == pytest.approx(0.2)
    assert second["overSeconds"] == pytest.approx(0.2 + 1.0 + 0.2)
    assert second["total"]["gpuHours"] == pytest.approx(16 * second["overSeconds"] / 3600)
    book = decoded((tmp_path / "cost").read_bytes())
    assert sum(one.usd for one in book.gpu_hours.totals.values()) == second["total"]["usd"]
    assert {one.name for one in tmp_path.glob("cost*")} == {"cost", "cost.lock"}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"nothing", "no cost of `foresail cost`: Invalid JSON"),
        (b'{"format": 9}', "format 9; this program reads 1; name another file to begin anew"),
    ],
)
async def test_a_file_that_holds_no_totals_is_left_alone(
    watched: CostOptions, tmp_path: Path, content: bytes, why: str
) -> None:
    file = tmp_path / "cost"
    file.write_bytes(content)

    with pytest.raises(ForesailError, match=why):
        await cost_command.watch(replace(watched, state=file), Console())
    assert file.read_bytes() == content


async def test_a_file_of_another_cluster_is_refused(
    watched: CostOptions, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = replace(watched, state=tmp_path / "cost", watch_seconds=0.1)
    await cost_command.watch(kept, Console())
    other = replace(kept, fleet=replace(kept.fleet, contexts=("other",)))

    with pytest.raises(ForesailError, match="it has the cost of prod, not of other"):
        await cost_command.watch(other, Console())


@pytest.mark.parametrize("place", ["folder", "nowhere/cost"])
async def test_a_file_that_cannot_be_is_an_error_with_its_name(
    watched: CostOptions, tmp_path: Path, place: str
) -> None:
    (tmp_path / "folder").mkdir()

    with pytest.raises(ForesailError, match=f"--state .*{place}: "):
        await cost_command.watch(replace(watched, state=tmp_path / place), Console())


async def test_one_file_keeps_one_cluster(watched: CostOptions, tmp_path: Path) -> None:
    both = replace(watched.fleet, every_context=True)

    with pytest.raises(ForesailError, match="--state keeps the totals of one cluster"):
        await cost_command.watch(replace(watched, fleet=both, state=tmp_path / "s"), Console())
