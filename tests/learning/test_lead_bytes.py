"""What is remembered of orders and starts, as bytes: the same numbers, and no doubtful ones."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaler.learning.lead import STARTS_MAX, Awaited, LeadRecord, Start
from scaler.learning.lead_bytes import VERSION, decode, encode
from scaler.trigger import REPLICAS_MAX

NOW = 1_790_000_000.0
times = st.floats(0, NOW)
counts = st.integers(0, REPLICAS_MAX)
RECORD = LeadRecord(
    handed=7,
    ready=5,
    looked_at_seconds=NOW - 15,
    awaited=(Awaited(at_seconds=NOW - 120, replicas=2),),
    starts=(Start(at_seconds=NOW - 900, seconds=315.25, arrived=True),),
)


@given(
    st.builds(
        LeadRecord,
        handed=st.none() | counts,
        ready=st.none() | counts,
        looked_at_seconds=times,
        arrived_at_seconds=st.none() | times,
        cancelled_at_seconds=st.none() | times,
        awaited=st.lists(
            st.builds(Awaited, at_seconds=times, replicas=counts, timed=st.booleans()), max_size=4
        ).map(tuple),
        starts=st.lists(
            st.builds(Start, at_seconds=times, seconds=st.floats(0, 86400), arrived=st.booleans()),
            max_size=4,
        ).map(tuple),
    )
)
def test_a_record_is_the_same_after_writing_and_reading(record: LeadRecord) -> None:
    assert decode(VERSION, encode(record), NOW) == record


def test_a_full_record_stays_below_two_kilobytes() -> None:
    assert len(encode(replace(RECORD, starts=RECORD.starts * STARTS_MAX))) < 2000


@pytest.mark.parametrize(
    ("version", "payload", "why"),
    [
        pytest.param(VERSION + 1, encode(RECORD), "version 2", id="newer"),
        pytest.param(VERSION, b"", "less than its head", id="empty"),
        pytest.param(VERSION, encode(RECORD)[:-1], "1 orders and 1 starts", id="cut"),
        pytest.param(
            VERSION, encode(replace(RECORD, handed=REPLICAS_MAX + 1)), "replicas", id="replicas"
        ),
        pytest.param(
            VERSION,
            encode(replace(RECORD, looked_at_seconds=NOW + 3600)),
            "3600 s from now",
            id="of-a-wrong-clock",
        ),
        pytest.param(
            VERSION,
            encode(replace(RECORD, looked_at_seconds=float("nan"))),
            "nan s from now",
            id="no-time",
        ),
        pytest.param(
            VERSION,
            encode(replace(RECORD, starts=(replace(RECORD.starts[0], seconds=-1.0),))),
            "a start of -1 s",
            id="negative-start",
        ),
        pytest.param(
            VERSION,
            encode(replace(RECORD, starts=(replace(RECORD.starts[0], seconds=1e300),))),
            r"a start of 1e\+300 s",
            id="absurd-start",
        ),
        pytest.param(
            VERSION,
            encode(replace(RECORD, starts=RECORD.starts * (STARTS_MAX + 1))),
            "65 starts, over 64",
            id="too-many",
        ),
    ],
)
def test_a_doubtful_record_is_refused_with_its_fault(
    version: int, payload: bytes, why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        decode(version, payload, NOW)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_record_or_refused(payload: bytes) -> None:
    try:
        record = decode(VERSION, payload, NOW)
    except ValueError:
        return
    assert len(encode(record)) == len(payload)
