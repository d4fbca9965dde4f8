"""`foresail fleet` over contexts of a kubeconfig, once and following, beside one that is gone."""

import asyncio
import json
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from fleet.cluster.follow.clients import ClusterUnreachableError, connected, contexts
from fleet.cluster.kinds import SOURCES, Kind
from foresail.gpus import command as fleet_command
from foresail.gpus import jobs_command
from foresail.gpus.options import FleetOptions
from scaler.errors import ForesailError
from tests.account.test_startups import BEGIN, claimed
from tests.fleet.api_server import ApiServer
from tests.fleet.objects import H100, node, pod

pytestmark = pytest.mark.looptime(False)  # sockets live in real time


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    one = ApiServer()
    one.serve(SOURCES[Kind.NODE].path, "Node", node(labels=H100, gpus=8))
    one.serve(SOURCES[Kind.POD].path, "Pod", pod("a", gpus=2))
    await one.start()
    yield one
    await one.stop()


@pytest.fixture
def kubeconfig(server: ApiServer, tmp_path: Path) -> Path:
    """Contexts `prod`, and `gone` whose server does not answer; the token is of a program."""
    program = tmp_path / "token"
    status = {"token": "of-a-program", "expirationTimestamp": "2000-01-01T00:00:00Z"}
    credential = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": status,
    }
    program.write_text(f"#!/bin/sh\necho '{json.dumps(credential)}'\n")
    program.chmod(0o755)
    ports = {"prod": server.port, "gone": 1}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "prod",
        "clusters": [
            {"name": name, "cluster": {"server": f"http://127.0.0.1:{port}"}}
            for name, port in ports.items()
        ],
        "contexts": [{"name": name, "context": {"cluster": name, "user": "me"}} for name in ports],
        "users": [
            {
                "name": "me",
                "user": {
                    "exec": {
                        "apiVersion": "client.authentication.k8s.io/v1",
                        "command": str(program),
                        "interactiveMode": "Never",
                    }
                },
            }
        ],
    }
    file = tmp_path / "config"
    file.write_text(yaml.safe_dump(document))
    return file


def lines(capsys: pytest.CaptureFixture[str]) -> list[Any]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


async def test_a_cluster_that_is_gone_is_named_and_the_other_is_shown(
    kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = FleetOptions(kubeconfig=kubeconfig, every_context=True, form="json")

    await fleet_command.show(options, Console())

    (document,) = lines(capsys)
    assert [one["cluster"] for one in document["clusters"]] == ["prod"]
    assert document["total"]["allocated"] == 2
    assert [reason.startswith("gone: /api/v1/nodes: ") for reason in document["notShown"]] == [True]


async def test_the_current_context_is_meant_unless_one_is_named(
    kubeconfig: Path, server: ApiServer, capsys: pytest.CaptureFixture[str]
) -> None:
    await fleet_command.show(FleetOptions(kubeconfig=kubeconfig, form="json"), Console())

    assert [one["cluster"] for one in lines(capsys)[0]["clusters"]] == ["prod"]
    assert {query["authorization"] for query in server.asked} == {"Bearer of-a-program"}


async def test_when_no_cluster_can_be_read_every_reason_is_shown(kubeconfig: Path) -> None:
    options = FleetOptions(kubeconfig=kubeconfig, contexts=("gone", "nameless"))

    with pytest.raises(ForesailError, match=r"gone: .*\nnameless: context 'nameless': "):
        await fleet_command.show(options, Console())


async def test_watching_tells_of_changes_and_of_nothing_else(
    kubeconfig: Path,
    server: ApiServer,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fleet_command, "_REDRAW_SECONDS", 0.0)
    options = FleetOptions(kubeconfig=kubeconfig, every_context=True, form="json")
    seen: list[Any] = []

    async def until(allocated: float | None) -> None:
        async with asyncio.timeout(60):
            while not (
                seen and seen[-1]["clusters"] and seen[-1]["total"]["allocated"] == allocated
            ):
                await asyncio.sleep(0.01)
                seen.extend(lines(capsys))

    watching = asyncio.create_task(fleet_command.watch(options, Console()))
    try:
        await until(2)
        await server.put(SOURCES[Kind.NODE].path, node(labels=H100, gpus=8))  # a heartbeat
        await server.put(SOURCES[Kind.POD].path, pod("b", gpus=3))
        await until(5)
    finally:
        watching.cancel()
        await asyncio.wait([watching])

    without_time = [{key: one[key] for key in one if key != "at"} for one in seen]
    assert all(a != b for a, b in pairwise(without_time))
    assert seen[-1]["notShown"][0].startswith("gone: /api/v1/nodes: ")


async def test_a_program_that_gives_no_credentials_is_named(kubeconfig: Path) -> None:
    (kubeconfig.parent / "token").unlink()

    with pytest.raises(ClusterUnreachableError, match="context 'prod': "):
        await connected("prod", kubeconfig)


def test_a_kubeconfig_that_is_none_is_named(tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text("a: [")

    with pytest.raises(ClusterUnreachableError, match=f"kubeconfig {file}: "):
        contexts(file)


async def test_watching_tells_that_a_machine_is_late_though_nothing_has_changed(
    kubeconfig: Path,
    server: ApiServer,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [BEGIN + 100]
    monkeypatch.setattr(fleet_command, "_REDRAW_SECONDS", 0.0)
    monkeypatch.setattr(fleet_command, "_MEASURE_SECONDS", 0.05)
    monkeypatch.setattr(fleet_command, "wall_clock", lambda: now[0])
    server.serve(SOURCES[Kind.NODE_CLAIM].path, "NodeClaim", claimed(Launched=4))
    seen: list[Any] = []

    async def until(late: list[str]) -> None:
        async with asyncio.timeout(60):
            while not seen or [one["stage"] for one in seen[-1]["lateMachines"]] != late:
                await asyncio.sleep(0.01)
                seen.extend(lines(capsys))

    options = FleetOptions(kubeconfig=kubeconfig, form="json")
    watching = asyncio.create_task(fleet_command.watch(options, Console()))
    try:
        await until([])
        now[0] = BEGIN + 400
        await until(["registered"])
        prints = len(seen)
        now[0] = BEGIN + 500
        await asyncio.sleep(0.2)
        seen.extend(lines(capsys))
    finally:
        watching.cancel()
        await asyncio.wait([watching])

    # Seconds that pass are no news.
    assert len(seen) == prints


async def test_the_jobs_of_a_cluster_are_shown_beside_one_that_is_gone(
    server: ApiServer, kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = {"jobset.sigs.k8s.io/jobset-name": "tune"}
    server.serve(SOURCES[Kind.POD].path, "Pod", pod("tune-0", gpus=8, labels=labels))
    options = FleetOptions(kubeconfig=kubeconfig, every_context=True, form="json")

    await jobs_command.show(options, None, Console())

    (document,) = lines(capsys)
    ((job,),) = [one["jobs"] for one in document["clusters"]]
    assert (job["kind"], job["name"], job["placedGpus"]) == ("JobSet", "tune", 8.0)
    assert document["notShown"][0].startswith("gone: ")
