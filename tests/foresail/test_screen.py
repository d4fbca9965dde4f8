"""The live screen of the demo, as a terminal shows it."""

import math
from io import StringIO

import pytest
from rich.console import Console

from foresail.demo.day import Frame, playback
from foresail.demo.screen import Column, Screen
from replay.world import View

WHY = (
    "present: 4.07 replicas for 3,073 prompt + 500 generated tokens/s (metadata, sum of two)",
    "queue: nothing waits",
    "forecast: q0.95 in 5m39s: 3,658 prompt + 500 generated tokens/s, skill +21%",
    "hold: 6 were needed within the last 5m39s",
    "bounds: 2 to 24",
)


def frame(at: int, *, demand: float) -> Frame:
    view = View(
        at_seconds=float(at), ready=14, starting=3, draining=2, waiting=120, running=640,
        demand_requests_per_second=48.5, demand_prompt_tokens_per_second=demand,
        ttft_p95_seconds=1.25, timed_out=0, killed=0, gpu_hours=123.4,
    )  # fmt: skip
    band = {float(ahead): (demand, 1.2 * demand, 1.4 * demand) for ahead in (60, 300, 900, 1800)}
    return Frame(
        at_seconds=at,
        clock_seconds=1_772_496_000.0 + at,
        view=view,
        asked=17,
        why=WHY,
        control="HPA: metric asks 17, stabilised 17, policies allow 17",
        band=band,
        status=None,
    )


def shown(width: int, height: int) -> list[str]:
    screen = Screen(playback(seed=1, wall_seconds=120), width=width, height=height)
    last = None
    for at in range(0, 11 * 3600, 180):
        last = frame(at, demand=20_000 + at)
        screen.take(last)
    assert last is not None
    out = StringIO()
    Console(file=out, width=width, height=height).print(screen.drawn(last))
    return out.getvalue().rstrip("\n").splitlines()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (132, 43)])
def test_the_whole_screen_fits_its_terminal(width: int, height: int) -> None:
    lines = shown(width, height)
    assert len(lines) <= height - 1  # the cursor stands on the last
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize(("width", "height"), [(80, 24), (132, 43)])
def test_nothing_important_is_cut(width: int, height: int) -> None:
    text = "\n".join(shown(width, height))
    for part in (
        "foresail demo", "10:57", "ready 14", "starting 3", "waiting 120", "TTFT p95 1.25 s of 2 s",
        "GPU-hours 123.4", "asked for 17 replicas",
        "present", "queue", "forecast", "hold", "bounds",
    ):  # fmt: skip
        assert part in text, part


def test_the_charts_have_a_time_axis() -> None:
    (axis,) = [line for line in shown(80, 24) if "|10:00" in line]
    # A column is three minutes: twenty of them lie between two full hours.
    assert axis.index("|10:00") - axis.index("|09:00") == 20


def test_a_frame_before_the_first_measurement_takes_no_part_in_the_mean_of_demand() -> None:
    column = Column()
    for demand in (math.nan, 300.0, 500.0):
        column.take(frame(0, demand=demand))
    assert column.demand == 400.0
