"""The queue a lead time from now, with every replica on its way counted once.

Scaling on the queue's length alone orders the same replicas again at every look: the queue goes on
growing until the first order serves. What matters is the backlog that will be left when a replica
ordered *now* starts to serve, after those ordered before it have. All quantities are in replicas
and replica-seconds of work, so that prompt and generated tokens need no separate treatment.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Replicas asked for and not yet reporting."""

    at_seconds: float
    replicas: int


def outstanding(orders: Sequence[Order], *, pending: int) -> tuple[Order, ...]:
    """The newest orders that add up to `pending`; replicas that became ready leave the oldest."""
    kept: list[Order] = []
    for order in sorted(orders, key=lambda order: -order.at_seconds):
        take = min(order.replicas, pending)
        if take <= 0:
            break
        kept.append(Order(at_seconds=order.at_seconds, replicas=take))
        pending -= take
    return tuple(reversed(kept))


def backlog_after(
    lead_seconds: float,
    *,
    now_seconds: float,
    work: float,
    load: float,
    ready: int,
    orders: Sequence[Order],
) -> float:
    """Replica-seconds of work still queued `lead_seconds` from now.

    A fluid queue: it changes by `load − serving` per second and never falls below zero. An order
    that is overdue is expected at once, because a second order would arrive later still.

    Args:
        work: replica-seconds queued now.
        load: replicas' worth of demand, held constant.
        ready: replicas serving now.
        orders: replicas on their way; each arrives a lead time after it was made.
    """
    end = now_seconds + lead_seconds
    arrivals = sorted(
        (max(now_seconds, order.at_seconds + lead_seconds), order.replicas) for order in orders
    )
    at, serving = now_seconds, ready
    for arrival, replicas in [*arrivals, (end, 0)]:
        until = min(arrival, end)
        work = max(0.0, work + (load - serving) * (until - at))
        at, serving = until, serving + replicas
    return work
