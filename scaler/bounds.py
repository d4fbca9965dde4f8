"""Physical bounds of the signals: a number beyond them is a fault of its exporter, not demand.

A counter that wrapped below zero, a gauge in the wrong unit or a hostile page would otherwise order
every replica that the bounds allow. Each bound is far above what is measured anywhere, so that no
true reading meets it; below it a reading is believed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from scaler.signals import Signal


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """The largest number that is believed."""

    most: float
    why: str
    of_each_replica: bool = True
    """Whether it is what one replica can report; an exporter of a pool reports for all of it."""


BOUNDS: Final[Mapping[Signal, Bound]] = {
    Signal.PROMPT_TOKENS: Bound(
        most=1e7, why="a rack of GPUs computes well under 10^7 prompt tokens a second"
    ),
    Signal.GENERATED_TOKENS: Bound(
        most=1e6, why="a rack of GPUs generates well under 10^6 tokens a second"
    ),
    Signal.REQUESTS: Bound(most=1e5, why="no engine's server takes 10^5 requests a second"),
    Signal.REJECTED: Bound(most=1e5, why="no engine's server refuses 10^5 requests a second"),
    Signal.WAITING: Bound(most=1e6, why="no server holds 10^6 connections"),
    Signal.WAITING_DEFERRED: Bound(most=1e6, why="no server holds 10^6 connections"),
    Signal.RUNNING: Bound(most=1e6, why="no server holds 10^6 connections"),
    Signal.KV_USE: Bound(most=1.01, why="it is a share from 0 to 1", of_each_replica=False),
    Signal.TTFT: Bound(most=86_400, why="no client waits a day", of_each_replica=False),
    Signal.ITL: Bound(most=3600, why="no client waits an hour for a token", of_each_replica=False),
    Signal.KV_CAPACITY: Bound(most=1e9, why="no GPU's memory holds 10^9 tokens"),
    Signal.REPLICAS: Bound(most=1e5, why="more than any workload may have", of_each_replica=False),
}


def outlier(signal: Signal, amount: float, *, replicas: float = 1.0) -> str | None:
    """Why a number cannot be what was measured; None where it can.

    Args:
        replicas: that the exporter reports for.
    """
    bound = BOUNDS[signal]
    most = bound.most * (max(1.0, replicas) if bound.of_each_replica else 1.0)
    if amount <= most:
        return None
    return f"a value of {amount:.3g}, over {most:.3g}: {bound.why}"
