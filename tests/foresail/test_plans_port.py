"""The port of the Plans API, as the settings ask for it."""

import socket
from pathlib import Path

import pytest

from foresail.serve.link import Begin, Failed, Link
from foresail.serve.planner import plan
from foresail.serve.plans_port import tls_files_of
from foresail.settings.file import Settings

pytestmark = pytest.mark.looptime(False)  # sockets need real time

SOURCES = [{"name": "main", "prometheus": {"url": "http://127.0.0.1:9"}}]


@pytest.mark.parametrize(
    ("own", "used"), [("readers.crt", "readers.crt"), (None, "keda.crt")], ids=["own", "kedas"]
)
def test_readers_may_have_a_ca_of_their_own(own: str | None, used: str) -> None:
    readers = [{"name": "controller", "namespaces": ["*"]}]
    settings = Settings.model_validate(
        {
            "sources": SOURCES,
            "tls": {"certificate": "tls.crt", "key": "tls.key", "clientCa": "keda.crt"},
            "plans": {"readers": readers, **({"clientCa": own} if own else {})},
        }
    )
    assert settings.plans is not None

    files = tls_files_of(settings, settings.plans)

    assert files is not None
    assert (files.certificate, files.client_ca) == (Path("tls.crt"), Path(used))


async def test_a_taken_port_fails_the_start_and_names_the_setting() -> None:
    ours, theirs = socket.socketpair()
    link = await Link.over(ours)
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        listen = {"grpc": "127.0.0.1:0", "http": "127.0.0.1:0"}
        settings = {"sources": SOURCES, "listen": listen, "plans": {"listen": address}}
        link.send(Begin(Settings.model_validate(settings)))

        await plan(await Link.over(theirs))
        answer = await link.receive()

    link.close()
    assert answer == Failed(
        f"plans.listen: cannot listen on {address}: taken, or not an address of this machine"
    )
