"""Who may read plans, by their certificates, and certificates that change under a client."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from foresail.client import ClientTls, Plans, PlansError
from scaler.serving.plans_service import READERS_OF_ONE_MAX, admit_readers
from scaler.serving.server import TlsFiles
from tests.contracts.certificates import Authority, Pair
from tests.contracts.plan_readers import PlansSite, named

pytestmark = pytest.mark.looptime(False)  # sockets need real time

CONTROLLER, TEAM = "foresail-controller.foresail.svc", "planner.team-a.svc"
READERS = {CONTROLLER: None, TEAM: frozenset({"team-a"})}


class Site:
    """A served book of two tenants' plans, and readers with certificates."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.servers, self.readers = Authority("servers"), Authority("readers")
        self.files = TlsFiles(
            certificate=folder / "tls.crt", key=folder / "tls.key", client_ca=folder / "ca.crt"
        )
        self.serve(self.servers)
        (folder / "ca.crt").write_bytes(self.readers.certificate)
        self.plans = PlansSite()
        self.plans.plan(named("a", "team-a"))
        self.plans.plan(named("b", "team-b"))

    def serve(self, authority: Authority) -> None:
        pair = authority.sign("foresail")
        self.files.certificate.write_bytes(pair.certificate)
        self.files.key.write_bytes(pair.key)
        (self.folder / "server-ca.crt").write_bytes(authority.certificate)

    def reader(self, pair: Pair | None, *, namespaces: Sequence[str] = ()) -> Plans:
        tls = ClientTls(ca=self.folder / "server-ca.crt")
        if pair is not None:
            tls = ClientTls(
                ca=tls.ca, certificate=self.folder / "reader.crt", key=self.folder / "reader.key"
            )
            (self.folder / "reader.crt").write_bytes(pair.certificate)
            (self.folder / "reader.key").write_bytes(pair.key)
        address = f"localhost:{self.plans.port}"
        return Plans(address, namespaces=namespaces, tls=tls, backoff_seconds=(0.02,))

    async def names(self, pair: Pair | None, *, namespaces: Sequence[str] = ()) -> list[str]:
        async with self.reader(pair, namespaces=namespaces) as plans:
            return [plan.workload.name for plan in await plans.list(seconds_max=0)]


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    made = Site(tmp_path)
    async with made.plans.served(admit=admit_readers(READERS), tls=made.files):
        yield made


async def test_a_reader_gets_the_namespaces_that_the_operator_named_for_it(site: Site) -> None:
    controller = site.readers.sign("c", hosts=[CONTROLLER])
    team = site.readers.sign("t", hosts=[TEAM])

    assert await site.names(controller) == ["a", "b"]
    assert await site.names(controller, namespaces=["team-b"]) == ["b"]
    assert await site.names(team) == ["a"]


async def test_a_watch_of_a_tenant_never_tells_of_another(site: Site) -> None:
    async with (
        site.reader(site.readers.sign("t", hosts=[TEAM])) as plans,
        aclosing(plans.watch()) as events,
    ):
        begun = await anext(events)
        site.plans.plan(named("b", "team-b"), replicas=9)
        site.plans.forget(named("b", "team-b"))
        site.plans.plan(named("c", "team-a"))
        following = await anext(events)

    assert [plan.workload.name for plan in begun.plans] == ["a"]
    assert following.plan.workload.name == "c"


async def test_a_namespace_of_another_tenant_is_denied_by_name(site: Site) -> None:
    pair = site.readers.sign("t", hosts=[TEAM])

    with pytest.raises(PlansError, match=r"PERMISSION_DENIED: plans.readers does not .*'team-b'"):
        await site.names(pair, namespaces=["team-a", "team-b"])


async def test_a_tenant_that_opens_many_watches_keeps_nobody_else_out(site: Site) -> None:
    team = site.readers.sign("t", hosts=[TEAM])
    async with AsyncExitStack() as stack:
        tenant = await stack.enter_async_context(site.reader(team))
        for _ in range(READERS_OF_ONE_MAX):
            events = await stack.enter_async_context(aclosing(tenant.watch()))
            await anext(events)
        with capture_logs() as logs:
            one_more = await stack.enter_async_context(aclosing(tenant.watch()))
            waiting = asyncio.create_task(anext(one_more))
            async with asyncio.timeout(60):
                while not logs:
                    await asyncio.sleep(0.01)
            assert not waiting.done()
            waiting.cancel()
            await asyncio.wait([waiting])
        controller = site.reader(site.readers.sign("c", hosts=[CONTROLLER]))
        events = await stack.enter_async_context(aclosing(controller.watch()))
        await asyncio.wait_for(anext(events), 60)
    assert f"16 watches of {TEAM} are open, the limit of one reader" in logs[0]["error"]


async def test_a_certificate_that_nobody_listed_is_denied_with_its_names(site: Site) -> None:
    """Such as KEDA's client certificate, which tenants' triggers name, of the same CA."""
    pair = site.readers.sign("keda-operator", hosts=["keda-operator.keda.svc"])

    with pytest.raises(
        PlansError, match=r"PERMISSION_DENIED: .* yours has the names: keda-operator.keda.svc"
    ):
        await site.names(pair)


@pytest.mark.parametrize("stranger", [True, False], ids=["of-another-ca", "without-certificate"])
async def test_a_caller_whom_the_ca_did_not_sign_is_not_let_in(site: Site, stranger: bool) -> None:
    pair = Authority("strangers").sign("c", hosts=[CONTROLLER]) if stranger else None

    with pytest.raises(PlansError, match="UNAVAILABLE"):
        await site.names(pair)


async def test_a_watch_goes_on_with_rotated_certificates_on_both_sides(site: Site) -> None:
    pair = site.readers.sign("c", hosts=[CONTROLLER])
    async with site.reader(pair) as plans, aclosing(plans.watch()) as events:
        await anext(events)
        site.serve(Authority("fresh servers"))
        site.reader(site.readers.sign("c", hosts=[CONTROLLER]))
        site.plans.book.close()  # the server ends the connection
        with capture_logs():
            site.plans.plan(named("a"), replicas=8)

            changed = await anext(events)

    assert changed.plan.plan.planned == 8


async def test_a_missing_file_of_a_reader_is_named(site: Site) -> None:
    missing = ClientTls(ca=site.folder / "nowhere.crt")

    with pytest.raises(PlansError, match=r"TLS file .*nowhere.crt: No such file"):
        async with Plans("localhost:1", tls=missing):
            pass
