"""A workload's state as bytes, in the message of `proto/foresail/v1/state.proto`.

Reading executes nothing and allocates no more than the size of the payload. Fields that this
program does not know are kept and written again, so that a state passes through an older program
unharmed.
"""

from typing import Final

from scaler.decision.answers import Answer, Reference
from scaler.decision.backlog import Order
from scaler.decision.need import Step
from scaler.decision.plan import PlanState, ReplicaPlan
from scaler.rpc.foresail.v1 import state_pb2 as pb
from scaler.state.messages import begun, learned, opened, unknown_of
from scaler.state.records import RefusalReason, StateRefusedError, WorkloadState
from scaler.trigger import METADATA_CHARACTERS_MAX, REPLICAS_MAX

WORKLOAD_BYTES_MAX: Final = 4 * METADATA_CHARACTERS_MAX + 65_536


def encode_workload(state: WorkloadState) -> bytes:
    message = begun(pb.WorkloadState, state.learned, state.unknown)
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
    return message.SerializeToString(deterministic=True)


def decode_workload(payload: bytes) -> WorkloadState:
    """The state in `payload`.

    Raises:
        StateRefusedError: too large, corrupted, or of a newer format.
    """
    message = opened(pb.WorkloadState, "workload", payload, bytes_max=WORKLOAD_BYTES_MAX)
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
        learned=learned(message.learned),
        unknown=unknown_of(message),
    )
    _refuse_absurd(state)
    return state


def _refuse_absurd(state: WorkloadState) -> None:
    """Refuse numbers that no plan makes, so that they never reach KEDA."""
    counts = [state.answer.replicas] if state.answer is not None else []
    counts += [replicas for _, replicas in state.memory.needs]
    counts += [order.replicas for order in state.memory.orders]
    counts += [n for n in (state.memory.handed, state.memory.planned) if n is not None]
    absurd = [count for count in counts if not 0 <= count <= REPLICAS_MAX]
    if absurd:
        message = f"state of {state.reference} has {absurd[0]} replicas"
        raise StateRefusedError(RefusalReason.CORRUPTED, message)


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
        partly_measured=plan.partly_measured,
        steps=[
            pb.Step(
                rule=step.rule,
                text=step.text,
                replicas=step.replicas,
                unmeasured=not step.measured,
                figure=step.figure,
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
        partly_measured=message.partly_measured,
        steps=tuple(
            Step(
                rule=step.rule,
                text=step.text,
                replicas=step.replicas,
                measured=not step.unmeasured,
                figure=step.figure,
            )
            for step in message.steps
        ),
    )
