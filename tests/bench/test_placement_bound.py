"""The bounds that placement rules are measured against."""

from itertools import permutations

import numpy as np
import pytest

from bench._placement_turns import arrivals_by_turn, fits_where, lasting, turns
from scheduler.placement import Node, Nodes, Shape

SHARE = Shape(cpu_milli=1000, memory_mib=1024, gpus=1, gpu_milli=810)
WHOLE = Shape(cpu_milli=1000, memory_mib=1024, gpus=1, gpu_milli=1000)
PAIR = Shape(cpu_milli=1000, memory_mib=1024, gpus=2, gpu_milli=1000)
BOUND = Shape(cpu_milli=1000, memory_mib=1024, gpus=1, gpu_milli=1000, models=frozenset({"a", "b"}))
BOUND_TO_A = Shape(cpu_milli=1000, memory_mib=1024, gpus=1, gpu_milli=1000, models=frozenset({"a"}))
CORES = Shape(cpu_milli=1000, memory_mib=1024)
HEAVY = Shape(cpu_milli=9000, memory_mib=1024, gpus=1, gpu_milli=500)
SHAPES = (SHARE, WHOLE, PAIR, BOUND, BOUND_TO_A, CORES, HEAVY)


def node(gpus: int) -> Node:
    return Node(name="n", cpu_milli=96_000, memory_mib=999_424, gpus_milli=(1000,) * gpus)


def test_a_shape_that_is_said_to_fit_wherever_another_does_fits_there() -> None:
    random = np.random.default_rng(1)
    nodes = Nodes(
        Node(
            name=f"n{at}",
            cpu_milli=int(random.choice((500, 1000, 9000))),
            memory_mib=int(random.choice((512, 1024))),
            model=str(random.choice(("a", "b", "c"))),
            gpus_milli=tuple(int(left) for left in random.choice((0, 500, 810, 1000), 2)),
        )
        for at in range(500)
    )
    for one, other in permutations(SHAPES, 2):
        always = bool((nodes.fits(one) | ~nodes.fits(other)).all())
        assert fits_where(one, other) == always, (one, other)


def test_pairs_that_follow_from_others_are_left_out() -> None:
    assert lasting([PAIR, SHARE, WHOLE]) == [(1, 2), (2, 0)]


def test_turns_cover_all_arrivals_and_are_short_at_the_end() -> None:
    starts = turns(1000)
    assert (starts[0], starts[-1]) == (0, 1000)
    lengths = np.diff(starts)
    assert lengths[0] > 300
    assert lengths[-1] == 6
    assert turns(3).tolist() == [0, 1, 2, 3]


def test_arrivals_are_counted_by_shape_and_turn() -> None:
    arriving = [SHARE, SHARE, WHOLE, SHARE]
    counts = arrivals_by_turn(arriving, [SHARE, WHOLE], np.array([0, 2, 4]))
    assert counts.tolist() == [[2, 1], [0, 1]]


def test_a_bound_that_may_refuse_a_pod_is_above_one_that_takes_what_fits() -> None:
    pytest.importorskip("scipy", reason="the bounds' solver is not installed")
    from bench._placement_bound import bound_milli, bound_taking_all_milli  # noqa: PLC0415

    # Of two GPUs the two shares that come first leave none to the whole one: 1,620 milli. To refuse
    # the second share gives 1,810. In the programme a part f of the last two pods may be placed,
    # shares are at least 2f then, and the most is at f = 2/3: 4/3 x 810 + 2/3 x 1,000.
    arriving = [SHARE, SHARE, WHOLE]
    assert bound_milli([node(2)], arriving) == pytest.approx(1810)
    assert bound_taking_all_milli([node(2)], arriving) == pytest.approx(1746 + 2 / 3)
