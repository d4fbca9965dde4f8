"""The common parts of states' messages: limits, format, unknown fields."""

from collections.abc import Mapping
from typing import Final, TypeVar

from google.protobuf.message import DecodeError, Message

from scaler.rpc.foresail.v1 import state_pb2 as pb
from scaler.state.records import Learned, RefusalReason, StateRefusedError

FORMAT: Final = 1


Kind = TypeVar("Kind", pb.WorkloadState, pb.FeedState)


def begun(kind: type[Kind], learned: Mapping[str, Learned], unknown: bytes) -> Kind:
    """A message of this program's format, with what is passed on from the state that was read."""
    message = kind.FromString(unknown)
    message.format = FORMAT
    for name, figure in learned.items():
        message.learned[name].version = figure.version
        message.learned[name].value = figure.value
    return message


def opened(kind: type[Kind], what: str, payload: bytes, *, bytes_max: int) -> Kind:
    """The message in `payload`.

    Raises:
        StateRefusedError: too large, corrupted, or of a newer format.
    """
    _refuse_large(what, payload, bytes_max)
    message = kind()
    _parse(what, message, payload)
    _refuse_format(what, message.format)
    return message


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


def unknown_of(message: Message) -> bytes:
    """The fields of newer programs in a message that was read. Empties the message."""
    for field in message.DESCRIPTOR.fields:
        message.ClearField(field.name)
    return message.SerializeToString(deterministic=True)


def learned(message: Mapping[str, pb.Learned]) -> dict[str, Learned]:
    return {
        name: Learned(version=figure.version, value=figure.value)
        for name, figure in message.items()
    }


def optional(message: Message, name: str) -> float | None:
    return getattr(message, name) if message.HasField(name) else None
