"""When hours of a policy are: days, midnights, time zones, clocks put back and forward."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from policies.policy.schedule import Hours
from policies.policy.windows import WEEK, WeeklyWindow
from tests.policies.capacity_policies import seconds_at

BERLIN = "Europe/Berlin"
# In 2026 Berlin's clocks skip 02:00-03:00 on Sunday 29 March, and show it twice on 25 October.


def hours(**keys: object) -> Hours:
    return Hours.model_validate(keys)


def end(given: Hours, local: str, *, fold: int = 0, zone: str = BERLIN) -> str | None:
    """When the hours end in which this moment is, in UTC; None = it is outside."""
    found = given.end_of_span_at(seconds_at(local, zone, fold=fold), BERLIN)
    return None if found is None else f"{datetime.fromtimestamp(found, UTC):%d %H:%M}"


WORKING = hours(**{"days": ["mon", "fri"], "from": "08:00", "to": "20:00"})
NIGHT = hours(**{"days": ["fri"], "from": "22:00", "to": "06:00"})


@pytest.mark.parametrize(
    ("given", "local", "ends"),
    [
        pytest.param(WORKING, "2026-11-27T07:59", None, id="before"),
        pytest.param(WORKING, "2026-11-27T08:00", "27 19:00", id="first-minute"),
        pytest.param(WORKING, "2026-11-27T19:59", "27 19:00", id="last-minute"),
        pytest.param(WORKING, "2026-11-27T20:00", None, id="after"),
        pytest.param(WORKING, "2026-11-28T12:00", None, id="another-day"),
        pytest.param(NIGHT, "2026-11-27T23:00", "28 05:00", id="evening-of-the-night"),
        pytest.param(NIGHT, "2026-11-28T05:00", "28 05:00", id="its-morning-is-the-next-day"),
        pytest.param(NIGHT, "2026-11-27T05:00", None, id="not-the-morning-before"),
        pytest.param(
            hours(days=["sat"]), "2026-11-28T23:59", "28 23:00", id="a-day-without-hours-is-whole"
        ),
        pytest.param(
            hours(**{"from": "00:00", "to": "24:00"}),
            "2026-11-28T12:00",
            "28 23:00",
            id="24-00-is-the-end-of-the-day",
        ),
        pytest.param(
            hours(**{"from": "08:00", "to": "20:00", "timeZone": "America/New_York"}),
            "2026-11-27T14:30",
            "28 01:00",
            id="a-time-zone-of-its-own",
        ),
    ],
)
def test_hours_are_local_and_belong_to_the_day_they_begin(
    given: Hours, local: str, ends: str | None
) -> None:
    assert end(given, local) == ends


def test_hours_without_times_are_always() -> None:
    assert hours().end_of_span_at(0.0, BERLIN) == float("inf")


@pytest.mark.parametrize(
    ("local", "ends"),
    [
        pytest.param("2026-03-28T08:30", "28 19:00", id="winter-07:00-utc"),
        pytest.param("2026-03-29T08:30", "29 18:00", id="summer-06:00-utc"),
        pytest.param("2026-10-25T08:30", "25 19:00", id="winter-again"),
    ],
)
def test_the_same_local_hours_move_in_utc_when_clocks_change(local: str, ends: str) -> None:
    assert end(hours(**{"from": "08:00", "to": "20:00"}), local) == ends


NARROW = hours(**{"from": "02:30", "to": "04:00"})


@pytest.mark.parametrize(
    ("utc", "ends"),
    [
        pytest.param("2026-03-29T00:59", None, id="before-the-skip"),
        pytest.param("2026-03-29T01:00", "29 02:00", id="the-skip-is-the-edge"),
        pytest.param("2026-10-25T00:29", None, id="before-the-first-02:30"),
        pytest.param("2026-10-25T00:30", "25 03:00", id="from-the-first-02:30-on"),
        pytest.param("2026-10-25T01:10", "25 03:00", id="the-hour-that-is-there-twice"),
    ],
)
def test_an_edge_that_clocks_skip_or_repeat_opens_no_gap(utc: str, ends: str | None) -> None:
    assert end(NARROW, utc, zone="UTC") == ends


def test_hours_that_end_in_the_repeated_hour_end_the_second_time() -> None:
    early = hours(**{"from": "01:00", "to": "02:30"})

    assert end(early, "2026-10-25T00:45", zone="UTC") == "25 01:30"


MINUTES = st.integers(0, 47).map(lambda half: 30 * half)


@given(
    st.sampled_from([BERLIN, "UTC", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]),
    MINUTES,
    MINUTES,
    st.sets(st.sampled_from(WEEK), min_size=1),
    st.integers(0, 366 * 24 * 60 - 1),
)
def test_hours_are_what_a_clock_on_the_wall_shows(
    zone: str, begin: int, to: int, days: set[str], minute: int
) -> None:
    assume(begin != to)
    window = WeeklyWindow(days=frozenset(days), from_minute=begin, to_minute=to, time_zone=zone)
    now_seconds = seconds_at("2026-01-01T00:00") + 60 * minute
    wall = datetime.fromtimestamp(now_seconds, ZoneInfo(zone))
    shown, today = 60 * wall.hour + wall.minute, WEEK[wall.weekday()]
    yesterday = WEEK[wall.weekday() - 1]
    if begin < to:
        expected = today in days and begin <= shown < to
    else:
        expected = (today in days and shown >= begin) or (yesterday in days and shown < to)

    inside = window.end_of_span_at(now_seconds) is not None
    day_seconds = {wall.replace(hour=at, minute=0).utcoffset() for at in (0, 12)}
    if inside != expected:
        # Only where a clock is put back: the span between the two readings of an edge.
        assert inside
        assert len(day_seconds) == 2


CRON = hours(cron="0 8 * * mon-fri", lasts="12h")


@pytest.mark.parametrize(
    ("local", "ends"),
    [
        pytest.param("2026-11-27T08:00", "27 19:00", id="from-the-moment-itself"),
        pytest.param("2026-11-27T19:59", "27 19:00", id="until-its-length-is-over"),
        pytest.param("2026-11-27T20:00", None, id="and-no-longer"),
        pytest.param("2026-11-28T10:00", None, id="not-on-saturday"),
        pytest.param("2026-03-30T08:00", "30 18:00", id="local-in-summer-too"),
    ],
)
def test_a_cron_expression_begins_hours_of_real_length(local: str, ends: str | None) -> None:
    assert end(CRON, local) == ends
