"""A real MLflow server on loopback, with SQLite: progress, refusals, and tags that come back."""

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from fleet.cluster.owners import Workload
from fleet.cluster.pods import Pod, pod_of
from foresail.gpus.training_runs import RunsRead, read_runs
from foresail.meters.mlflow import MlflowClient, MlflowError, MlflowServer, NotFoundError
from tests.fleet.objects import pod
from tests.fleet.training_runs import SHAPES, START, logged
from tests.foresail.controller.run_hall import hall_of
from tests.integration.environments import programs_of

pytestmark = pytest.mark.looptime(False)
JOB_SET = {"jobset.sigs.k8s.io/jobset-name": "tune"}
TUNE = Workload(kind="JobSet", namespace="llm", name="tune")
Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    program = programs_of("mlflow") / "mlflow"
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(program), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/runs.db"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    # Its worker is a process of its own, which the first does not always take along.
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(
            command, stdout=log, stderr=log, start_new_session=True, cwd=folder
        ) as server,
    ):
        try:
            _wait(f"http://127.0.0.1:{port}/health", server, folder / "log")
            yield f"http://127.0.0.1:{port}"
        finally:
            with contextlib.suppress(ProcessLookupError):
                _end(server)


def _wait(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(600):
        assert server.poll() is None, log.read_text(encoding="utf-8")
        with contextlib.suppress(OSError), direct.open(url, timeout=5):
            return
        time.sleep(0.2)
    raise AssertionError(log.read_text(encoding="utf-8"))


def _end(server: subprocess.Popen[bytes]) -> None:
    os.killpg(server.pid, signal.SIGTERM)
    try:
        server.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)


@pytest.fixture
async def ask(url: str) -> AsyncIterator[Ask]:
    """A training program's calls."""
    async with aiohttp.ClientSession() as session:

        async def post(path: str, **body: Any) -> Any:
            async with session.post(f"{url}/api/2.0/mlflow/{path}", json=body) as answer:
                assert answer.status == 200, await answer.text()
                return await answer.json()

        yield post


async def begun(ask: Ask, *, max_steps: int | None = 1000, **tags: str) -> str:
    """A run that began at START."""
    listed = [{"key": key, "value": value} for key, value in tags.items()]
    made = await ask(
        "runs/create", experiment_id="0", start_time=int(START * 1000), run_name="tune", tags=listed
    )
    run_id = made["run"]["info"]["run_id"]
    if max_steps is not None:
        await ask("runs/log-parameter", run_id=run_id, key="max_steps", value=str(max_steps))
    return str(run_id)


async def logs(ask: Ask, run_id: str, points: Any) -> None:
    metrics = [
        {"key": "loss", "value": 1.0, "timestamp": int(p.at_seconds * 1000), "step": int(p.done)}
        for p in points
    ]
    for begin in range(0, len(metrics), 1000):
        await ask("runs/log-batch", run_id=run_id, metrics=metrics[begin : begin + 1000])


def member(name: str = "tune-0", **annotations: str) -> Pod:
    document = pod(name, gpus=8, labels=JOB_SET)
    document["metadata"]["annotations"] = annotations
    return pod_of(document)


def one(read: RunsRead) -> Any:
    (found,) = read.linked
    return found


@pytest.mark.parametrize("name", SHAPES)
async def test_a_run_at_a_step_of_max_steps_ends_within_a_tenth_of_what_is_left(
    url: str, ask: Ask, name: str
) -> None:
    points, end = logged(SHAPES[name], seed=3)
    now = START + 0.6 * (end - START)
    run_id = await begun(ask)
    await logs(ask, run_id, [each for each in points if each.at_seconds <= now])
    # Steps of system metrics count samples, and NaN is a value as any other.
    await ask("runs/log-metric", run_id=run_id, key="system/gpu_0_power_usage_watts", value=1.0,
              timestamp=int(now * 1000), step=99_999)  # fmt: skip
    await ask("runs/log-metric", run_id=run_id, key="grad_norm", value="NaN",
              timestamp=int(now * 1000), step=1)  # fmt: skip
    pods = [member(**{"foresail.io/mlflow-run-id": run_id})]

    found = one(await read_runs(MlflowServer(url=url), pods, (), now))

    assert found.gang == TUNE
    assert found.progress.total == 1000.0
    assert found.progress.ends_at_seconds == pytest.approx(end, abs=0.1 * (end - now))
    await ask("runs/update", run_id=run_id, status="FINISHED", end_time=int(end * 1000))


async def test_a_run_names_its_workload_by_a_tag_and_its_end_is_read_when_it_is_over(
    url: str, ask: Ask
) -> None:
    run_id = await begun(ask, **{"foresail.io/workload": "llm/tune"})
    nested = await begun(ask, **{"foresail.io/workload": "llm/tune", "mlflow.parentRunId": run_id})
    server, pods = MlflowServer(url=url), [member()]

    running = one(await read_runs(server, pods, (), START + 60))
    await ask("runs/update", run_id=run_id, status="FINISHED", end_time=int((START + 90) * 1000))
    over = one(await read_runs(server, pods, [running], START + 120))

    assert (running.run.run_id, running.progress.ends_at_seconds) == (run_id, None)
    assert (over.run.running, over.progress.ends_at_seconds) == (False, START + 90)
    await ask("runs/update", run_id=nested, status="KILLED", end_time=int(START * 1000))


async def test_a_stalled_run_ends_when_it_came_to_be_stalled(url: str, ask: Ask) -> None:
    points, _ = logged(SHAPES["even"])
    run_id = await begun(ask)
    await logs(ask, run_id, points[:10])
    pods = [member(**{"foresail.io/mlflow-run-id": run_id})]

    found = one(await read_runs(MlflowServer(url=url), pods, (), START + 7200))

    # Its step 100 came after 10 min; half an hour later it counts as stalled.
    assert found.progress.stalled
    assert found.progress.ends_at_seconds == pytest.approx(START + 600 + 1800, abs=1)
    await ask("runs/update", run_id=run_id, status="KILLED", end_time=int(START * 1000))


async def test_the_name_of_a_service_is_refused_and_the_message_says_what_to_start_it_with(
    url: str,
) -> None:
    class Named(MlflowServer):
        """The server as a pod names it, whose name resolves to loopback here."""

        def credentials(self) -> dict[str, str]:
            return {"Host": "mlflow.ml.svc:5000"}

    with pytest.raises(MlflowError, match=r"--allowed-hosts") as refused:
        await read_runs(Named(url=url), [member()], (), START)
    assert "DNS rebinding" in str(refused.value)


async def test_a_run_that_the_server_does_not_know_is_a_remark(url: str) -> None:
    pods = [member(**{"foresail.io/mlflow-run-id": "none-such"})]
    found = await read_runs(MlflowServer(url=url), pods, (), START)
    assert found.linked == ()
    assert "Run with id=none-such not found" in found.remarks[0]


async def test_an_experiment_that_there_is_not_is_named(url: str) -> None:
    server = MlflowServer(url=url, experiments=("nobody's",))
    with pytest.raises(MlflowError, match='no experiment "nobody\'s"'):
        await read_runs(server, [member()], (), START)


async def test_a_tag_that_is_written_comes_back(url: str, ask: Ask) -> None:
    run_id = await begun(ask)
    async with MlflowClient(server=MlflowServer(url=url)) as client:
        await client.set_tag(run_id, "foresail.gpu_hours", "12.50")
        assert (await client.run(run_id)).tags["foresail.gpu_hours"] == "12.50"
        with pytest.raises(NotFoundError):
            await client.set_tag("none-such", "foresail.gpu_hours", "1")


async def test_nodes_are_held_until_the_run_ends_and_its_cost_is_in_its_tags(
    url: str, ask: Ask
) -> None:
    hall = hall_of(url)
    hall.now = START
    run_id = hall.run_id = await begun(ask)
    points, _ = logged(SHAPES["even"])
    await logs(ask, run_id, points[:50])

    running = await hall.round(after=3000)
    await ask("runs/update", run_id=run_id, status="FINISHED", end_time=int((START + 3060) * 1000))
    ended = await hall.round(after=300)
    over = await hall.round(after=1900)

    assert (running, ended, over == "hold") == ("hold", "hold", False)
    async with MlflowClient(server=MlflowServer(url=url)) as client:
        tags = (await client.run(run_id)).tags
    # 8 GPUs since the run began, 50 min before it was read.
    assert float(tags["foresail.gpu_hours"]) == pytest.approx(8 * 3000 / 3600, rel=1e-3)
    assert float(tags["foresail.usd"]) == pytest.approx(8 * 3000 / 3600 * 6.88, rel=1e-3)
