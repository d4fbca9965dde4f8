"""`foresail webhook`: the API server asks it about pods that state a need, over TLS.

It runs in a pod of its own and reads DeviceClasses only, so that annotated pods are admitted while
the extender is stale or down. Health and metrics have a second port, which asks for no certificate.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from fleet.catalogue import shipped
from fleet.cluster.follow.watch import Changed, Event, Gone, Listed, Unavailable, watched
from fleet.cluster.kinds import SOURCES, Kind, record_of
from foresail.api.client import client_of
from foresail.ports.certificate_ends import CertificateEnds
from foresail.ports.limits_seen import LimitCollector
from foresail.ports.process import end_on_fault, stop_signalled
from foresail.ports.sites import Sites, certificates
from foresail.prices import generation_prices_in
from scaler.errors import ForesailError
from scheduler.admission import GivenBy, Policy
from scheduler.webhook import ClusterTemplates, Templates, Webhook, WebhookMetrics

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookOptions:
    """As the command line has them."""

    certificate: Path
    key: Path
    listen: str = "0.0.0.0:8443"
    """Where the API server asks."""
    http: str = "0.0.0.0:8080"
    """Health and metrics."""
    client_ca: Path | None = None
    """PEM: that signed the API server's client certificate."""
    client_names: tuple[str, ...] = ()
    """The client's certificate must have one of them, as common name or DNS name."""
    any_client: bool = False
    """Answer every client that reaches the port."""
    kubeconfig: Path | None = None
    """None = the pod's own service account."""
    context: str | None = None
    given_by: GivenBy = GivenBy.DRA
    prices_file: Path | None = None
    """YAML, dollars for a GPU's hour by generation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where a running webhook listens."""

    webhook: int
    http: int


class DeviceClassNames:
    """The names of the cluster's DeviceClasses, in step with a watch."""

    def __init__(self) -> None:
        self.known: frozenset[str] | None = None
        """None until they were listed once."""
        self.stale: str | None = None
        """Why the names may be old. They stay in use, because classes hardly ever change."""

    async def follow(self, events: AsyncGenerator[Event, None]) -> None:
        async with aclosing(events):
            async for event in events:
                self.take(event)

    def take(self, event: Event) -> None:
        match event:
            case Listed(records):
                self.known = frozenset(one.name for one in records)
            case Changed(record):
                self.known = (self.known or frozenset()) | {record.name}
            case Gone(identity):
                self.known = (self.known or frozenset()) - {identity.name}
            case Unavailable(_, absent=True):
                self.known = frozenset()  # a cluster without DRA has none
            case Unavailable(reason):
                log.warning("device_classes_unavailable", why=reason)
        self.stale = event.reason if isinstance(event, Unavailable) and not event.absent else None


async def serve(options: WebhookOptions) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        ForesailError: a port is taken, or an option or a file cannot be used.
    """
    _clients(options)  # a wrong option is reported before a cluster is looked for
    stop = stop_signalled()
    async with client_of(options.context, options.kubeconfig) as client:
        templates = ClusterTemplates(client)
        events = watched(client, SOURCES[Kind.CLASS].path, partial(record_of, Kind.CLASS))
        async with running(options, events, templates) as ports:
            log.info("serving", webhook=ports.webhook, http=ports.http)
            await stop.wait()
            log.info("stopping")


@asynccontextmanager
async def running(
    options: WebhookOptions, device_classes: AsyncGenerator[Event, None], templates: Templates
) -> AsyncIterator[Ports]:
    """A webhook that answers; stopped at the end.

    Args:
        options: where to listen, and which clients to answer.
        device_classes: events of the cluster's; followed unless device plugins give out the GPUs.
        templates: where claim templates are applied.

    Raises:
        ForesailError: a port is taken, or an option or a file cannot be used.
    """
    clients = _clients(options)
    tls = certificates(options.certificate, options.key, options.client_ca)
    registry, names = CollectorRegistry(), DeviceClassNames()
    metrics = WebhookMetrics(registry)
    metrics.stale_classes.set_function(lambda: float(names.stale is not None))
    registry.register(LimitCollector())
    registry.register(
        CertificateEnds({"tls-certificate": options.certificate, "client-ca": options.client_ca})
    )
    webhook = Webhook(
        policy=_policy(options),
        templates=templates,
        device_classes=lambda: names.known,
        clients=clients,
        metrics=metrics,
    )
    if clients is None:
        log.warning("any_client", advice="let only the API server in with a NetworkPolicy")
    async with Sites() as sites:
        pages = _pages(options, names, registry)
        ports = Ports(
            webhook=await sites.add(webhook.application(), options.listen, tls, takes_bodies=True),
            http=await sites.add(pages, options.http),
        )
        if options.given_by is GivenBy.DEVICE_PLUGIN:
            yield ports
            return
        following = asyncio.create_task(names.follow(device_classes), name="device classes")
        following.add_done_callback(end_on_fault)
        try:
            yield ports
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)


def _clients(options: WebhookOptions) -> frozenset[str] | None:
    """The allowed names in a client's certificate; None = no certificate is asked for."""
    if options.any_client and (options.client_ca or options.client_names):
        raise ForesailError(
            "--any-client asks for no certificate: remove --client-ca and --client-name"
        )
    if options.any_client:
        return None
    if options.client_ca is None:
        raise ForesailError(
            "the webhook writes claim templates and must know its client: name the CA of the API"
            " server's client certificate with --client-ca and the certificate's name with"
            " --client-name; if the API server shows no certificate, use --any-client and keep"
            " other clients off the port with a NetworkPolicy"
        )
    if not options.client_names:
        raise ForesailError(
            f"--client-ca {options.client_ca}: the CA may have signed other certificates too: name"
            " the API server's with --client-name"
        )
    return frozenset(options.client_names)


def _policy(options: WebhookOptions) -> Policy:
    catalogue, file = shipped(), options.prices_file
    own = generation_prices_in(file, catalogue) if file else None
    return Policy(catalogue=catalogue, given_by=options.given_by, usd_per_gpu_hour=own)


def _pages(
    options: WebhookOptions, names: DeviceClassNames, registry: CollectorRegistry
) -> web.Application:
    """Health, readiness and metrics."""

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        if options.given_by is GivenBy.DRA and names.known is None:
            why = f": {names.stale}" if names.stale else ""
            text = f"the cluster's DeviceClasses are not read yet{why}\n"
            return web.Response(status=503, text=text)
        return web.Response(text="ok\n")

    async def metrics(_: web.Request) -> web.Response:
        page = generate_latest(registry)
        return web.Response(body=page, headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes(
        [
            web.get("/healthz", healthz),
            web.get("/readyz", readyz),
            web.get("/metrics", metrics),
        ]
    )
    return app
