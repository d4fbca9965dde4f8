"""`foresail webhook` over TLS: its clients, its readiness, and the bodies that it takes."""

import asyncio
import gzip
import json
import ssl
import tracemalloc
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientConnectionError, ClientOSError, ClientSession, TCPConnector, web
from click.testing import CliRunner

from bench._faults_row import Observe
from fleet.cluster.classes import class_of
from fleet.cluster.follow.api import Identity
from fleet.cluster.follow.watch import Changed, Event, Gone, Listed, Unavailable
from foresail.cli import main
from foresail.placement.webhook import Ports, WebhookOptions, running
from foresail.ports.sites import Sites, certificates
from scaler.errors import ForesailError
from scheduler.admission import GivenBy
from scheduler.webhook import PATH
from tests.contracts.certificates import Authority
from tests.scheduler.reviews import KeptTemplates, pod, review

pytestmark = pytest.mark.looptime(False)  # sockets live in real time

NVIDIA = class_of({"metadata": {"name": "gpu.nvidia.com"}})
MIB = 2**20


@dataclass
class Certificates:
    """Of the server, and of clients that its CA signed or another one did."""

    folder: Path

    def __post_init__(self) -> None:
        self.authority = Authority("cluster")
        self.write(self.authority)
        (self.folder / "ca.crt").write_bytes(self.authority.certificate)

    def write(self, authority: Authority) -> None:
        self._pair("tls", authority, "webhook")

    def client(self, name: str, authority: Authority | None = None) -> ssl.SSLContext:
        """TLS of a client that shows a certificate of that name."""
        self._pair("client", authority or self.authority, name)
        context = self.nobody()
        context.load_cert_chain(self.folder / "client.crt", self.folder / "client.key")
        return context

    def nobody(self) -> ssl.SSLContext:
        """TLS of a client that shows none."""
        return ssl.create_default_context(cadata=self.authority.certificate.decode())

    def options(self, **more: Any) -> WebhookOptions:
        given: dict[str, Any] = {
            "listen": "127.0.0.1:0",
            "http": "127.0.0.1:0",
            "certificate": self.folder / "tls.crt",
            "key": self.folder / "tls.key",
            "client_ca": self.folder / "ca.crt",
            "client_names": ("kube-apiserver",),
            **more,
        }
        return WebhookOptions(**given)

    def _pair(self, file: str, authority: Authority, name: str) -> None:
        pair = authority.sign(name)
        (self.folder / f"{file}.crt").write_bytes(pair.certificate)
        (self.folder / f"{file}.key").write_bytes(pair.key)


@pytest.fixture
def files(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


class Asking:
    """A running webhook, and what a test tells it of the cluster."""

    def __init__(self, ports: Ports, templates: KeptTemplates, news: asyncio.Queue[Event]) -> None:
        self.ports = ports
        self.templates = templates
        self._news = news

    def tell(self, event: Event) -> None:
        self._news.put_nowait(event)

    async def post(self, client: ssl.SSLContext, body: bytes, **headers: str) -> tuple[int, str]:
        url = f"https://127.0.0.1:{self.ports.webhook}{PATH}"
        async with (
            ClientSession(connector=TCPConnector(ssl=client)) as session,
            session.post(url, data=body, headers=headers) as response,
        ):
            return response.status, await response.text()

    async def page(self, path: str) -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.ports.http}{path}"
        async with ClientSession() as session, session.get(url) as response:
            return response.status, await response.text()

    async def until(self, path: str, text: str) -> None:
        async with asyncio.timeout(60):
            while text not in (await self.page(path))[1]:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def asking(options: WebhookOptions) -> AsyncIterator[Asking]:
    news: asyncio.Queue[Event] = asyncio.Queue()

    async def events() -> AsyncGenerator[Event, None]:
        while True:
            yield await news.get()

    templates = KeptTemplates()
    async with running(options, events(), templates) as ports:
        yield Asking(ports, templates, news)


REVIEW = json.dumps(review(pod())).encode()


# Clients.


async def test_the_api_servers_certificate_is_answered(files: Certificates) -> None:
    async with asking(files.options()) as asked:
        asked.tell(Listed((NVIDIA,)))
        await asked.until("/readyz", "ok")
        status, text = await asked.post(files.client("kube-apiserver"), REVIEW)
        assert (status, json.loads(text)["response"]["allowed"]) == (200, True)
        assert len(asked.templates.kept) == 1


async def test_a_client_without_a_certificate_makes_no_template(files: Certificates) -> None:
    async with asking(files.options()) as asked:
        asked.tell(Listed((NVIDIA,)))
        await asked.until("/readyz", "ok")
        for stranger in (files.nobody(), files.client("kube-apiserver", Authority("other"))):
            with pytest.raises((ClientConnectionError, ClientOSError)):
                await asked.post(stranger, REVIEW)
        assert asked.templates.kept == {}
        # The pages for the kubelet and Prometheus ask for none.
        assert (await asked.page("/healthz"))[0] == 200


async def test_another_certificate_of_the_same_authority_is_refused(files: Certificates) -> None:
    async with asking(files.options()) as asked:
        asked.tell(Listed((NVIDIA,)))
        await asked.until("/readyz", "ok")
        assert await asked.post(files.client("system:node:gpu-1"), REVIEW) == (
            403,
            "foresail: the client's certificate has none of the names kube-apiserver\n",
        )
        assert asked.templates.kept == {}
        await asked.until("/metrics", 'foresail_webhook_reviews_total{outcome="stranger"} 1.0')
        end = 'foresail_certificate_expiry_timestamp_seconds{setting="tls-certificate"}'
        await asked.until("/metrics", f"{end} 4.9228992e+09")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        pytest.param(
            {"client_ca": None, "client_names": ()},
            "must know its client: .* --client-ca .* --client-name; .* --any-client",
            id="nobody-named",
        ),
        pytest.param(
            {"client_names": ()},
            "may have signed other certificates too: .* --client-name",
            id="ca",
        ),
        pytest.param({"any_client": True}, "--any-client asks for no certificate", id="both"),
        pytest.param({"client_ca": Path("none.crt")}, "none.crt: .*No such file", id="no-file"),
        pytest.param({"key": Path("none.key")}, "none.key.*No such file", id="no-key"),
        pytest.param({"listen": "8443"}, "'8443' is not host:port", id="address"),
    ],
)
async def test_options_that_cannot_be_are_named(
    files: Certificates, change: dict[str, Any], why: str
) -> None:
    with pytest.raises(ForesailError, match=why):
        async with asking(replace(files.options(), **change)):
            pass


async def test_any_client_is_answered_where_that_was_said(files: Certificates) -> None:
    options = files.options(client_ca=None, client_names=(), any_client=True)
    async with asking(options) as asked:
        asked.tell(Listed((NVIDIA,)))
        await asked.until("/readyz", "ok")
        assert (await asked.post(files.nobody(), REVIEW))[0] == 200


async def test_a_rotated_pair_is_served_at_the_next_handshake(files: Certificates) -> None:
    old, new = files.authority, Authority("new")

    async def ask(port: int, authority: Authority) -> None:
        trust = ssl.create_default_context(cadata=authority.certificate.decode())
        async with (
            ClientSession(connector=TCPConnector(ssl=trust)) as session,
            session.get(f"https://127.0.0.1:{port}/") as response,
        ):
            assert response.status == 404

    async with Sites() as sites:
        tls = certificates(files.folder / "tls.crt", files.folder / "tls.key")
        port = await sites.add(web.Application(), "127.0.0.1:0", tls)
        await ask(port, old)
        (files.folder / "tls.key").write_bytes(new.sign("webhook").key)
        await ask(port, old)
        files.write(new)
        await ask(port, new)


async def test_a_rotated_client_authority_counts_at_the_next_handshake(
    files: Certificates,
) -> None:
    new = Authority("new")
    async with asking(files.options()) as asked:
        asked.tell(Listed((NVIDIA,)))
        await asked.until("/readyz", "ok")
        assert (await asked.post(files.client("kube-apiserver"), REVIEW))[0] == 200
        (files.folder / "ca.crt").write_bytes(new.certificate)
        assert (await asked.post(files.client("kube-apiserver", new), REVIEW))[0] == 200
        with pytest.raises((ClientConnectionError, ClientOSError)):
            await asked.post(files.client("kube-apiserver"), REVIEW)


# Readiness.


async def test_it_is_ready_once_the_device_classes_were_read(files: Certificates) -> None:
    async with asking(files.options()) as asked:
        assert await asked.page("/readyz") == (
            503,
            "the cluster's DeviceClasses are not read yet\n",
        )
        asked.tell(Unavailable("HTTP 403: grant list and watch on it"))
        await asked.until("/readyz", "not read yet: HTTP 403: grant list and watch on it\n")
        asked.tell(Listed((NVIDIA,)))
        await asked.until("/readyz", "ok\n")


async def test_classes_that_can_no_longer_be_read_leave_it_ready(
    files: Certificates, observed: Observe
) -> None:
    async with asking(files.options()) as asked:
        asked.tell(Listed((NVIDIA,)))
        await asked.until("/readyz", "ok\n")
        asked.tell(Unavailable("connection refused"))
        await asked.until("/metrics", "foresail_webhook_device_classes_stale 1.0")
        ready, _ = await asked.page("/readyz")
        status, text = await asked.post(files.client("kube-apiserver"), REVIEW)
        allowed = json.loads(text)["response"]["allowed"]
    observed(
        f"/readyz says {ready}; the next pod is admitted: {allowed}",
        lost=int(not allowed),
    )
    assert (ready, status, allowed) == (200, 200, True)


async def test_classes_that_come_and_go_are_known(files: Certificates) -> None:
    need = {"foresail.io/model-parameters": "70B", "foresail.io/gpu-vendors": "amd"}
    body = json.dumps(review(pod(need))).encode()
    amd = class_of({"metadata": {"name": "gpu.amd.com"}})

    async def is_allowed() -> bool:
        _, text = await asked.post(files.client("kube-apiserver"), body)
        return bool(json.loads(text)["response"]["allowed"])

    async with asking(files.options()) as asked:
        asked.tell(Listed((NVIDIA,)))
        await asked.until("/readyz", "ok\n")
        for event, expected in ((Changed(amd), True), (Gone(Identity(amd.name, amd.uid)), False)):
            assert await is_allowed() is not expected
            asked.tell(event)
            async with asyncio.timeout(60):
                while await is_allowed() is not expected:
                    await asyncio.sleep(0.01)


async def test_with_device_plugins_it_needs_nothing_to_be_ready(files: Certificates) -> None:
    async with asking(files.options(given_by=GivenBy.DEVICE_PLUGIN)) as asked:
        assert await asked.page("/readyz") == (200, "ok\n")


# Bodies.


async def test_a_compressed_review_is_refused_before_it_is_inflated(files: Certificates) -> None:
    client = files.client("kube-apiserver")
    async with asking(files.options(given_by=GivenBy.DEVICE_PLUGIN)) as asked:
        told = "foresail: Content-Encoding 'gzip' is not read; send the body as it is\n"
        encoded = {"Content-Encoding": "gzip"}
        assert await asked.post(client, gzip.compress(REVIEW), **encoded) == (415, told)
        bomb = gzip.compress(b"[" * (256 * MIB))
        tracemalloc.start()
        try:
            assert await asked.post(client, bomb, **encoded) == (415, told)
            assert tracemalloc.get_traced_memory()[1] < 8 * MIB
        finally:
            tracemalloc.stop()
        assert (await asked.post(client, REVIEW))[0] == 200


def test_the_command_must_be_told_its_client(files: Certificates) -> None:
    """It fails before it looks for a cluster."""
    pair = ["--tls-certificate", str(files.folder / "tls.crt"), "--tls-key", "k"]
    result = CliRunner().invoke(main, ["webhook", *pair])

    assert result.exit_code == 1
    assert "the webhook writes claim templates and must know its client" in result.output
