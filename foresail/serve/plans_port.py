"""The Plans API of the planning process: from the settings to a server over the running cycle."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from foresail.clock import steady_clock
from foresail.settings.file import Settings
from foresail.settings.plans import PlansSettings, namespaces_by_reader
from scaler.errors import ForesailError
from scaler.serving.cycle import PlanningCycle
from scaler.serving.plan_book import PlanBook
from scaler.serving.plans_server import PlansServer
from scaler.serving.plans_service import PlansService, admit_everyone, admit_readers
from scaler.serving.server import TlsFiles


@asynccontextmanager
async def plans_served(
    settings: Settings, plans: PlansSettings, cycle: PlanningCycle, book: PlanBook
) -> AsyncIterator[tuple[PlansServer, int]]:
    """A listening server and its port; it answers once `serve` is called.

    Raises:
        ForesailError: the port is taken, or a TLS file cannot be read.
    """
    tls = tls_files_of(settings, plans)
    admit = admit_everyone if tls is None else admit_readers(namespaces_by_reader(plans))
    service = PlansService(book, cycle.status, clock=steady_clock, admit=admit)
    server = PlansServer(service, book)
    try:
        port = await server.start(plans.listen, tls)
    except ForesailError as error:
        raise ForesailError(f"plans.listen: {error}") from error
    try:
        yield server, port
    finally:
        await server.drain()


def tls_files_of(settings: Settings, plans: PlansSettings) -> TlsFiles | None:
    """The server's certificate, with the CA of the readers of plans."""
    tls = settings.tls
    if tls is None:
        return None
    return TlsFiles(
        certificate=tls.certificate, key=tls.key, client_ca=plans.client_ca or tls.client_ca
    )
