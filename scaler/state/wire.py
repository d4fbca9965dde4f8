"""States as bytes, in the messages of `proto/foresail/v1/state.proto`.

Nothing is executed by reading, and no reading allocates more than it was given. Fields that this
program does not know are kept and written again, so that a state passes through an older program
unharmed.
"""

import math
from collections.abc import Mapping, MutableMapping
from typing import Final

from google.protobuf.message import DecodeError, Message

from scaler.backlog import Order
from scaler.board import METADATA_CHARACTERS_MAX, Answer, Reference
from scaler.demand import Demand, DemandState, Mix
from scaler.need import Step
from scaler.plan import PlanState, ReplicaPlan
from scaler.rpc.foresail.v1 import state_pb2 as pb
from scaler.state.records import (
    FeedState,
    Learned,
    RefusalReason,
    StateRefusedError,
    WorkloadState,
)
from scaler.track import Series, TrackState

FORMAT: Final = 1
WORKLOAD_BYTES_MAX: Final = 4 * METADATA_CHARACTERS_MAX + 65_536
FEED_BYTES_MAX: Final = 3 * 2**20
"""Below gRPC's limit of 4 MiB a message; a feed takes a few hundred KiB at most."""


def encode_workload(state: WorkloadState) -> bytes:
    message = pb.WorkloadState.FromString(state.unknown)
    message.format = FORMAT
    message.reference.CopyFrom(
        pb.Reference(
            namespace=state.reference.namespace,
            name=state.reference.name,
            metadata=dict(state.reference.metadata),
        )
    )
    message.asked_at_seconds = state.asked_at_seconds
    if state.answer is not None:
        message.answer.replicas = state.answer.replicas
        message.answer.active = state.answer.active
        message.answer.made_at_seconds = state.answer.made_at_seconds
    message.memory.CopyFrom(_memory_message(state.memory))
    if state.plan is not None:
        message.plan.CopyFrom(_plan_message(state.plan))
    _write_learned(message.learned, state.learned)
    return message.SerializeToString()


def decode_workload(payload: bytes) -> WorkloadState:
    """The state in `payload`.

    Raises:
        StateRefusedError: too large, corrupted, or of a newer format.
    """
    _refuse_large("workload", payload, WORKLOAD_BYTES_MAX)
    message = pb.WorkloadState()
    _parse("workload", message, payload)
    _refuse_format("workload", message.format)
    named = message.reference
    reference = Reference.of(named.namespace, named.name, dict(named.metadata))
    if not reference.namespace or not reference.name:
        raise StateRefusedError(RefusalReason.CORRUPTED, "state of a workload without a name")
    answer = message.answer if message.HasField("answer") else None
    state = WorkloadState(
        reference=reference,
        asked_at_seconds=message.asked_at_seconds,
        answer=None
        if answer is None
        else Answer(
            replicas=answer.replicas, active=answer.active, made_at_seconds=answer.made_at_seconds
        ),
        memory=_memory(message.memory),
        plan=_plan(message.plan) if message.HasField("plan") else None,
        learned=_learned(message.learned),
        unknown=_unknown_of(message),
    )
    _refuse_absurd(state)
    return state


def encode_feed(state: FeedState) -> bytes:
    track = state.track
    message = pb.FeedState.FromString(state.unknown)
    message.format = FORMAT
    message.key = state.key
    message.taken_at_seconds = state.taken_at_seconds
    message.step_seconds = track.step_seconds
    if track.open_step is not None:
        message.open_step = track.open_step
    message.looks.extend(_demand_message(look) for look in track.looks)
    if track.demand is not None:
        message.demand.CopyFrom(_demand_message(track.demand))
    if track.demand_state is not None:
        message.demand_memory.CopyFrom(_demand_memory_message(track.demand_state))
    message.has_closed = track.has_closed
    for series, snapshot in track.forecasters.items():
        message.forecasters[series] = snapshot
    _write_learned(message.learned, state.learned)
    return message.SerializeToString()


def decode_feed(payload: bytes) -> FeedState:
    """The state in `payload`; its snapshots are checked when they are restored.

    Raises:
        StateRefusedError: too large, corrupted, or of a newer format.
    """
    _refuse_large("feed", payload, FEED_BYTES_MAX)
    message = pb.FeedState()
    _parse("feed", message, payload)
    _refuse_format("feed", message.format)
    if not message.key or not 0 < message.step_seconds < math.inf:
        raise StateRefusedError(RefusalReason.CORRUPTED, "state of a feed without a key or a step")
    known = {series.value: series for series in Series}
    track = TrackState(
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
    )
    return FeedState(
        key=message.key,
        taken_at_seconds=message.taken_at_seconds,
        track=track,
        learned=_learned(message.learned),
        unknown=_unknown_of(message),
    )


def _refuse_large(what: str, payload: bytes, limit: int) -> None:
    if len(payload) > limit:
        message = f"state of a {what} in {len(payload)} bytes, over {limit}"
        raise StateRefusedError(RefusalReason.LARGE, message)


def _parse(what: str, message: Message, payload: bytes) -> None:
    try:
        message.ParseFromString(payload)
    except DecodeError as error:
        text = f"{len(payload)} bytes are no state of a {what}"
        raise StateRefusedError(RefusalReason.CORRUPTED, text) from error


def _refuse_format(what: str, found: int) -> None:
    if found > FORMAT:
        message = f"state of a {what} in format {found}; this program reads up to {FORMAT}"
        raise StateRefusedError(RefusalReason.NEWER, message)
    if found == 0:
        raise StateRefusedError(RefusalReason.CORRUPTED, f"state of a {what} without a format")


def _refuse_absurd(state: WorkloadState) -> None:
    """Numbers that no plan ever made must not reach KEDA, whoever wrote them."""
    counts = [state.answer.replicas] if state.answer is not None else []
    counts += [replicas for _, replicas in state.memory.needs]
    counts += [order.replicas for order in state.memory.orders]
    counts += [n for n in (state.memory.handed, state.memory.planned) if n is not None]
    if any(count < 0 for count in counts):
        message = f"state of {state.reference} has {min(counts)} replicas"
        raise StateRefusedError(RefusalReason.CORRUPTED, message)


def _unknown_of(message: Message) -> bytes:
    """What is left of a message that was read: fields of newer programs. It is emptied."""
    for field in message.DESCRIPTOR.fields:
        message.ClearField(field.name)
    return message.SerializeToString()


def _memory_message(memory: PlanState) -> pb.Memory:
    return pb.Memory(
        needs=[pb.Amount(at_seconds=at, replicas=replicas) for at, replicas in memory.needs],
        orders=[
            pb.Amount(at_seconds=order.at_seconds, replicas=order.replicas)
            for order in memory.orders
        ],
        handed=memory.handed,
        planned=memory.planned,
    )


def _memory(message: pb.Memory) -> PlanState:
    return PlanState(
        needs=tuple((need.at_seconds, need.replicas) for need in message.needs),
        orders=tuple(
            Order(at_seconds=order.at_seconds, replicas=order.replicas) for order in message.orders
        ),
        handed=message.handed if message.HasField("handed") else None,
        planned=message.planned if message.HasField("planned") else None,
    )


def _plan_message(plan: ReplicaPlan) -> pb.Plan:
    return pb.Plan(
        at_seconds=plan.at_seconds,
        desired=plan.desired,
        planned=plan.planned,
        reactive=plan.reactive,
        active=plan.active,
        blind=plan.blind,
        steps=[
            pb.Step(
                rule=step.rule,
                text=step.text,
                replicas=step.replicas,
                unmeasured=not step.measured,
            )
            for step in plan.steps
        ],
    )


def _plan(message: pb.Plan) -> ReplicaPlan:
    return ReplicaPlan(
        at_seconds=message.at_seconds,
        desired=message.desired if message.HasField("desired") else None,
        planned=message.planned,
        reactive=message.reactive,
        active=message.active,
        blind=message.blind,
        steps=tuple(
            Step(
                rule=step.rule,
                text=step.text,
                replicas=step.replicas,
                measured=not step.unmeasured,
            )
            for step in message.steps
        ),
    )


def _write_learned(into: MutableMapping[str, pb.Learned], learned: Mapping[str, Learned]) -> None:
    for name, figure in learned.items():
        into[name].version = figure.version
        into[name].value = figure.value


def _learned(message: Mapping[str, pb.Learned]) -> dict[str, Learned]:
    return {
        name: Learned(version=figure.version, value=figure.value)
        for name, figure in message.items()
    }


_AMOUNTS: Final = ("prompt_tokens", "generated_tokens", "requests", "in_flight")


def _demand_message(demand: Demand) -> pb.Demand:
    return pb.Demand(
        at_seconds=demand.at_seconds,
        prompt_tokens=demand.prompt_tokens,
        generated_tokens=demand.generated_tokens,
        requests=demand.requests,
        in_flight=demand.in_flight,
    )


def _demand(message: pb.Demand) -> Demand:
    amounts = {name: _optional(message, name) for name in _AMOUNTS}
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
        waiting=_optional(message, "waiting"),
        waiting_at_seconds=message.waiting_at_seconds,
    )


def _optional(message: Message, name: str) -> float | None:
    return getattr(message, name) if message.HasField(name) else None
