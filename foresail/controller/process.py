"""`foresail controller`: its parts put together, until SIGTERM or SIGINT."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import structlog
from kubernetes_asyncio.client import ApiClient
from prometheus_client import CollectorRegistry
from rich.console import Console

from fleet.catalogue import shipped
from fleet.cluster.follow.api import PATIENT, Patience
from fleet.cluster.follow.mirror import Mirror, mirrored
from fleet.cluster.follow.watch import watched
from fleet.cluster.kinds import PLANNING_KINDS, Kind
from fleet.snapshot import Known
from foresail.api.client import client_of
from foresail.client import Plans
from foresail.clock import steady_clock, wall_clock
from foresail.controller.console_source import ControllerSource
from foresail.controller.controller import Clocks, Connections, Controller, RoundExecutor
from foresail.controller.election import Election
from foresail.controller.known_plans import KnownPlans
from foresail.controller.lease_api import ApiLeases
from foresail.controller.lever_executor import ChangePrinter, LeverExecutor, Levers
from foresail.controller.metrics import ControllerCollector
from foresail.controller.nightly_tuning import NightlyTuning
from foresail.controller.node_events import NodeEvents
from foresail.controller.options import ControllerOptions
from foresail.controller.pages import Pages, shown
from foresail.controller.plans_reader import read_plans
from foresail.controller.policies_in_force import PATH, PoliciesInForce, policy_object_of
from foresail.controller.rounds import ClusterRound, ClusterRounds, ControllerState
from foresail.controller.run_watch import RunWatch
from foresail.controller.state_folder import StateFolder
from foresail.controller.tuning_worker import choose_apart
from foresail.gpus.options import IN_CLUSTER
from foresail.placement.event_queue import post_to
from foresail.policy.advice_table import render
from foresail.policy.files import PolicyFiles
from foresail.ports.certificate_ends import CertificateEnds
from foresail.ports.limits_seen import LimitCollector
from foresail.ports.process import end_on_fault, stop_signalled
from foresail.ports.sites import Sites
from foresail.prices import price_list
from scaler.errors import ForesailError

log = structlog.get_logger()

LEASE: Final = "foresail-controller"
_ONCE_SECONDS: Final = 60.0
"""In which a cluster is read for a single round."""
_POLL_SECONDS: Final = 0.2
CLOCKS: Final = Clocks(steady=steady_clock, wall=wall_clock)


async def control(options: ControllerOptions) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        ForesailError: a port is taken, or an option or a file cannot be used.
    """
    stop = stop_signalled()
    async with (
        client_of(options.context, options.kubeconfig) as client,
        running(options, client) as port,
    ):
        log.info("serving", http=port, identity=options.identity, writes=options.writes)
        await stop.wait()
        log.info("stopping")


async def once(options: ControllerOptions, console: Console) -> None:
    """Make one round, carry it out unless it is a dry run, and print it.

    Raises:
        ForesailError: an option cannot be used, the cluster or the policies cannot be read, or
            another replica leads.
    """
    async with (
        client_of(options.context, options.kubeconfig) as client,
        assembled(options, client) as parts,
    ):
        made = await _one_round(parts)
        console.print(render([shown(made)], []))


async def _one_round(parts: "Parts") -> ClusterRound:
    try:
        async with asyncio.timeout(_ONCE_SECONDS):
            # Objects and policies come by watches of their own.
            while parts.controller.unreadable() is not None:  # noqa: ASYNC110
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        raise ForesailError(f"not read: {parts.controller.unreadable()}") from None
    if parts.runs is not None:
        await parts.runs.ask()
    election = parts.election
    if election is None:
        return await parts.controller.round_now()
    await election.attempt()
    try:
        if not election.leading:
            who = election.holder or "nobody"
            why = election.trouble or f"{who} has the Lease {LEASE}"
            raise ForesailError(f"no round is made here: {why}; --dry-run needs no Lease")
        made = await parts.controller.round_now()
        if parts.runs is not None:
            await parts.runs.write()
        return made
    finally:
        await election.give_back()


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """A controller that reads its cluster, and makes no rounds yet."""

    controller: Controller
    election: Election | None
    tuning: NightlyTuning
    registry: CollectorRegistry
    console: ControllerSource | None
    """None = no console is served."""
    runs: RunWatch | None = None
    """None = no MLflow is asked."""


@asynccontextmanager
async def assembled(
    options: ControllerOptions,
    client: ApiClient,
    clocks: Clocks = CLOCKS,
    patience: Patience = PATIENT,
) -> AsyncIterator[Parts]:
    """The parts of a controller, with all that they read followed while the context is open.

    Raises:
        ForesailError: an option or a file cannot be used.
    """
    registry = CollectorRegistry()
    registry.register(LimitCollector())
    policies = PoliciesInForce(PolicyFiles(options.policies) if options.policies else None)
    known = Known(catalogue=shipped(), prices=price_list(options.prices))
    cluster = options.context or IN_CLUSTER
    folder = StateFolder(options.state, cluster) if options.state is not None else None
    rounds = ClusterRounds(known, folder.read() if folder is not None else ControllerState())
    for why in rounds.refused:
        log.warning("state_refused", why=why)
    plans = KnownPlans() if options.plans is not None else None
    console = None
    if options.console is not None:
        console = ControllerSource(
            cluster=cluster,
            last=lambda: controller.last,
            trouble=lambda: controller.trouble,
            plans_trouble=lambda: None if plans is None else plans.trouble,
            watches=plans is not None,
            steady=clocks.steady,
            wall=clocks.wall,
        )
    kinds = (*PLANNING_KINDS, *([Kind.SCALED_OBJECT] if plans is not None else []))
    objects = watched(client, PATH, _policy_record(), patience=patience)
    async with (
        mirrored(client, cluster, asyncio.Event(), patience, kinds) as mirror,
        _going_on(
            [
                ("policies", policies.follow(objects)),
                *_plan_tasks(options, plans, clocks, console),
            ]
        ),
    ):
        connections = Connections(
            mirror=mirror,
            policies=policies,
            plans=plans,
            executor=_executor(options, client, clocks, registry),
            runs=_runs(options, mirror, clocks),
        )
        if not options.dry_run:
            connections = replace(connections, store=folder)
        if not (options.dry_run or options.observe):
            connections = replace(
                connections,
                election=_election(options, client, clocks, rounds),
                events=NodeEvents(post_to(client), registry),
            )
        controller = Controller(rounds, connections, clocks, registry)
        tls = options.plans_tls
        if tls is not None:
            ends = {"plans-ca": tls.ca, "plans-certificate": tls.certificate}
            registry.register(CertificateEnds(ends))
        registry.register(ControllerCollector(lambda: controller.last, lambda: controller.leading))
        tuning = NightlyTuning(rounds, choose_apart, lambda: controller.last, clocks.wall, registry)
        yield Parts(
            controller=controller,
            election=connections.election,
            tuning=tuning,
            registry=registry,
            console=console,
            runs=connections.runs,
        )


@asynccontextmanager
async def running(
    options: ControllerOptions,
    client: ApiClient,
    clocks: Clocks = CLOCKS,
    patience: Patience = PATIENT,
) -> AsyncIterator[int]:
    """A controller that goes on; stopped at the end, its Lease given back. Its HTTP port.

    Raises:
        ForesailError: a port is taken, or an option or a file cannot be used.
    """
    async with assembled(options, client, clocks, patience) as parts, Sites() as sites:
        controller = parts.controller
        pages = Pages(
            registry=parts.registry,
            last=lambda: controller.last,
            leading=lambda: controller.leading,
            stuck=lambda: controller.stuck,
            trouble=lambda: controller.trouble,
        )
        port = await sites.add(pages.application(), options.http)
        work = [*controller.tasks(), ("tuning", parts.tuning.run())]
        if parts.election is not None:
            parts.election.changed = controller.wake
            work.append(("election", parts.election.run()))
        async with _going_on(work), _console(options, parts.console):
            yield port


@asynccontextmanager
async def _console(
    options: ControllerOptions, source: ControllerSource | None
) -> AsyncIterator[None]:
    """The console while the context is open, where one is asked for."""
    if source is None or options.console is None:
        yield
        return
    from foresail.console.server import serving  # noqa: PLC0415 - of an extra

    async with serving(source, options.console, options.console_token) as port:
        log.info("console", address=options.console, port=port)
        yield


def _election(
    options: ControllerOptions, client: ApiClient, clocks: Clocks, rounds: ClusterRounds
) -> Election:
    """With what the month has cost in the Lease: a ceiling must not begin anew with new pods."""
    leases = ApiLeases(client, options.namespace, LEASE)
    election = Election(leases, options.identity, steady=clocks.steady, wall=clocks.wall)
    election.note = lambda: rounds.spending_note
    election.note_found = lambda note: rounds.take_spending(note, clocks.wall())
    return election


def _runs(options: ControllerOptions, mirror: Mirror, clocks: Clocks) -> RunWatch | None:
    if options.mlflow is None:
        return None
    return RunWatch(
        server=options.mlflow,
        wall=clocks.wall,
        pods=lambda: mirror.cluster.pods or (),
        writes=options.writes and not options.observe,
    )


def _executor(
    options: ControllerOptions, client: ApiClient, clocks: Clocks, registry: CollectorRegistry
) -> RoundExecutor | None:
    levers = Levers(client, options.namespace, clocks.steady)
    if options.dry_run:
        return ChangePrinter(levers, partial(print, end="", flush=True))
    return LeverExecutor(client, levers, registry) if options.writes else None


def _plan_tasks(
    options: ControllerOptions,
    known: KnownPlans | None,
    clocks: Clocks,
    console: ControllerSource | None,
) -> Iterator[tuple[str, Coroutine[None, None, None]]]:
    if known is not None and options.plans is not None:
        reader = Plans(options.plans, tls=options.plans_tls)
        also = None if console is None else console.take
        yield "plans", read_plans(known, reader.watch, clocks.steady, also)


def _policy_record() -> Any:
    """For a watch, whose records are otherwise those of the fleet's room."""
    return policy_object_of


@asynccontextmanager
async def _going_on(work: Sequence[tuple[str, Coroutine[None, None, None]]]) -> AsyncIterator[None]:
    """Tasks that run while the context is open; the fault of one stops the process."""
    tasks = [asyncio.create_task(one, name=name) for name, one in work]
    for task in tasks:
        task.add_done_callback(end_on_fault)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
