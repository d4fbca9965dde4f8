"""Unpacks the bodies of answers. It blocks, and so has no place in an event loop."""

import zlib
from collections.abc import Iterable, Iterator
from typing import Final

ENCODING: Final = "gzip"
"""What is asked for, and read."""
PART_BYTES: Final = 2**16
"""Unpacked at once: whoever counts the parts can stop a small body that unpacks to a huge one."""
WBITS: Final = 16 + zlib.MAX_WBITS
"""By which zlib knows gzip."""


def in_parts(packed: bytes, count: int = PART_BYTES) -> Iterator[bytes]:
    """The body in parts of so many bytes, as `unpacked` takes it."""
    return (packed[at : at + count] for at in range(0, len(packed), count))


def unpacked(packed: Iterable[bytes]) -> Iterator[bytes]:
    """The parts of the body that these parts are, none of them empty.

    Raises:
        ValueError: it is damaged, or cut off.
    """
    unpacker = None
    for given in packed:
        rest, more = given, True
        while rest or more:
            if unpacker is None or unpacker.eof:
                unpacker = zlib.decompressobj(WBITS)  # a body may be of several members
            try:
                part = unpacker.decompress(rest, PART_BYTES)
            except zlib.error as error:
                raise ValueError("damaged") from error
            rest = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
            more = len(part) == PART_BYTES and not unpacker.eof
            if part:
                yield part
    if unpacker is not None and not unpacker.eof:
        raise ValueError("cut off")
