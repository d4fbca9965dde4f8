"""The demo as a source of the console, before it has anything to show."""

from foresail.console.demo_source import DemoSource
from foresail.demo.day import NAME, NAMESPACE, playback


def test_the_pages_say_that_history_is_read_before_the_day_begins() -> None:
    source = DemoSource(playback(seed=7, wall_seconds=1.0))

    fleet = source.fleet()

    assert (fleet.workloads, fleet.plans_missing) == ((), "three days of history are read first")
    assert source.keys_of(NAMESPACE, NAME) == ()
