"""Shadows go to a state and come back; a doubtful record is refused."""

import struct

import numpy as np
import pytest

from scaler.learning.shadows.record import Shadows, after_look
from scaler.learning.shadows.record_bytes import VERSION, decode, encode
from tests.learning.shadows.days import MONDAY, look
from tests.scaler.fakes import PARAMETERS

DAYS = 9
NOW = MONDAY + DAYS * 86_400


def learned() -> Shadows:
    seen: Shadows | None = None
    for minute in range(DAYS * 288):
        work = 10 + 5 * np.sin(minute / 288 * 6.28)
        at = MONDAY + 300 * minute
        seen = after_look(seen, look(at, work, ready=12.0, late=0.001), None, PARAMETERS)
    assert seen is not None
    return seen


SEEN = learned()


def test_a_record_of_eight_days_takes_less_than_four_kib() -> None:
    assert len(SEEN.books.days) == 8
    assert len(encode(SEEN)) <= 4096


def test_what_comes_back_goes_on_with_the_same_numbers() -> None:
    back = decode(VERSION, encode(SEEN), now_seconds=NOW)
    assert encode(back) == encode(SEEN)

    # The open minute is lost; from the next one on both are alike.
    one, other = SEEN, back
    for minute in range(3):
        seen = look(NOW + 60 * minute, 12.0)
        one = after_look(one, seen, None, PARAMETERS)
        other = after_look(other, seen, None, PARAMETERS)
    np.testing.assert_array_equal(one.fleets.wanted, other.fleets.wanted)
    assert one.choice.place == other.choice.place


def broken(at: int, form: str, value: float) -> bytes:
    payload = bytearray(encode(SEEN))
    struct.pack_into(form, payload, at, value)
    return bytes(payload)


@pytest.mark.parametrize(
    ("version", "payload", "why"),
    [
        pytest.param(VERSION + 1, encode(SEEN), f"of version {VERSION + 1}", id="newer"),
        pytest.param(VERSION, b"", "in 0 bytes", id="empty"),
        pytest.param(VERSION, encode(SEEN)[:-5], "expected", id="cut"),
        pytest.param(VERSION, encode(SEEN) + b"x", "expected", id="too-long"),
        pytest.param(VERSION, broken(0, "<q", int(NOW) // 60 + 60), "the future", id="future"),
        pytest.param(VERSION, broken(8, "<I", 0), "slots of 0", id="no-slots"),
        pytest.param(VERSION, broken(12, "<d", -1.0), "queued", id="queue"),
        pytest.param(VERSION, broken(20, "<d", 99.0), "correction of 99", id="correction"),
        pytest.param(VERSION, broken(20, "<d", -200.0), "correction of -200", id="credit"),
        pytest.param(VERSION, broken(28, "<B", 200), "setting 200", id="place"),
        pytest.param(VERSION, broken(29, "<B", 77), "77", id="verdict"),
        pytest.param(
            VERSION, broken(len(encode(SEEN)) - 4, "<f", -3.0), "no amount", id="negative-sum"
        ),
    ],
)
def test_a_doubtful_record_is_refused(version: int, payload: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        decode(version, payload, now_seconds=NOW)
