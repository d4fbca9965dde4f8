"""`bench sizing`: a line through two measurements, and parts that are measured at a size."""

import pytest

from bench._sizing_parts import console, controller, page, planned, reads
from bench.sizing import Line, asked_parts


def test_what_one_more_takes_and_what_is_left_at_none_come_from_both_sizes() -> None:
    line = Line.through((100, 300), (70.0, 130.0))

    assert (line.each, line.fixed) == (0.3, 40.0)  # (130 - 70) / 200, and 70 - 30
    assert line.at(2000) == 640.0


def test_each_part_tells_figures_of_its_own_size() -> None:
    small, large = planned(2, hours=0.1), planned(6, hours=0.1)
    assert 2 * small["link, each look, KiB"] < large["link, each look, KiB"]
    assert large["state of the plan, KiB"] > 0

    few, many = page(5, hours=0.1), page(10, hours=0.1)
    assert many["page of metrics, KiB"] > 1.5 * few["page of metrics, KiB"] > 0

    assert reads(2)["CPU of reading, a minute, ms"] > 0
    assert min(list(controller(8).values())[:4]) > 0  # three rounds, and a write of the state
    assert console(30, hours=0.05)["console: HTML of the page, KiB (25 rows)"] > 10


def test_a_round_of_the_controller_takes_time_in_proportion_to_its_nodes() -> None:
    name = "controller: a round, CPU ms"
    most = 3 * (400 / 50) * controller(50)[name]  # workloads × starts would make it 64 times

    # Other threads of the process, and a collection of all its garbage, only add to a round.
    assert any(controller(400)[name] < most for _ in range(3))


def test_one_part_is_measured_at_the_sizes_that_are_asked_for_and_several_are_not() -> None:
    (part,) = asked_parts(["controller"], (100, 400), quick=True)
    assert (part.name, part.sizes) == ("controller", (100, 400))

    for only, sizes in ((None, (100, 400)), (["controller"], (400, 100))):
        with pytest.raises(ValueError, match="--sizes takes one --only"):
            asked_parts(only, sizes, quick=True)
