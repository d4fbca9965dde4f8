"""Names that come and go: what is kept of them does not grow, and the answers stay right."""

import numpy as np
import pytest

from scheduler.indices import Indices
from scheduler.machines import Machine
from scheduler.mix import Mix
from scheduler.placement import Node, Nodes, Shape
from scheduler.placement_state import PlacementState
from scheduler.score.fill import Rollouts


def shape(*models: str) -> Shape:
    return Shape(cpu_milli=1, memory_mib=1, gpus=1, gpu_milli=1000, models=frozenset(models))


def test_an_index_that_nobody_uses_goes_to_the_next_new_name() -> None:
    indices = Indices()
    first, second = indices.take("a"), indices.take("b")
    assert (first, second, indices.take("a")) == (0, 1, 0)
    indices.leave(first)
    assert indices.take("c") == 2  # one still uses a
    indices.leave(first)
    assert indices.take("d") == 0
    assert indices.names == ("d", "b", "c")
    indices.leave(second)
    assert indices.take("b") == 1  # as before, for nobody took it meanwhile


def test_gpu_models_that_came_and_went_leave_nothing() -> None:
    nodes = Nodes([])
    for at in range(1000):
        node = Node(name="n", cpu_milli=1, memory_mib=1, model=f"m{at}", gpus_milli=(1000,))
        row = nodes.add(node)
        assert nodes.fits(shape(f"m{at}"))[row]
        assert not nodes.fits(shape(f"m{at - 1}"))[row]
        nodes.drop(row)
    assert len(nodes.models) == 2  # the last one, and none


def test_cliques_that_came_and_went_leave_no_room_behind() -> None:
    mix = Mix({shape(): 1.0})
    state = PlacementState((), mix)
    for at in range(1000):
        state.occupancy.put(Machine(name="n", cpu_milli=1, memory_mib=1, gpus=1, clique=f"c{at}"))
        state.occupancy.drop("n")
    state.occupancy.put(Machine(name="n", cpu_milli=1, memory_mib=1, gpus=1, clique="last"))
    assert int(state.occupancy.preferences.clique.max()) == 0


@pytest.mark.parametrize("count", [3, 63, 64, 200])
def test_pods_may_insist_on_any_of_many_models(count: int) -> None:
    # One pod for each model: a node is worth one GPU whatever its model is, but for the last one.
    models = [f"m{at}" for at in range(count)]
    rollouts = Rollouts([[shape(model) for model in models[:-1]]], models)
    worth = rollouts.values(
        np.full(count, 9), np.full(count, 9), np.full((count, 1), 1000), np.arange(count)
    )
    assert worth.tolist() == [1000.0] * (count - 1) + [0.0]
