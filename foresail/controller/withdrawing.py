"""Take back everything that controllers wrote here, before or after they go for good.

A lease keeps what was written until a later round collects it, and after an uninstall there is no
later round: a node that is held would stay for ever. So a process without a policy looks again and
again, takes away what is ours as if every lease had ended, and ends when two looks in a row found
nothing. No Lease of the election is taken: it runs where no controller may write any more.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import structlog
from kubernetes_asyncio.client import ApiClient

from fleet.cluster.follow.api import PATIENT, Patience
from fleet.cluster.follow.mirror import Mirror, mirrored
from fleet.cluster.kinds import PLANNING_KINDS
from foresail.api.change_executor import ChangeExecutor, Ending
from foresail.api.client import client_of
from foresail.api.discovering import made_elsewhere, made_objects
from foresail.clock import wall_clock
from foresail.controller.options import ControllerOptions
from foresail.gpus.options import IN_CLUSTER
from policies.levers import garbage
from policies.levers.objects import PRIORITY_CLASS, MadeObject, Objects
from scaler.errors import ForesailError

log = structlog.get_logger()

WITHIN_SECONDS: Final = 240.0
"""Below Helm's five minutes for a hook; a buffer takes a minute or two."""
LOOK_SECONDS: Final = 5.0
"""Between two looks; longer than a write under way and its way through the watches."""
_POLL_SECONDS: Final = 0.2


async def withdraw(options: ControllerOptions) -> None:
    """Take all of ours back.

    Raises:
        ForesailError: the cluster cannot be read, something is still there after minutes, or, for
            a person, another namespace has objects of ours.
    """
    async with client_of(options.context, options.kubeconfig) as client:
        await withdrawn(client, options)


async def withdrawn(
    client: ApiClient,
    options: ControllerOptions,
    patience: Patience = PATIENT,
    look_seconds: float = LOOK_SECONDS,
    within_seconds: float = WITHIN_SECONDS,
) -> None:
    """As `withdraw`, with a client that is there.

    Raises:
        ForesailError: as `withdraw` does.
    """
    left: tuple[str, ...] | None = None
    try:
        async with (
            asyncio.timeout(within_seconds),
            _read(client, options.context or IN_CLUSTER, patience) as mirror,
        ):
            quiet_looks = 0
            elsewhere = await _elsewhere(client, options)
            while quiet_looks < 2:  # noqa: PLR2004 - the second one sees writes that were under way
                if left is not None:
                    await asyncio.sleep(look_seconds)
                left = await _look(client, mirror, options, elsewhere)
                quiet_looks = 0 if left else quiet_looks + 1
    except TimeoutError:
        named = "the cluster was not read" if left is None else f"still there: {', '.join(left)}"
        raise ForesailError(
            f"not all was taken back within {within_seconds:.0f} s: {named}. "
            f"Call `{_command(options.namespace)}` again"
        ) from None
    log.info("withdrawn", namespace=options.namespace)
    if elsewhere:
        named = ", ".join(str(one.address) for one in elsewhere)
        commands = sorted({_command(one.address.namespace or "") for one in elsewhere})
        why = (
            f"taken back in the namespace {options.namespace}; others still have: {named}. "
            f"Call `{'` and `'.join(commands)}`"
        )
        if options.context is not None or options.kubeconfig is not None:
            raise ForesailError(why)
        # The chart's Job knows its namespace, and a tenant's labels must not fail an upgrade.
        log.warning("others_left", why=why)


def _command(namespace: str) -> str:
    return f"foresail controller --withdraw -n {namespace}"


@asynccontextmanager
async def _read(client: ApiClient, cluster: str, patience: Patience) -> AsyncIterator[Mirror]:
    """A mirror of the cluster, once it is complete."""
    async with mirrored(client, cluster, asyncio.Event(), patience, PLANNING_KINDS) as mirror:
        while mirror.trouble or mirror.stale:  # noqa: ASYNC110 - objects come by watches
            await asyncio.sleep(_POLL_SECONDS)
        yield mirror


async def _elsewhere(client: ApiClient, options: ControllerOptions) -> tuple[MadeObject, ...]:
    """What keeps nodes from other namespaces, as far as it can be read."""
    try:
        made = await made_elsewhere(client, options.namespace)
    except ForesailError as error:
        log.warning("other_namespaces_not_read", why=str(error))
        return ()
    return tuple(one for one in made if garbage.lever_of(one) in options.withdrawn_levers)


async def _look(
    client: ApiClient, mirror: Mirror, options: ControllerOptions, elsewhere: Sequence[MadeObject]
) -> tuple[str, ...]:
    """Take away what can be; what was there before."""
    made = await made_objects(client, options.namespace)
    if any(one.address.kind == "Deployment" for one in elsewhere):
        # Its pods have the class that all share.
        made = tuple(one for one in made if one.address != PRIORITY_CLASS)
    objects = Objects.of(mirror.cluster, made)
    changes = garbage.withdraw(objects, wall_clock(), options.withdrawn_levers)
    for outcome in await ChangeExecutor(client=client).carry_out(changes):
        about = {"object": str(outcome.change.address), "verb": outcome.change.verb.value}
        if outcome.ending is Ending.DONE:
            log.info("taken_back", **about)
        else:
            log.warning("not_taken_back", ending=outcome.ending.value, why=outcome.text, **about)
    return garbage.ours_left(objects, options.withdrawn_levers)
