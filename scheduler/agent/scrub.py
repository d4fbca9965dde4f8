"""A recording without what identifies the machine: UUIDs are replaced, the boot id is removed.

A recording has no serial numbers and no host names. PCI addresses stay: the links refer to them,
and every machine of the same type has the same ones.
"""

import re
from collections.abc import Mapping

Json = object

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_NONE = "00000000-0000-0000-0000-000000000000"


def scrubbed(recording: Json) -> Json:
    """The recording with made-up UUIDs; equal ones stay equal, and all zeros stay zeros."""
    if isinstance(recording, Mapping):
        recording = {key: value for key, value in recording.items() if key != "bootId"}
    return _Scrub().value(recording)


class _Scrub:
    def __init__(self) -> None:
        self._given: dict[str, str] = {_NONE: _NONE}

    def value(self, value: Json) -> Json:
        if isinstance(value, str):
            return _UUID.sub(self._invented, value)
        if isinstance(value, Mapping):
            return {key: self.value(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.value(inner) for inner in value]
        return value

    def _invented(self, found: re.Match[str]) -> str:
        return self._given.setdefault(found[0].lower(), f"{len(self._given):08d}{_NONE[8:]}")
