"""What a message of the Plans API must be so that its numbers can be used.

A field of a newer server is skipped, and an absent one is absent. But a table without its rows, or
a NaN, would end in the middle of a reader's arithmetic.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from google.protobuf.message import Message

from scaler.errors import ForesailError
from scaler.message_text import limited
from scaler.rpc.foresail.v1 import plans_pb2 as pb


class MalformedPlanError(ForesailError):
    """A message that no server of plans makes; the text says why."""


def faults_of(message: pb.WorkloadPlan) -> Iterator[str]:
    """Why the numbers of a plan cannot be used, field by field; those of a record are its own."""
    yield from (f"{field} is no finite number" for field in _not_finite(message))
    for one in message.forecasts:
        of = limited(f"forecasts of {one.series}")
        yield from _table_faults(of, one.horizons_seconds, one.levels, one.quantiles)
    of_replicas = message.replica_forecast
    if message.HasField("replica_forecast"):
        steps = of_replicas.horizons_seconds
        yield from _table_faults(
            "replica_forecast", steps, of_replicas.levels, of_replicas.quantiles
        )
    if message.HasField("settings") and not 0 < message.settings.level < 1:
        yield f"settings.level is {message.settings.level:g}, not inside (0, 1)"


def _not_finite(message: Message, at: str = "") -> Iterator[str]:
    for field, value in message.ListFields():
        name = f"{at}{field.name}"
        if field.cpp_type == field.CPPTYPE_DOUBLE:
            numbers = value if field.is_repeated else (value,)
            if not all(map(math.isfinite, numbers)):
                yield name
        elif field.cpp_type == field.CPPTYPE_MESSAGE and name != "workload":
            for inner in value if field.is_repeated else (value,):
                yield from _not_finite(inner, f"{name}.")


def _table_faults(
    of: str, steps: Sequence[float], levels: Sequence[float], rows: Sequence[pb.Row]
) -> Iterator[str]:
    if not steps or not all(a < b for a, b in pairwise((0.0, *steps))):
        yield f"{of}: its times do not ascend from 0"
    if not levels or not all(a < b for a, b in pairwise((0.0, *levels, 1.0))):
        yield f"{of}: its levels do not ascend inside (0, 1)"
    if len(rows) != len(steps) or any(len(row.values) != len(levels) for row in rows):
        yield f"{of}: not a row for each of {len(steps)} times with {len(levels)} values each"
