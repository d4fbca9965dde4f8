"""TLS and mTLS, with certificates that change under a running server."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio
import pytest
from prometheus_client import CollectorRegistry

from scaler.rpc import externalscaler_pb2 as pb
from scaler.rpc import externalscaler_pb2_grpc as pb_grpc
from scaler.serving.metrics import ServiceMetrics
from scaler.serving.server import ListenError, ScalerServer, TlsFiles
from scaler.serving.service import ExternalScaler
from tests.contracts.certificates import Authority, Pair
from tests.contracts.served import Served

pytestmark = pytest.mark.looptime(False)  # sockets need real time

REFERENCE = pb.ScaledObjectRef(
    name="llama", namespace="team-a", scalerMetadata={"model": "m", "mode": "act"}
)


class Site:
    """A folder of certificates as a Secret mount has it, and clients of the server over it."""

    def __init__(self, folder: Path) -> None:
        self.servers, self.clients = Authority("servers"), Authority("clients")
        self.files = TlsFiles(
            certificate=folder / "tls.crt", key=folder / "tls.key", client_ca=folder / "ca.crt"
        )
        self.port = 0
        self.serve(self.servers.sign("foresail"))
        self.admit(self.clients.certificate)

    def serve(self, pair: Pair) -> None:
        self.files.certificate.write_bytes(pair.certificate)
        self.files.key.write_bytes(pair.key)

    def admit(self, authorities: bytes) -> None:
        assert self.files.client_ca is not None
        self.files.client_ca.write_bytes(authorities)

    async def ask(self, pair: Pair | None, *, trust: bytes | None = None) -> None:
        credentials = grpc.ssl_channel_credentials(
            trust or self.servers.certificate,
            private_key=pair.key if pair else None,
            certificate_chain=pair.certificate if pair else None,
        )
        async with grpc.aio.secure_channel(f"localhost:{self.port}", credentials) as channel:
            await pb_grpc.ExternalScalerStub(channel).GetMetricSpec(REFERENCE)


@pytest.fixture
async def site(served: Served, tmp_path: Path) -> AsyncIterator[Site]:
    site = Site(tmp_path)
    server = ScalerServer(served.service, served.lifetimes)
    site.port = await server.start("127.0.0.1:0", site.files)
    yield site
    await server.drain()


async def test_a_client_of_the_admitted_ca_is_answered(site: Site) -> None:
    await site.ask(site.clients.sign("keda-operator"))


@pytest.mark.parametrize("stranger", [True, False], ids=["of-another-ca", "without-certificate"])
async def test_other_clients_are_not_let_in(site: Site, stranger: bool) -> None:
    pair = Authority("strangers").sign("keda-operator") if stranger else None

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await site.ask(pair)

    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_rotated_certificates_are_served_without_a_restart(site: Site) -> None:
    fresh = Authority("fresh servers")
    site.serve(fresh.sign("foresail"))

    await site.ask(site.clients.sign("keda-operator"), trust=fresh.certificate)


async def test_old_and_new_client_ca_are_admitted_together_while_rotating(site: Site) -> None:
    fresh = Authority("fresh clients")
    site.admit(site.clients.certificate + fresh.certificate)

    await site.ask(site.clients.sign("old"))
    await site.ask(fresh.sign("new"))


async def test_a_half_written_pair_leaves_the_old_one_in_use(site: Site) -> None:
    site.files.certificate.write_bytes(b"-----BEGIN CERTIFICATE-----\nhalf")

    await site.ask(site.clients.sign("keda-operator"))

    site.files.key.unlink()
    await site.ask(site.clients.sign("keda-operator"))


async def test_a_key_of_another_certificate_leaves_the_old_pair_in_use(site: Site) -> None:
    # The certificate of the new pair is there already, its key is not.
    fresh = Authority("fresh servers")
    pair = fresh.sign("foresail")
    site.files.certificate.write_bytes(pair.certificate)
    await site.ask(site.clients.sign("keda-operator"))

    site.files.key.write_bytes(pair.key)
    await site.ask(site.clients.sign("keda-operator"), trust=fresh.certificate)


async def test_the_served_protocol_is_at_least_tls_1_2(site: Site) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", site.port, ssl=context)
    try:
        assert writer.get_extra_info("ssl_object").version() in {"TLSv1.2", "TLSv1.3"}
    finally:
        writer.close()
        await writer.wait_closed()


async def test_a_missing_file_is_named_at_start(served: Served, tmp_path: Path) -> None:
    files = TlsFiles(certificate=tmp_path / "tls.crt", key=tmp_path / "tls.key")

    with pytest.raises(ListenError, match=r"tls\.crt: No such file"):
        await ScalerServer(served.service, served.lifetimes).start("127.0.0.1:0", files)


async def test_a_pair_that_is_none_is_named_at_start(served: Served, tmp_path: Path) -> None:
    files = TlsFiles(certificate=tmp_path / "tls.crt", key=tmp_path / "tls.key")
    files.certificate.write_bytes(Authority("one").sign("foresail").certificate)
    files.key.write_bytes(Authority("two").sign("foresail").key)

    with pytest.raises(ListenError, match=r"tls\.key: .*mismatch"):
        await ScalerServer(served.service, served.lifetimes).start("127.0.0.1:0", files)


async def test_a_taken_port_is_named_at_start(served: Served) -> None:
    with pytest.raises(ListenError, match=str(served.port)):
        await ScalerServer(served.service, served.lifetimes).start(f"127.0.0.1:{served.port}", None)


async def test_a_certificate_of_the_ca_without_an_allowed_name_is_refused(
    served: Served, tmp_path: Path
) -> None:
    site = Site(tmp_path)
    service = ExternalScaler(
        served.board,
        ServiceMetrics(CollectorRegistry()),
        served.lifetimes,
        replicas_max=10,
        client_names=frozenset({"keda-operator.keda.svc"}),
    )
    server = ScalerServer(service, served.lifetimes)
    site.port = await server.start("127.0.0.1:0", site.files)

    await site.ask(site.clients.sign("keda", hosts=["keda-operator.keda.svc"]))
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await site.ask(site.clients.sign("other", hosts=["another.team-b.svc"]))
    await server.drain()

    assert raised.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert "another.team-b.svc" in (raised.value.details() or "")
