"""The edge: carries plans out by levers, or prints what would be written.

What can be worked with is found out anew now and then. Objects of ours are listed in each round,
past every cache: what is there already is not made again.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from math import inf
from typing import Final

import structlog
from kubernetes_asyncio.client import ApiClient
from prometheus_client import CollectorRegistry, Counter

from foresail.api.change_executor import ChangeExecutor, Ending, Outcome
from foresail.api.discovering import discover, made_objects
from foresail.controller.pod_specs import PodSpecs
from foresail.controller.rounds import ClusterRound
from policies.levers import cancel
from policies.levers.discovery import Discovery
from policies.levers.ladder import Actions, LeverInput, actions
from policies.levers.objects import Objects
from policies.levers.printed import as_yaml
from policies.node_plan import NodePlan
from scaler.clock import Clock
from scaler.errors import ForesailError

log = structlog.get_logger()

DISCOVER_SECONDS: Final = 600.0
"""A controller of buffers may be installed, or a gate of Karpenter's be set, at any time."""
_QUIET: Final = frozenset({Ending.DONE, Ending.ADVICE})


class Levers:
    """The changes that carry a round out."""

    def __init__(self, client: ApiClient, namespace: str, steady: Clock) -> None:
        self._client = client
        self._namespace = namespace
        self._steady = steady
        self._specs = PodSpecs(client)
        self._discovery = Discovery()
        self._discovered_seconds = -inf

    async def actions(self, round_: ClusterRound) -> Actions:
        """What is to be done.

        Raises:
            ForesailError: what is ours cannot be listed.
        """
        made = await made_objects(self._client, self._namespace)
        pools = round_.decided.situation.pools
        return actions(
            LeverInput(
                plan=round_.decided.plan,
                pools={pool.name: pool for pool in pools},
                policies=round_.decided.policies,
                discovery=await self._discovered(round_),
                objects=Objects.of(round_.cluster, made),
                pod_specs=await self._specs.of(pools),
                namespace=self._namespace,
            )
        )

    async def _discovered(self, round_: ClusterRound) -> Discovery:
        now = self._steady()
        if now - self._discovered_seconds >= DISCOVER_SECONDS:
            self._discovery = await discover(self._client, round_.cluster)
            self._discovered_seconds = now
            for why in self._discovery.not_read:
                log.warning("not_discovered", why=why)
        return self._discovery


class LeverExecutor:
    """Makes the changes of a round."""

    def __init__(self, client: ApiClient, levers: Levers, registry: CollectorRegistry) -> None:
        self._client = client
        self._levers = levers
        self._changes = Counter(
            "foresail_controller_changes",
            "Changes of API objects, by lever and by outcome.",
            ["lever", "ending"],
            registry=registry,
        )

    async def carry_out(self, round_: ClusterRound, may_act: Callable[[], bool]) -> frozenset[str]:
        """Make the changes, one after the other, while `may_act` says so."""
        try:
            found = await self._levers.actions(round_)
        except ForesailError as error:
            log.warning("not_carried_out", why=str(error))
            return frozenset()
        _log_steps(found)
        outcomes = await ChangeExecutor(client=self._client, leads=may_act).carry_out(found.changes)
        for outcome in outcomes:
            self._changes.labels(outcome.change.lever, outcome.ending.value).inc()
            _log_outcome(outcome)
        return called_off(outcomes, round_.decided.plan)


class ChangePrinter:
    """Prints the objects that would be written, as YAML, and writes nothing."""

    def __init__(self, levers: Levers, show: Callable[[str], None]) -> None:
        self._levers = levers
        self._show = show

    async def carry_out(self, round_: ClusterRound, may_act: Callable[[], bool]) -> frozenset[str]:
        """Print the changes; nobody has to lead for that."""
        try:
            found = await self._levers.actions(round_)
        except ForesailError as error:
            log.warning("not_printed", why=str(error))
            return frozenset()
        _log_steps(found)
        text = as_yaml(found.changes)
        self._show(text or "# nothing would be written\n")
        return frozenset()


def called_off(outcomes: Iterable[Outcome], plan: NodePlan) -> frozenset[str]:
    """UIDs of NodeClaims whose start these changes ended.

    Where the size of a static pool fell, Karpenter chooses; the plan's choice counts.
    """
    done = [one.change for one in outcomes if one.ending is Ending.DONE]
    deleted = {change.uid for change in done if change.lever == cancel.LEVER and change.uid}
    sized = {change.address.name for change in done if change.subresource == "scale"}
    pools = tuple(pool for pool in plan.pools if pool.pool in sized)
    return replace(plan, pools=pools).released | deleted


def _log_steps(found: Actions) -> None:
    for pool, steps in found.steps.items():
        for step in steps:
            log.info("lever", pool=pool, lever=step.rule, text=step.text)


def _log_outcome(outcome: Outcome) -> None:
    change = outcome.change
    about = {"lever": change.lever, "object": str(change.address), "verb": change.verb.value}
    if outcome.ending in _QUIET:
        if outcome.ending is Ending.DONE:
            log.info("changed", why=change.why, **about)
    else:
        log.warning("not_changed", ending=outcome.ending.value, why=outcome.text, **about)
