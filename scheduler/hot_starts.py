"""How likely a pod starts hot on a node, and how many sleeping engines it would cost there.

An instance wakes on exactly the GPUs that it slept on (its id is the hash of its configuration and
their UUIDs). An extender picks the node and the device plugin picks the GPUs, so a hot start has a
probability. With `n` GPUs that may be free, of which the pod gets `g` by chance:

    P(hot)          = sleepers of its configuration on g such GPUs / C(n, g)
    sleepers lost   = sum over those of others, on s GPUs each, of 1 - C(n - s, g) / C(n, g)

For one GPU the first is free GPUs with a matching sleeper / free GPUs. A sleeper is lost when one
of its GPUs is taken: it cannot wake, and Fast Model Actuation deletes it where a new instance wants
its port or its place.

A launcher is no room: it asks for no GPU and sees all of them, so a launcher beside no free GPU
starts nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import comb
from typing import Final

from scheduler.launchers import Config, Instance, Launcher

HOT_MILLI: Final = 300.0
"""Thousandths of a GPU that a certain hot start is worth: 81 s of a start are saved (4.0 s in place
of 85.3 s for a 32B model), where weights on the node's disk, at 150, save a part of them."""
LOST_MILLI: Final = 100.0
"""What a lost sleeper costs: the next start of its model is warm, if there is a next one."""
LOST_MAX: Final = 4.0
"""Sleepers that count: what launchers say must not outweigh every other term."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeGpus:
    """A node's GPUs, and the pods and engines on them."""

    gpus: int
    taken: int
    """That pods ask for."""
    held: frozenset[str]
    """UUIDs of those taken ones of which it is known; the device plugin tells of no others."""
    instances: tuple[Instance, ...] | None
    """Of all the node's launchers; None = one of them did not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HotStart:
    """What a node is to a pod."""

    probability: float | None
    """Of a hot start; None = not known."""
    sleepers_lost: float | None
    """Expected number, of other configurations; None = not known."""

    @property
    def milli(self) -> float:
        """The worth for the score, in thousandths of a GPU; 0 where nothing is known."""
        if self.probability is None or self.sleepers_lost is None:
            return 0.0
        return HOT_MILLI * self.probability - LOST_MILLI * min(self.sleepers_lost, LOST_MAX)


_NO_CHANCE: Final = HotStart(probability=0.0, sleepers_lost=0.0)
_UNKNOWN: Final = HotStart(probability=None, sleepers_lost=None)


def hot_start(config: Config | None, gpus: int, node: NodeGpus) -> HotStart:
    """The chances of a pod on a node.

    Args:
        config: that the pod wants to be served; None = it is no requester, and never starts hot.
        gpus: that it asks for.
        node: where it would go.
    """
    if node.instances is None:
        return _UNKNOWN
    maybe_free = node.gpus - len(node.held)
    if gpus < 1 or gpus > node.gpus - node.taken or gpus > maybe_free:
        return _NO_CHANCE
    # An instance on a held GPU is awake, or its GPUs are another's now.
    sleepers = [one for one in node.instances if not one.gpus & node.held]
    ways = comb(maybe_free, gpus)
    matching = {one.gpus for one in sleepers if config is not None and one.config == config}
    fitting = sum(len(one) == gpus for one in matching)
    spared = (
        comb(max(maybe_free - len(one.gpus), 0), gpus) / ways
        for one in sleepers
        if one.config is None or one.config != config
    )
    return HotStart(
        probability=min(fitting / ways, 1.0),
        sleepers_lost=sum(1.0 - one for one in spared),
    )


def without_room(launchers: Iterable[Launcher]) -> frozenset[tuple[str, str]]:
    """Namespace and name of the launchers that are no room: those that hold no GPU."""
    return frozenset((one.namespace, one.name) for one in launchers if not one.requests_gpus)


def starts_at_once(*, unbound_launchers: int, free_gpus: int, gpus: int) -> int:
    """How many more pods a node's launchers can start: each needs a launcher, and its GPUs."""
    return max(min(unbound_launchers, free_gpus // gpus), 0) if gpus > 0 else 0
