"""Announced events are read as people write them, and are voices that must prove themselves."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from scaler.events import Event, parse, starts_of_day
from scaler.forecast.announced import Calendar
from scaler.forecast.forecaster import Forecaster

BERLIN = ZoneInfo("Europe/Berlin")
STEP = 60.0


def unix(*moment: int) -> float:
    return datetime(*moment, tzinfo=BERLIN).timestamp()


def test_events_are_read_as_written():
    assert parse("0 9 * * mon-fri for 30m x2.5; 2027-03-01T18:00 for 2h x4") == (
        Event(when="0 9 * * mon-fri", length_seconds=1800.0, factor=2.5),
        Event(when="2027-03-01T18:00", length_seconds=7200.0, factor=4.0),
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param("tomorrow x2", "not of the form", id="no-length"),
        pytest.param("0 9 * * for 30m x2", "five cron fields", id="four-fields"),
        pytest.param("61 9 * * * for 30m x2", "five cron fields", id="no-such-minute"),
        pytest.param("2027-13-01T00:00 for 1h x2", "local time", id="no-such-month"),
        pytest.param("2027-03-01T18:00Z for 1h x2", "local time", id="a-zone-of-its-own"),
        pytest.param("0 9 * * * in Mars/Base for 1h x2", "no time zone", id="no-such-zone"),
        pytest.param("0 9 * * * for 30h x2", "up to 24h", id="too-long"),
        pytest.param("0 9 * * * for 1h x0", "factor", id="nothing-times"),
        pytest.param("; ".join(["0 9 * * * for 1h x2"] * 51), "more than 50", id="too-many"),
    ],
)
def test_an_event_that_cannot_be_read_is_named(text, why):
    with pytest.raises(ValueError, match=why):
        parse(text)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        # Monday, half an hour of three times the usual from nine.
        pytest.param((2027, 3, 1, 8, 50), [100.0, 300.0, 300.0], id="ten-minutes-before"),
        pytest.param((2027, 3, 1, 9, 10), [100.0, 100.0, 100 / 3], id="while-it-lasts"),
        pytest.param((2027, 3, 1, 9, 30), None, id="over"),
        pytest.param((2027, 2, 28, 8, 50), None, id="sunday"),
    ],
)
def test_demand_is_foretold_by_the_ratio_of_the_factors_then_and_now(now, expected):
    calendar = Calendar(parse("0 9 * * mon-fri for 30m x3"), "Europe/Berlin")
    predicted = calendar.exogenous_forecast(100.0, unix(*now), (300.0, 600.0, 1200.0))
    assert predicted is None if expected is None else predicted == pytest.approx(expected)


@pytest.mark.parametrize("day", [(2027, 3, 28), (2027, 10, 31)], ids=["forward", "back"])
def test_nine_is_nine_on_the_days_when_the_clock_changes(day):
    calendar = Calendar(parse("0 9 * * * for 30m x2"), "Europe/Berlin")
    predicted = calendar.exogenous_forecast(1.0, unix(*day, 8, 59), (30.0, 60.0))
    assert predicted == pytest.approx([1.0, 2.0])


def starts(when: str, zone: str, *day: int) -> list[str]:
    """Local times at which an event begins on a local day."""
    (event,) = parse(f"{when} in {zone} for 30m x2")
    begin = int(datetime(*day, tzinfo=UTC).timestamp() // 86_400)
    moments = [
        datetime.fromtimestamp(at, ZoneInfo(zone))
        for utc_day in (begin - 1, begin, begin + 1)
        for at in starts_of_day(event, "America/New_York", utc_day)
    ]
    return [f"{at:%H:%M%z}" for at in moments if (at.year, at.month, at.day) == day]


@pytest.mark.parametrize(
    ("when", "zone", "day", "begins"),
    [
        pytest.param("30 2 * * *", "Europe/Berlin", (2027, 3, 28), [], id="left-out"),
        pytest.param("30 2 * * *", "Europe/Berlin", (2027, 10, 31), ["02:30+0200", "02:30+0100"],
                     id="twice"),
        pytest.param("0 */6 * * *", "Europe/Berlin", (2027, 3, 28),
                     ["00:00+0100", "06:00+0200", "12:00+0200", "18:00+0200"], id="each-six-hours"),
        pytest.param("0 0 * * *", "Africa/Cairo", (2027, 4, 30), [], id="a-day-that-begins-at-one"),
        pytest.param("0 */6 * * *", "Australia/Lord_Howe", (2027, 4, 4),
                     ["00:00+1100", "06:00+1030", "12:00+1030", "18:00+1030"], id="half-an-hour"),
    ],
)  # fmt: skip
def test_a_cron_event_begins_when_kubernetes_starts_a_cron_job(when, zone, day, begins):
    assert starts(when, zone, *day) == begins


def test_an_event_that_spans_midnight_is_seen_on_both_sides():
    calendar = Calendar(parse("2027-03-01T23:30 for 2h x2"), "UTC")
    midnight = datetime(2027, 3, 2, tzinfo=ZoneInfo("UTC")).timestamp()
    assert calendar.exogenous_forecast(2.0, midnight, (60.0, 7200.0)) == pytest.approx([2.0, 1.0])


def test_an_announcement_is_believed_by_a_part_at_first_and_by_more_once_it_came_true():
    def median_before(occurrence: int, announced: str) -> float:
        """Said five minutes before a rise to three times the usual."""
        target = Forecaster(
            signal="requests",
            step_seconds=STEP,
            horizons_seconds=(300.0, 600.0),
            start=0.0,
            calendar=Calendar(parse(announced), "UTC"),
        )
        noise = np.random.default_rng(7)
        for step in range(occurrence * 397 + 393):
            # Every 397 minutes: no profile of the hour or the day can know it.
            usual = 300.0 if step % 397 < 20 and step >= 397 else 100.0
            target.update(step * STEP, usual + noise.normal())
        return target.forecast().at(horizon_seconds=300.0, level=0.5)

    moments = [datetime.fromtimestamp(n * 397 * 60, ZoneInfo("UTC")) for n in range(1, 3)]
    right = "; ".join(f"{m:%Y-%m-%dT%H:%M} for 20m x3" for m in moments)
    first, second = median_before(0, right), median_before(1, right)
    assert 105 < first < 200
    assert second > 250
