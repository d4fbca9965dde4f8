"""The workloads' states that the answering process holds, as bytes.

They come from the planning process at every look, and at the start from peers and from the disk.
They go to a planning process that is started anew, and to a joining peer.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator

import structlog

from scaler.decision.answers import Reference
from scaler.rpc.foresail.v1 import state_pb2 as pb
from scaler.serving.board import SILENT_SECONDS
from scaler.state.records import StateRefusedError, WorkloadState
from scaler.state.workload_bytes import decode_workload

log = structlog.get_logger()

_SLICE = 10
"""States between two pauses."""


class HeldStates:
    """The last state of each workload."""

    def __init__(self) -> None:
        self._payloads: dict[Reference, bytes] = {}

    def keep(self, reference: Reference, payload: bytes) -> None:
        self._payloads[reference] = payload

    async def keep_known(self, known: Callable[[Reference], bool]) -> None:
        """Drop the states of objects that are not known, pausing for KEDA's questions."""
        for number, reference in enumerate(tuple(self._payloads), 1):
            if number % _SLICE == 0:
                await asyncio.sleep(0)
            if not known(reference):
                self._payloads.pop(reference, None)

    def of(self, references: Iterable[Reference]) -> tuple[bytes, ...]:
        """The states of these workloads, where there are any."""
        held = self._payloads
        return tuple(held[reference] for reference in references if reference in held)

    async def adopt(self, payloads: Iterable[bytes], *, now_seconds: float) -> list[WorkloadState]:
        """Hold the states of workloads that are not held here yet; returns all that may be used.

        Of several states of one workload the one with the latest reading counts. 2,000 states take
        half a second to read, so KEDA's questions are let in between.
        """
        found: dict[Reference, tuple[WorkloadState, bytes]] = {}
        for number, (state, payload) in enumerate(_usable(payloads, now_seconds), 1):
            if number % _SLICE == 0:
                await asyncio.sleep(0)
            before = found.get(state.reference)
            if before is None or before[0].made_at_seconds <= state.made_at_seconds:
                found[state.reference] = state, payload
        for reference, (_, payload) in found.items():
            self._payloads.setdefault(reference, payload)
        return [state for state, _ in found.values()]

    def asked_since(
        self, since_seconds: float, asked_at: Callable[[Reference], float | None]
    ) -> Iterator[pb.WorkloadState]:
        """The states of workloads that KEDA asked about since then, as messages for a peer.

        Args:
            asked_at: when KEDA last asked about a workload; None where it is not known any more.
        """
        for reference in tuple(self._payloads):
            payload, asked = self._payloads.get(reference), asked_at(reference)
            if payload is None or asked is None or asked < since_seconds:
                continue
            message = pb.WorkloadState.FromString(payload)
            message.asked_at_seconds = asked
            yield message


def _usable(payloads: Iterable[bytes], now_seconds: float) -> Iterator[tuple[WorkloadState, bytes]]:
    """States that may be used; one log line counts the refused ones by reason."""
    refused: dict[str, int] = {}
    example = ""
    for payload in payloads:
        try:
            state = decode_workload(payload)
            state.check(now_seconds)
        except StateRefusedError as error:
            refused[error.reason.value] = refused.get(error.reason.value, 0) + 1
            example = str(error)
            continue
        if now_seconds - state.asked_at_seconds <= SILENT_SECONDS:
            yield state, payload
    if refused:
        log.warning("states_refused", reasons=refused, example=example)
