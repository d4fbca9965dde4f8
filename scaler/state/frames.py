"""Many states in one file: each with its name, its time and a checksum.

A file is read up to the first frame that is not whole: an append that a crash cut off, or a disk's
fault, loses the frames after it and none before.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from scaler.state.records import RefusalReason, StateRefusedError

MAGIC: Final = b"foresail state 1\n"
_HEADER: Final = struct.Struct("<IdHI")
"""Checksum of all that follows it, time, length of the name, length of the payload."""
NAME_BYTES_MAX: Final = 0xFFFF
FILE_BYTES_MAX: Final = 2**28
"""A larger file is not Foresail's: 5,000 feeds are 10 MiB a slice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One state as it stands in a file."""

    name: str
    at_seconds: float
    payload: bytes

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return _HEADER.size + len(self.name.encode()) + len(self.payload)


def frame_bytes(frame: Frame) -> bytes:
    name = frame.name.encode()
    if len(name) > NAME_BYTES_MAX:
        message = f"a state's name has {len(name)} bytes, over {NAME_BYTES_MAX}"
        raise StateRefusedError(RefusalReason.LARGE, message)
    header = _HEADER.pack(0, frame.at_seconds, len(name), len(frame.payload))
    body = header[4:] + name + frame.payload
    return zlib.crc32(body).to_bytes(4, "little") + body


def frames_in(content: bytes, *, payload_bytes_max: int) -> Iterator[Frame]:
    """The frames of a file.

    Raises:
        StateRefusedError: at the first one that is not whole; those before it were yielded.
    """
    _refuse_file(content)
    at = len(MAGIC)
    while at < len(content):
        if len(content) - at < _HEADER.size:
            raise _broken(at, "cut off")
        checksum, at_seconds, name_length, length = _HEADER.unpack_from(content, at)
        if length > payload_bytes_max:
            # A damaged length ends here too.
            raise _broken(at, f"{length} bytes long, over {payload_bytes_max}")
        end = at + _HEADER.size + name_length + length
        if end > len(content):
            raise _broken(at, "cut off")
        if zlib.crc32(memoryview(content)[at + 4 : end]) != checksum:
            raise _broken(at, "damaged: its checksum does not fit")
        payload_at = at + _HEADER.size + name_length
        try:
            name = content[at + _HEADER.size : payload_at].decode()
        except UnicodeDecodeError as error:
            raise _broken(at, "without a readable name") from error
        yield Frame(name=name, at_seconds=at_seconds, payload=content[payload_at:end])
        at = end


def _refuse_file(content: bytes) -> None:
    if len(content) > FILE_BYTES_MAX:
        raise StateRefusedError(RefusalReason.LARGE, f"it has over {FILE_BYTES_MAX} bytes")
    if not content.startswith(MAGIC):
        newer = content.startswith(MAGIC[:-2])
        reason = RefusalReason.NEWER if newer else RefusalReason.CORRUPTED
        raise StateRefusedError(reason, f"it begins with {content[: len(MAGIC)]!r}")


def _broken(at: int, what: str) -> StateRefusedError:
    return StateRefusedError(RefusalReason.CORRUPTED, f"the state at byte {at} is {what}")
