"""`foresail controller`: its parts put together, until SIGTERM or SIGINT."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any, Final

import structlog
from kubernetes_asyncio.client import ApiClient
from prometheus_client import CollectorRegistry

from fleet.catalogue import shipped
from fleet.cluster.follow.api import PATIENT, Patience
from fleet.cluster.follow.mirror import PLANNING_KINDS, mirrored
from fleet.cluster.follow.watch import watched
from fleet.cluster.kinds import Kind
from fleet.snapshot import Known
from foresail.api_client import client_of
from foresail.clock import steady_clock, wall_clock
from foresail.controller.controller import Clocks, Controller, Surroundings
from foresail.controller.election import Election
from foresail.controller.heard_plans import HeardPlans
from foresail.controller.lease_api import ApiLeases
from foresail.controller.metrics import ControllerCollector
from foresail.controller.node_events import NodeEvents
from foresail.controller.options import ControllerOptions
from foresail.controller.pages import Pages
from foresail.controller.policies_in_force import PATH, PoliciesInForce, policy_object_of
from foresail.controller.rounds import ClusterRounds, ControllerState
from foresail.controller.state_folder import StateFolder
from foresail.event_queue import post_to
from foresail.fleet_options import IN_CLUSTER
from foresail.policy_files import PolicyFiles
from foresail.prices import price_list
from foresail.process import end_on_fault, stop_signalled
from foresail.sites import Sites

log = structlog.get_logger()

LEASE: Final = "foresail-controller"
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
    registry = CollectorRegistry()
    policies = PoliciesInForce(PolicyFiles(options.policies) if options.policies else None)
    known = Known(catalogue=shipped(), prices=price_list(options.prices))
    cluster = options.context or IN_CLUSTER
    folder = StateFolder(options.state, cluster) if options.state is not None else None
    rounds = ClusterRounds(known, folder.read() if folder is not None else ControllerState())
    for why in rounds.refused:
        log.warning("state_refused", why=why)
    plans = HeardPlans() if options.plans is not None else None
    kinds = (*PLANNING_KINDS, *([Kind.SCALED_OBJECT] if plans is not None else []))
    news = asyncio.Event()
    async with AsyncExitStack() as stack:
        mirror = await stack.enter_async_context(mirrored(client, cluster, news, patience, kinds))
        around = Surroundings(mirror=mirror, policies=policies, plans=plans, keeper=folder)
        if not options.dry_run:
            leases = ApiLeases(client, options.namespace, LEASE)
            around = replace(
                around,
                election=Election(leases, options.identity, steady=clocks.steady, wall=clocks.wall),
                events=NodeEvents(post_to(client), registry),
            )
        controller = Controller(rounds, around, clocks, registry)
        registry.register(ControllerCollector(lambda: controller.last, lambda: controller.leading))
        pages = Pages(
            registry=registry,
            last=lambda: controller.last,
            leading=lambda: controller.leading,
            stuck=lambda: controller.stuck,
            blind=lambda: controller.blind,
        )
        sites = await stack.enter_async_context(Sites())
        port = await sites.add(pages.application(), options.http)
        objects = watched(client, PATH, _policy_record(), patience=patience)
        work = [*controller.tasks(), ("policies", policies.follow(objects))]
        if around.election is not None:
            around.election.changed = controller.wake
            work.append(("election", around.election.run()))
        await stack.enter_async_context(_going_on(work))
        yield port


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
