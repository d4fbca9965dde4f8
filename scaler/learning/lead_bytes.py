"""A record of orders and starts as bytes, for the workload's state.

Numbers are written whole, so that a peer and a restarted process plan with the same ones. Losing a
record costs the lead time for a while and nothing else, so a reader refuses every doubtful one.
"""

import math
from struct import Struct
from typing import Final

from scaler.learning.lead import STARTS_MAX, Awaited, LeadRecord, Start
from scaler.trigger import REPLICAS_MAX

NAME: Final = "lead"
"""Of the record in a workload's state."""
VERSION: Final = 1
_AWAITED_MAX: Final = 1000
"""More than a workload orders before the oldest is given up."""
_CLOCKS_SECONDS_MAX: Final = 60.0
"""By which the clocks of two nodes may differ."""
_START_SECONDS_MAX: Final = 30 * 86400.0
_HEAD: Final = Struct("<iidddHH")
_AWAITED: Final = Struct("<dI?")
_START: Final = Struct("<dd?")
_NOTHING: Final = -1


def encode(record: LeadRecord) -> bytes:
    awaited = record.awaited[-_AWAITED_MAX:]
    head = _HEAD.pack(
        _NOTHING if record.handed is None else record.handed,
        _NOTHING if record.ready is None else record.ready,
        record.looked_at_seconds,
        math.nan if record.arrived_at_seconds is None else record.arrived_at_seconds,
        math.nan if record.cancelled_at_seconds is None else record.cancelled_at_seconds,
        len(awaited),
        len(record.starts),
    )
    return b"".join(
        (
            head,
            *(_AWAITED.pack(one.at_seconds, one.replicas, one.timed) for one in awaited),
            *(_START.pack(one.at_seconds, one.seconds, one.arrived) for one in record.starts),
        )
    )


def decode(version: int, payload: bytes, now_seconds: float) -> LeadRecord:
    """The record in `payload`.

    Raises:
        ValueError: naming the fault: another version, cut, or a number that no record has.
    """
    if version != VERSION:
        raise ValueError(f"version {version}; this program reads {VERSION}")
    if len(payload) < _HEAD.size:
        raise ValueError(f"{len(payload)} bytes, less than its head")
    handed, ready, looked_at, arrived_at, cancelled_at, orders, starts = _HEAD.unpack_from(payload)
    begins = _HEAD.size + orders * _AWAITED.size
    if len(payload) != begins + starts * _START.size:
        raise ValueError(f"{len(payload)} bytes for {orders} orders and {starts} starts")
    record = LeadRecord(
        handed=None if handed == _NOTHING else handed,
        ready=None if ready == _NOTHING else ready,
        looked_at_seconds=looked_at,
        arrived_at_seconds=None if math.isnan(arrived_at) else arrived_at,
        cancelled_at_seconds=None if math.isnan(cancelled_at) else cancelled_at,
        awaited=tuple(
            Awaited(at_seconds=at, replicas=replicas, timed=timed)
            for at, replicas, timed in _AWAITED.iter_unpack(payload[_HEAD.size : begins])
        ),
        starts=tuple(
            Start(at_seconds=at, seconds=seconds, arrived=arrived)
            for at, seconds, arrived in _START.iter_unpack(payload[begins:])
        ),
    )
    _refuse_absurd(record, now_seconds)
    return record


def _refuse_absurd(record: LeadRecord, now_seconds: float) -> None:
    counts = [count for count in (record.handed, record.ready) if count is not None]
    counts += [one.replicas for one in record.awaited]
    absurd = [count for count in counts if not 0 <= count <= REPLICAS_MAX]
    if absurd:
        raise ValueError(f"{absurd[0]} replicas")
    if len(record.starts) > STARTS_MAX:
        raise ValueError(f"{len(record.starts)} starts, over {STARTS_MAX}")
    times = [record.looked_at_seconds, record.arrived_at_seconds, record.cancelled_at_seconds]
    times += [one.at_seconds for one in record.awaited]
    times += [one.at_seconds for one in record.starts]
    # Written so that a time that is not a number is refused too.
    future = [at for at in times if at is not None and not at - now_seconds <= _CLOCKS_SECONDS_MAX]
    if future:
        raise ValueError(f"a time {future[0] - now_seconds:.0f} s from now")
    lasting = [one.seconds for one in record.starts if not 0 <= one.seconds <= _START_SECONDS_MAX]
    if lasting:
        raise ValueError(f"a start of {lasting[0]:g} s")
