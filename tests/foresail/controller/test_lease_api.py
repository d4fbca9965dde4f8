"""The Lease in an API server: fields as Kubernetes has them, conflicts and refusals."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from kubernetes_asyncio.client import ApiClient, Configuration

from foresail.controller.election import (
    LeaseConflictError,
    LeaseRecord,
    LeaseUnavailableError,
)
from foresail.controller.lease_api import ApiLeases
from tests.deploy.schema import unknown_fields
from tests.foresail.controller.writable_server import WritableServer

pytestmark = pytest.mark.looptime(False)  # sockets live in real time

PATH = "/apis/coordination.k8s.io/v1/namespaces/foresail/leases/controller"
NEW = LeaseRecord(
    holder="a",
    lease_seconds=30,
    acquired_seconds=1_800_000_000.25,
    renewed_seconds=1_800_000_004.5,
)


@pytest.fixture
async def server() -> AsyncIterator[WritableServer]:
    one = WritableServer()
    await one.start()
    yield one
    await one.stop()


@pytest.fixture
async def leases(server: WritableServer) -> AsyncIterator[ApiLeases]:
    settings = Configuration()
    settings.host = f"http://127.0.0.1:{server.port}"
    async with ApiClient(settings) as client:
        yield ApiLeases(client, "foresail", "controller")


async def test_a_lease_is_created_and_read_back(server: WritableServer, leases: ApiLeases) -> None:
    assert await leases.read() is None
    written = await leases.write(NEW)
    assert await leases.read() == written
    document = server.written[PATH]
    assert document["spec"] == {
        "holderIdentity": "a",
        "leaseDurationSeconds": 30,
        "acquireTime": "2027-01-15T08:00:00.250000Z",
        "renewTime": "2027-01-15T08:00:04.500000Z",
        "leaseTransitions": 0,
    }
    assert list(unknown_fields(document, "V1Lease")) == []


async def test_a_note_is_an_annotation(server: WritableServer, leases: ApiLeases) -> None:
    written = await leases.write(replace(NEW, note="as it is"))
    assert server.written[PATH]["metadata"]["annotations"] == {"foresail.io/spent": "as it is"}
    found = await leases.read()
    assert (found, written.note) == (written, "as it is")
    await leases.write(replace(written, note=""))
    assert "annotations" not in server.written[PATH]["metadata"]


async def test_only_the_version_that_was_read_is_replaced(leases: ApiLeases) -> None:
    first = await leases.write(NEW)
    second = await leases.write(replace(first, holder="b"))
    with pytest.raises(LeaseConflictError):
        await leases.write(replace(first, holder="c"))
    with pytest.raises(LeaseConflictError):
        await leases.write(NEW)
    assert await leases.read() == second


@pytest.mark.parametrize("code", [403, 429, 500, 503])
async def test_a_refusal_says_why(server: WritableServer, leases: ApiLeases, code: int) -> None:
    server.write_refusals.append((code, "as the test wants it"))
    with pytest.raises(
        LeaseUnavailableError,
        match=f"Lease foresail/controller: HTTP {code}: as the test wants it",
    ):
        await leases.write(NEW)


async def test_a_server_that_is_gone_is_no_lease(server: WritableServer, leases: ApiLeases) -> None:
    await server.stop()
    with pytest.raises(LeaseUnavailableError, match="Lease foresail/controller"):
        await leases.read()
