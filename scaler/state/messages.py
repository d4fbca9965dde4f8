"""The common parts of states' messages: limits, format, unknown fields."""

from collections.abc import Mapping, MutableMapping
from typing import Final

from google.protobuf.message import DecodeError, Message

from scaler.rpc.foresail.v1 import state_pb2 as pb
from scaler.state.records import Learned, RefusalReason, StateRefusedError

FORMAT: Final = 1


def refuse_large(what: str, payload: bytes, limit: int) -> None:
    if len(payload) > limit:
        message = f"state of a {what} in {len(payload)} bytes, over {limit}"
        raise StateRefusedError(RefusalReason.LARGE, message)


def parse(what: str, message: Message, payload: bytes) -> None:
    try:
        message.ParseFromString(payload)
    except DecodeError as error:
        text = f"{len(payload)} bytes are no state of a {what}"
        raise StateRefusedError(RefusalReason.CORRUPTED, text) from error


def refuse_format(what: str, found: int) -> None:
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


def write_learned(into: MutableMapping[str, pb.Learned], learned: Mapping[str, Learned]) -> None:
    for name, figure in learned.items():
        into[name].version = figure.version
        into[name].value = figure.value


def learned(message: Mapping[str, pb.Learned]) -> dict[str, Learned]:
    return {
        name: Learned(version=figure.version, value=figure.value)
        for name, figure in message.items()
    }


def optional(message: Message, name: str) -> float | None:
    return getattr(message, name) if message.HasField(name) else None
