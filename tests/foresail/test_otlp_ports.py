"""The ports of an OTLP receiver: what is taken over gRPC and HTTP, and who is refused."""

import asyncio
import gzip
import io
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import grpc
import grpc.aio
import pytest
from structlog.testing import capture_logs

from foresail.clock import wall_clock
from foresail.serve import otlp_peers, otlp_ports
from foresail.serve.otlp_ports import OtlpPorts, otlp_served
from foresail.serve.wiring import Sources
from foresail.settings.file import Settings
from foresail.settings.otlp import OtlpSettings
from foresail.telemetry import installed as opentelemetry_installed
from scaler.errors import ForesailError
from scaler.serving.server import TlsFiles
from scaler.serving.state_peers import PeerAddress
from scaler.sources.otlp import OtlpConfig, OtlpSource
from scaler.sources.otlp_decoding import Decoder
from tests.contracts.certificates import Authority
from tests.prometheus import free_port
from tests.sources.otlp_requests import request as body_of
from tests.sources.otlp_requests import tokens
from tests.sources.test_otlp import NAMES, PRESETS

# Sockets take real time.
pytestmark = pytest.mark.looptime(False)

EXPORT = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
PROTOBUF = {"Content-Type": "application/x-protobuf"}
LOOPBACK = {"grpc": "127.0.0.1:0", "http": "127.0.0.1:0", "namespaces": ["llm"]}


@dataclass
class Receiver:
    ports: OtlpPorts
    source: OtlpSource

    def series(self) -> int:
        return len(self.source.series.samples("gen_ai_request_model", None))

    async def grpc(
        self,
        body: bytes,
        credentials: grpc.ChannelCredentials | None = None,
        compression: grpc.Compression = grpc.Compression.Gzip,
        **metadata: str,
    ) -> object:
        """The status of a call."""
        address = f"localhost:{self.ports.grpc}"
        options = (("grpc.enable_http_proxy", 0),)
        channel = (
            grpc.aio.insecure_channel(address, options)
            if credentials is None
            else grpc.aio.secure_channel(address, credentials, options)
        )
        async with channel:
            export = channel.unary_unary(EXPORT)
            try:
                await export(
                    body, compression=compression, metadata=(*metadata.items(),), timeout=60
                )
            except grpc.aio.AioRpcError as error:
                return error.code(), error.details()
        return grpc.StatusCode.OK, ""

    async def http(
        self, body: bytes, context: ssl.SSLContext | None = None, **headers: str
    ) -> tuple[int, str]:
        scheme = "http" if context is None else "https"
        url = f"{scheme}://localhost:{self.ports.http}/v1/metrics"
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                url, data=io.BytesIO(body), headers={**PROTOBUF, **headers}, ssl=context or True
            ) as answer,
        ):
            return answer.status, (await answer.read()).decode(errors="replace")


@asynccontextmanager
async def receiving(**settings: object) -> AsyncIterator[Receiver]:
    source = OtlpSource(OtlpConfig(name="telemetry"), Decoder(NAMES).decode, PRESETS, wall_clock)
    given = OtlpSettings.model_validate({**LOOPBACK, **settings})
    try:
        async with otlp_served(given, source) as ports:
            yield Receiver(ports, source)
    finally:
        await source.close()


def body(start: float = 1.0) -> bytes:
    """One process with one series of 3 buckets, a sum and a count."""
    now = wall_clock()
    return body_of(tokens("input", 100, at=now, start=now - start))


async def test_grpc_and_http_take_the_same_packed_or_not() -> None:
    async with receiving() as receiver:
        for compression in (grpc.Compression.Gzip, grpc.Compression.NoCompression):
            assert await receiver.grpc(body(), compression=compression) == (grpc.StatusCode.OK, "")
        assert await receiver.http(body()) == (200, "")
        packed = gzip.compress(body())
        assert await receiver.http(packed, **{"Content-Encoding": "gzip"}) == (200, "")
        assert receiver.series() == 4 * 5


async def test_a_bomb_and_what_is_no_request_are_refused_with_the_reason() -> None:
    bomb = bytes(8 * 2**20)
    async with receiving() as receiver:
        code, details = await receiver.grpc(bomb)  # type: ignore[misc]
        assert (code, details) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "a body of over 4194304 bytes: send smaller batches",
        )
        packed = gzip.compress(bomb)
        status, text = await receiver.http(packed, **{"Content-Encoding": "gzip"})
        assert (status, text) == (400, "a body of over 4194304 bytes: send smaller batches\n")
        assert (await receiver.http(bomb))[0] == 413
        assert (await receiver.http(b"{}", **{"Content-Type": "application/json"}))[0] == 415
        assert (await receiver.http(b"x", **{"Content-Encoding": "zstd"}))[0] == 415
        code, details = await receiver.grpc(b"{}")  # type: ignore[misc]
        assert details == "the body is no ExportMetricsServiceRequest in protobuf"
        assert receiver.series() == 0


async def test_bodies_that_are_received_at_once_over_http_are_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(otlp_ports, "_BODY_SECONDS_MAX", 600.0)
    async with receiving() as receiver, AsyncExitStack() as stack:
        begun = b"POST /v1/metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n"
        for _ in range(128):
            _, writer = await asyncio.open_connection("127.0.0.1", receiver.ports.http)
            stack.callback(writer.close)
            writer.write(begun + b"Content-Type: application/x-protobuf\r\n\r\n")
        async with asyncio.timeout(60):
            while (await receiver.http(body()))[0] == 200:
                pass
        assert await receiver.http(body()) == (
            503,
            "too many requests wait: send this again later\n",
        )


async def test_points_that_cannot_be_taken_are_said_to_their_sender() -> None:
    async with receiving() as receiver:
        future = body_of(tokens("input", 100, at=wall_clock() + 3600))
        _, text = await receiver.http(future)
        assert "over 60 s in the future: set the sender's clock: 1" in text


async def test_a_sender_without_the_token_is_refused(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t0ken\n")
    async with receiving(tokenFile=str(tmp_path / "token")) as receiver:
        for given in ("", "Bearer other"):
            code, _ = await receiver.grpc(body(), authorization=given)  # type: ignore[misc]
            assert code is grpc.StatusCode.UNAUTHENTICATED
            assert (await receiver.http(body(), Authorization=given))[0] == 401
        assert receiver.series() == 0
        assert (await receiver.http(body(), Authorization="Bearer t0ken"))[0] == 200
        assert await receiver.grpc(body(), authorization="Bearer t0ken") == (grpc.StatusCode.OK, "")


def tls_files(folder: Path, authority: Authority, trusted: Authority) -> TlsFiles:
    """A certificate of one authority, and the other as that of the other side."""
    pair = authority.sign("foresail")
    files = TlsFiles(
        certificate=folder / "tls.crt", key=folder / "tls.key", client_ca=folder / "ca.crt"
    )
    for file, content in zip(
        (files.certificate, files.key, files.client_ca),
        (pair.certificate, pair.key, trusted.certificate),
        strict=True,
    ):
        assert file is not None
        file.write_bytes(content)
    return files


def settings_of(files: TlsFiles) -> dict[str, str]:
    return {
        "certificate": str(files.certificate),
        "key": str(files.key),
        "clientCa": str(files.client_ca),
    }


async def test_with_a_client_ca_its_senders_alone_are_admitted(tmp_path: Path) -> None:
    ours, theirs = Authority("ours"), Authority("theirs")
    files = tls_files(tmp_path, ours, ours)
    async with receiving(tls=settings_of(files)) as receiver:
        for authority, admitted in ((ours, True), (theirs, False)):
            pair = authority.sign("collector")
            credentials = grpc.ssl_channel_credentials(ours.certificate, pair.key, pair.certificate)
            code, _ = await receiver.grpc(body(), credentials)  # type: ignore[misc]
            assert (code is grpc.StatusCode.OK) is admitted
            (tmp_path / "client.pem").write_bytes(pair.key + pair.certificate)
            context = ssl.create_default_context(cafile=tmp_path / "ca.crt")
            context.load_cert_chain(tmp_path / "client.pem")
            if admitted:
                assert (await receiver.http(body(), context))[0] == 200
            else:
                with pytest.raises(aiohttp.ClientError):
                    await receiver.http(body(), context)
        assert receiver.series() == 2 * 5


async def test_calls_whose_bodies_never_come_take_no_place_for_long(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(otlp_ports, "_CALLS_MAX", 2)
    monkeypatch.setattr(otlp_ports, "_BODY_SECONDS_MAX", 0.3)
    token = tmp_path / "token"
    token.write_text("secret")
    async with (
        receiving(tokenFile=str(token)) as receiver,
        grpc.aio.insecure_channel(f"localhost:{receiver.ports.grpc}") as channel,
    ):
        silent, knows = channel.stream_unary(EXPORT), (("authorization", "Bearer secret"),)
        assert await silent(timeout=60).code() is grpc.StatusCode.UNAUTHENTICATED
        for call in [silent(metadata=knows, timeout=60) for _ in range(2)]:
            assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            assert await call.details() == "no body within 0.3 s"
        monkeypatch.setattr(otlp_ports, "_BODY_SECONDS_MAX", 60.0)
        taken = await receiver.grpc(body(), authorization="Bearer secret")
        assert taken == (grpc.StatusCode.OK, "")


async def test_a_connection_ends_however_much_is_called_on_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(otlp_ports, "_CONNECTION_SECONDS_MAX", 0.1)
    monkeypatch.setattr(otlp_ports, "_LAST_CALLS_SECONDS", 0.1)
    async with (
        receiving() as receiver,
        grpc.aio.insecure_channel(f"localhost:{receiver.ports.grpc}") as channel,
    ):
        call = channel.stream_unary(EXPORT)(timeout=60)  # its body never comes

        assert await call.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_sender_loses_no_call_when_its_connection_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(otlp_ports, "_CONNECTION_SECONDS_MAX", 0.05)
    monkeypatch.setattr(otlp_ports, "_LAST_CALLS_SECONDS", 60.0)  # a busy core may be late with one
    async with (
        receiving() as receiver,
        grpc.aio.insecure_channel(f"localhost:{receiver.ports.grpc}") as channel,
    ):
        export = channel.unary_unary(EXPORT)
        ended = 0
        while ended < 3:
            await export(body(), timeout=60)
            ended += channel.get_state() is grpc.ChannelConnectivity.IDLE


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        pytest.param({}, "give at least one of grpc, http", id="no-port"),
        pytest.param(
            {"grpc": "0.0.0.0:4317"},
            "0.0.0.0:4317 is open to the network: give tls, or listen on 127.0.0.1",
            id="open-plain",
        ),
        pytest.param(
            {"http": "127.0.0.1:0", "peers": "replicas:4317"},
            "replicas pass on over gRPC: give grpc too",
            id="peers-without-grpc",
        ),
        pytest.param(
            {"http": "[::]:4318", "tls": {"certificate": "a", "key": "b"}},
            "whoever sends there decides how many replicas run: give tls.clientCa or tokenFile",
            id="open-to-all",
        ),
    ],
)
def test_a_receiver_that_anybody_could_send_to_is_refused(
    given: dict[str, object], fault: str
) -> None:
    with pytest.raises(ValueError, match=fault.replace("[", r"\[")):
        OtlpSettings.model_validate({**given, "namespaces": ["llm"]})


async def test_what_one_replica_receives_its_peer_has_too_and_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two replicas behind one name; each would pass on for ever what it was passed."""
    hosts, port = ["127.0.0.1", "127.0.0.2"], free_port()

    async def resolved(_: PeerAddress) -> list[str]:
        return hosts

    monkeypatch.setattr(otlp_peers, "hosts_of", resolved)
    async with AsyncExitStack() as stack:
        first, second = [
            await stack.enter_async_context(
                receiving(grpc=f"{host}:{port}", peers=f"replicas:{port}")
            )
            for host in hosts
        ]
        sent = 0
        while not second.series():
            packed = gzip.compress(body(start=sent))
            assert await first.http(packed, **{"Content-Encoding": "gzip"}) == (200, "")
            sent += 1
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.2)
        assert first.source.series.heard == sent
        assert first.series() == 5 * sent
        assert second.source.series.heard <= sent
        assert second.series() == 5 * second.source.series.heard


@pytest.mark.parametrize("before", ["missing", "refused"])
async def test_a_peer_is_sent_to_again_once_the_certificate_is_replaced(
    before: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def resolved(_: PeerAddress) -> list[str]:
        return ["127.0.0.1"]

    monkeypatch.setattr(otlp_peers, "hosts_of", resolved)
    ours, theirs = Authority("ours"), Authority("theirs")
    (tmp_path / "peer").mkdir()
    server = settings_of(tls_files(tmp_path, ours, ours))
    shown = tls_files(tmp_path / "peer", theirs, ours)
    if before == "missing":
        shown.key.unlink()
    async with receiving(tls=server) as receiver:
        address = PeerAddress(host="localhost", port=receiver.ports.grpc or 0)
        peers = otlp_peers.OtlpPeers(address, EXPORT, tls=shown, token_file=None)
        following = asyncio.create_task(peers.run())
        try:
            with capture_logs() as lines:
                async with asyncio.timeout(60):
                    while not lines:
                        peers.pass_on(body())
                        await asyncio.sleep(0.02)
            assert [one["event"] for one in lines] == ["otlp_not_passed_on"]
            tls_files(tmp_path / "peer", ours, ours)
            async with asyncio.timeout(60):
                while not receiver.series():
                    peers.pass_on(body())
                    await asyncio.sleep(0.02)
        finally:
            following.cancel()


async def test_a_taken_port_names_its_source() -> None:
    async with receiving() as receiver:
        taken = f"127.0.0.1:{receiver.ports.grpc}"
        with pytest.raises(ForesailError, match=r"source 'telemetry': otlp.grpc: cannot listen"):
            async with receiving(grpc=taken):
                pass


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opentelemetry_installed, "find_spec", lambda _: None)
    settings = Settings.model_validate({"sources": [{"name": "telemetry", "otlp": LOOPBACK}]})
    with pytest.raises(ForesailError, match=r"source 'telemetry': otlp needs .*pip install 'fores"):
        Sources.of(settings)
