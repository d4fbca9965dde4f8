"""A feed's state as bytes, in the message of `proto/foresail/v1/state.proto`."""

import math
from typing import Final

from scaler.decision.demand import Demand, DemandState, Mix
from scaler.decision.series import DemandSeries
from scaler.decision.tracker import TrackerState
from scaler.rpc.foresail.v1 import state_pb2 as pb
from scaler.state.messages import begun, learned, opened, optional, unknown_of
from scaler.state.records import FeedState, RefusalReason, StateRefusedError

FEED_BYTES_MAX: Final = 3 * 2**20
"""Below gRPC's limit of 4 MiB a message; a feed takes a few hundred KiB at most."""
_AMOUNTS: Final = ("prompt_tokens", "generated_tokens", "requests", "in_flight")


def encode_feed(state: FeedState) -> bytes:
    tracker = state.tracker
    message = begun(pb.FeedState, state.learned, state.unknown)
    message.key = state.key
    message.taken_at_seconds = state.taken_at_seconds
    message.step_seconds = tracker.step_seconds
    if tracker.open_step is not None:
        message.open_step = tracker.open_step
    message.looks.extend(_demand_message(look) for look in tracker.looks)
    if tracker.demand is not None:
        message.demand.CopyFrom(_demand_message(tracker.demand))
    if tracker.demand_state is not None:
        message.demand_memory.CopyFrom(_demand_memory_message(tracker.demand_state))
    message.has_closed = tracker.has_closed
    for at_step, steps in tracker.clock_steps:
        message.clock_steps.add(at_step=at_step, steps=steps)
    for series, snapshot in tracker.forecasters.items():
        message.forecasters[series] = snapshot
    return message.SerializeToString(deterministic=True)


def decode_feed(payload: bytes) -> FeedState:
    """The state in `payload`; its snapshots are checked when they are restored.

    Raises:
        StateRefusedError: too large, corrupted, or of a newer format.
    """
    message = opened(pb.FeedState, "feed", payload, bytes_max=FEED_BYTES_MAX)
    if not message.key or not 0 < message.step_seconds < math.inf:
        raise StateRefusedError(RefusalReason.CORRUPTED, "state of a feed without a key or a step")
    known = {series.value: series for series in DemandSeries}
    tracker = TrackerState(
        step_seconds=message.step_seconds,
        open_step=message.open_step if message.HasField("open_step") else None,
        looks=tuple(_demand(look) for look in message.looks),
        demand=_demand(message.demand) if message.HasField("demand") else None,
        demand_state=_demand_state(message.demand_memory)
        if message.HasField("demand_memory")
        else None,
        has_closed=message.has_closed,
        forecasters={
            known[name]: bytes(snapshot)
            for name, snapshot in message.forecasters.items()
            if name in known
        },
        clock_steps=tuple((one.at_step, one.steps) for one in message.clock_steps),
    )
    return FeedState(
        key=message.key,
        taken_at_seconds=message.taken_at_seconds,
        tracker=tracker,
        learned=learned(message.learned),
        unknown=unknown_of(message),
    )


def _demand_message(demand: Demand) -> pb.Demand:
    return pb.Demand(
        at_seconds=demand.at_seconds,
        prompt_tokens=demand.prompt_tokens,
        generated_tokens=demand.generated_tokens,
        requests=demand.requests,
        in_flight=demand.in_flight,
    )


def _demand(message: pb.Demand) -> Demand:
    amounts = {name: optional(message, name) for name in _AMOUNTS}
    return Demand(at_seconds=message.at_seconds, **amounts)


def _demand_memory_message(state: DemandState) -> pb.DemandMemory:
    return pb.DemandMemory(
        mix_at_seconds=state.mix.at_seconds,
        mix_requests=state.mix.requests,
        mix_prompt_tokens=state.mix.prompt_tokens,
        mix_generated_tokens=state.mix.generated_tokens,
        waiting=state.waiting,
        waiting_at_seconds=state.waiting_at_seconds,
    )


def _demand_state(message: pb.DemandMemory) -> DemandState:
    mix = Mix(
        at_seconds=message.mix_at_seconds,
        requests=message.mix_requests,
        prompt_tokens=message.mix_prompt_tokens,
        generated_tokens=message.mix_generated_tokens,
    )
    return DemandState(
        mix=mix,
        waiting=optional(message, "waiting"),
        waiting_at_seconds=message.waiting_at_seconds,
    )
