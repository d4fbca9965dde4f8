"""A joining server asks a running one for its states, over a real connection."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import grpc.aio
import pytest
from structlog.testing import capture_logs

from scaler.rpc.foresail.v1 import state_pb2 as pb
from scaler.rpc.foresail.v1 import state_pb2_grpc as pb_grpc
from scaler.serving import state_peers
from scaler.serving.server import ScalerServer, TlsFiles
from scaler.serving.state_peers import PeerAddress, PeerError, Peers
from scaler.serving.state_service import (
    KEYS_MAX,
    PAGE_WORKLOADS,
    TRANSFERS_MAX,
    StateService,
    admit_all,
    admit_named,
)
from scaler.state.feed_bytes import encode_feed
from scaler.state.workload_bytes import WORKLOAD_BYTES_MAX, decode_workload, encode_workload
from tests.contracts.certificates import Authority, Pair
from tests.contracts.served import Served
from tests.state.records import feed, workload

pytestmark = pytest.mark.looptime(False)  # sockets need real time

WORKLOADS = [workload(number, name=f"llama-{number}") for number in range(45)]
FEEDS = {key: encode_feed(feed(key, snapshot=key.encode() * 1000)) for key in "abc"}


@pytest.fixture(autouse=True)
def _patient_with_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer on a busy core is late, and no less there."""
    monkeypatch.setattr(state_peers, "LIST_SECONDS_MAX", 60.0)
    monkeypatch.setattr(state_peers, "FEEDS_SECONDS_MAX", 60.0)


@dataclass
class HeldFeeds:
    """Feeds that are read at once, or once the gate is open."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    asked: int = 0

    async def read(self, keys: Sequence[str]) -> AsyncIterator[bytes]:
        self.asked += 1
        await self.gate.wait()
        for key in keys:
            if key in FEEDS:
                yield FEEDS[key]


@dataclass
class Running:
    """A running server that has states."""

    feeds: HeldFeeds
    port: int

    def peers(self, instance: str = "joining", tls: TlsFiles | None = None) -> Peers:
        address = PeerAddress(host="localhost", port=self.port)
        return Peers(address, instance=instance, tls=tls)


async def started(
    served: Served, admit=admit_all, tls: TlsFiles | None = None, address: str = "127.0.0.1:0"
) -> tuple[ScalerServer, Running]:
    feeds = HeldFeeds()
    feeds.gate.set()
    messages = [pb.WorkloadState.FromString(encode_workload(state)) for state in WORKLOADS]
    state = StateService(lambda: messages, feeds, instance="running", admit=admit)
    server = ScalerServer(served.service, served.lifetimes, state=state)
    return server, Running(feeds, await server.start(address, tls))


@pytest.fixture
async def running(served: Served) -> AsyncIterator[Running]:
    server, made = await started(served)
    yield made
    await server.drain()


async def test_all_workloads_come_in_pages(running: Running) -> None:
    found = [decode_workload(payload) for payload in await running.peers().workloads()]

    assert found == WORKLOADS


async def test_feeds_come_whole_and_those_that_are_not_there_are_left_out(
    running: Running,
) -> None:
    found = [payload async for payload in running.peers().feeds(["c", "nobody's", "a"])]

    assert found == [FEEDS["c"], FEEDS["a"]]


async def test_a_server_does_not_answer_itself_and_says_nothing_of_it(running: Running) -> None:
    with capture_logs() as said:
        peers = running.peers(instance="running")

        assert await peers.workloads() == []
        assert [payload async for payload in peers.feeds(["a"])] == []

    assert said == []


async def test_nobody_there_is_nothing_found_and_one_line(served: Served) -> None:
    address = PeerAddress(host="localhost", port=1)
    with capture_logs() as said:
        assert await Peers(address, instance="joining", tls=None).workloads() == []

    assert {line["event"] for line in said} == {"peer_not_heard"}


async def test_a_name_that_is_not_in_dns_is_nothing_found(served: Served) -> None:
    address = PeerAddress.of("nobody.invalid:6500")

    assert await Peers(address, instance="joining", tls=None).workloads() == []


async def test_fields_of_a_newer_peer_arrive(served: Served) -> None:
    payload = encode_workload(WORKLOADS[0]) + b"\xa2\x06\x05hello"
    messages = [pb.WorkloadState.FromString(payload)]
    state = StateService(lambda: messages, HeldFeeds(), instance="newer", admit=admit_all)
    server = ScalerServer(served.service, served.lifetimes, state=state)
    port = await server.start("127.0.0.1:0", None)
    (found,) = await Running(HeldFeeds(), port).peers().workloads()
    await server.drain()

    assert found == payload


async def test_states_larger_than_a_reader_takes_are_left_out_as_they_come(
    served: Served,
) -> None:
    large = dataclasses.replace(WORKLOADS[0], unknown=b"\xa2\x06" + _bytes(WORKLOAD_BYTES_MAX))
    messages = [
        pb.WorkloadState.FromString(encode_workload(state)) for state in (large, WORKLOADS[1])
    ]
    state = StateService(lambda: messages, HeldFeeds(), instance="large", admit=admit_all)
    server = ScalerServer(served.service, served.lifetimes, state=state)
    port = await server.start("127.0.0.1:0", None)
    with capture_logs() as said:
        found = await Running(HeldFeeds(), port).peers().workloads()
    await server.drain()

    assert [decode_workload(payload) for payload in found] == [WORKLOADS[1]]
    assert [(line["event"], line["reason"]) for line in said] == [("state_refused", "too_large")]


async def test_a_peer_that_sends_without_end_is_cut_off_by_bytes(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_peers, "WORKLOADS_BYTES_MAX", 30 * len(encode_workload(WORKLOADS[0])))
    server, running = await started(served)
    with capture_logs() as said:
        found = await running.peers().workloads()
    await server.drain()

    assert len(found) == PAGE_WORKLOADS  # the second page is too much
    assert [line["event"] for line in said] == ["peer_cut_off"]


def _bytes(count: int) -> bytes:
    """A field of so many bytes, after its tag."""
    length, varint = count, b""
    while length > 0x7F:
        varint += bytes([length & 0x7F | 0x80])
        length >>= 7
    return varint + bytes([length]) + b"x" * count


async def refused(running: Running, keys: Sequence[str] = ("a",)) -> grpc.StatusCode:
    """The status that ends a question for feeds."""
    async with grpc.aio.insecure_channel(f"localhost:{running.port}") as channel:
        call = pb_grpc.StateStub(channel).GetFeeds(pb.GetFeedsRequest(instance="x", keys=keys))
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call.read()
        return raised.value.code()


async def test_more_transfers_than_allowed_are_put_off(running: Running) -> None:
    running.feeds.gate.clear()

    async def take() -> list[bytes]:
        return [payload async for payload in running.peers().feeds(["a"])]

    async with asyncio.TaskGroup() as group:
        takers = [group.create_task(take()) for _ in range(TRANSFERS_MAX)]
        while running.feeds.asked < TRANSFERS_MAX:
            await asyncio.sleep(0)
        assert await refused(running) is grpc.StatusCode.RESOURCE_EXHAUSTED
        running.feeds.gate.set()

    assert [taker.result() for taker in takers] == [[FEEDS["a"]]] * TRANSFERS_MAX
    assert [payload async for payload in running.peers().feeds(["b"])] == [FEEDS["b"]]


async def test_too_many_keys_in_one_question_are_refused(running: Running) -> None:
    code = await refused(running, [str(number) for number in range(KEYS_MAX + 1)])

    assert code is grpc.StatusCode.INVALID_ARGUMENT


# With certificates.


class Certificates:
    """The files of servers that share one certificate, as a mounted Secret has them."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority("foresail-ca")
        self.files = TlsFiles(
            certificate=folder / "tls.crt", key=folder / "tls.key", client_ca=folder / "ca.crt"
        )
        self.write(self.files, self.authority.sign("foresail"))
        (folder / "ca.crt").write_bytes(self.authority.certificate)

    def write(self, files: TlsFiles, pair: Pair) -> None:
        files.certificate.write_bytes(pair.certificate)
        files.key.write_bytes(pair.key)

    def client(self, folder: Path, pair: Pair) -> TlsFiles:
        """The files of somebody else whose certificate this is."""
        files = dataclasses.replace(
            self.files, certificate=folder / "other.crt", key=folder / "other.key"
        )
        self.write(files, pair)
        return files


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


@pytest.fixture
async def secured(served: Served, certificates: Certificates) -> AsyncIterator[Running]:
    server, made = await started(served, admit_named("localhost"), certificates.files)
    yield made
    await server.drain()


async def test_a_server_with_the_shared_certificate_is_handed_the_states(
    secured: Running, certificates: Certificates
) -> None:
    peers = secured.peers(tls=certificates.files)

    assert len(await peers.workloads()) == len(WORKLOADS)
    assert [payload async for payload in peers.feeds(["b"])] == [FEEDS["b"]]


@pytest.mark.parametrize("hosts", [[], ["keda-operator"], ["localhost.evil.example"]])
async def test_a_client_certificate_of_the_same_ca_reads_no_states(
    secured: Running, certificates: Certificates, tmp_path: Path, hosts: list[str]
) -> None:
    keda = certificates.client(tmp_path, certificates.authority.sign("keda-operator", hosts=hosts))
    with capture_logs() as said:
        found = await secured.peers(tls=keda).workloads()

    assert found == []
    assert "PERMISSION_DENIED" in said[0]["error"]
    assert "a certificate for localhost only" in said[0]["error"]


async def test_a_certificate_of_another_ca_is_not_let_in_and_not_trusted(
    secured: Running, certificates: Certificates, tmp_path: Path
) -> None:
    stranger = certificates.client(tmp_path, Authority("strangers").sign("foresail"))

    assert await secured.peers(tls=stranger).workloads() == []


async def test_a_server_is_trusted_only_under_the_name_that_peers_are_found_by(
    served: Served, certificates: Certificates
) -> None:
    server, made = await started(
        served, admit_named("localhost"), certificates.files, address="127.0.0.2:0"
    )
    address = PeerAddress(host="127.0.0.2", port=made.port)
    with capture_logs() as said:
        found = await Peers(address, instance="joining", tls=certificates.files).workloads()
    await server.drain()

    assert found == []
    assert "Hostname Verification" in said[0]["error"]


def test_peers_over_tls_need_the_client_ca(certificates: Certificates) -> None:
    files = dataclasses.replace(certificates.files, client_ca=None)

    with pytest.raises(PeerError, match=r"tls\.clientCa"):
        Running(HeldFeeds(), 6500).peers(tls=files)


def test_an_ipv6_address_is_taken_apart() -> None:
    assert PeerAddress.of("[::1]:6500") == PeerAddress(host="::1", port=6500)
