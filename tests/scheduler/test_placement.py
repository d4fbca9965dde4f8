"""The arrays, the rule's properties, and a small cluster where the right answer is plain."""

from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.mix import LENGTH, SEQUENCES, Mix, sequences
from scheduler.placement import Node, Nodes, Shape
from scheduler.score.fill import CPU_GAIN_MILLI, Rollouts
from scheduler.score.fragments import Fragments
from scheduler.score.islands import REMAINDER_PRICE_MILLI, SPLIT_PRICE_MILLI, island_price_milli
from scheduler.score.rule import FillRule
from scheduler.score.scarcity import Widths


def shape(gpus: int = 1, *, milli: int = 1000, cpu: int = 1000, models: str = "") -> Shape:
    return Shape(
        cpu_milli=cpu, memory_mib=1024, gpus=gpus, gpu_milli=milli if gpus else 0,
        models=frozenset(models.split()),
    )  # fmt: skip


def node(name: str, *gpus: int, cpu: int = 96_000, model: str = "h100") -> Node:
    return Node(name=name, cpu_milli=cpu, memory_mib=1_000_000, model=model, gpus_milli=gpus)


class TestNodes:
    def test_what_is_placed_and_released_leaves_no_trace(self) -> None:
        nodes = Nodes([node("a", 1000, 1000), node("b", 500)])
        before = (nodes.cpu.tolist(), nodes.gpus.tolist(), nodes.idle.tolist())
        devices = nodes.devices(0, shape(milli=300))
        nodes.place(0, shape(milli=300), devices)
        assert nodes.idle.tolist() == [1700, 500]
        nodes.release(0, shape(milli=300), devices)
        assert (nodes.cpu.tolist(), nodes.gpus.tolist(), nodes.idle.tolist()) == before

    def test_a_share_goes_to_the_fullest_gpu_that_is_enough(self) -> None:
        nodes = Nodes([node("a", 1000, 400, 250)])
        assert nodes.devices(0, shape(milli=300)) == [1]

    @pytest.mark.parametrize(
        ("asked", "fits"),
        [
            pytest.param(shape(2), [True, False, False], id="two-whole"),
            pytest.param(shape(milli=600), [True, True, False], id="a-share"),
            pytest.param(shape(0), [True, True, True], id="no-gpu"),
            pytest.param(shape(models="a100"), [False, True, False], id="one-model"),
            pytest.param(shape(cpu=97_000), [False, False, False], id="too-much-cpu"),
        ],
    )
    def test_what_fits(self, asked: Shape, fits: list[bool]) -> None:
        nodes = Nodes([node("a", 1000, 1000), node("b", 1000, model="a100"), node("c", 500)])
        assert nodes.fits(asked).tolist() == fits

    def test_a_share_of_several_gpus_is_refused(self) -> None:
        with pytest.raises(ValueError, match="several GPUs are asked whole"):
            shape(2, milli=500)


class TestTurnover:
    def test_a_cluster_that_fills_up_has_none(self) -> None:
        nodes = Nodes([node("a", *[1000] * 8)])
        for _ in range(8):
            nodes.came(shape())
        assert nodes.turnover == 0.0

    def test_where_as_much_leaves_as_comes_it_is_one(self) -> None:
        nodes = Nodes([node("a", *[1000] * 8)])
        for _ in range(200):
            nodes.came(shape())
            nodes.left(shape())
        assert nodes.turnover == pytest.approx(1.0)

    def test_what_left_long_ago_fades_as_pods_come(self) -> None:
        nodes = Nodes([node("a", *[1000] * 8)])
        nodes.came(shape())
        nodes.left(shape())
        for _ in range(80):
            nodes.came(shape())
        assert nodes.turnover < 0.001

    def test_the_last_places_for_wide_pods_are_worth_more_where_pods_come_and_go(self) -> None:
        nodes = Nodes([node(f"n{at}", *[1000] * 8) for at in range(4)])
        widths = Widths(Mix({shape(): 9.0, shape(8): 1.0}))
        filling = widths.price_milli(8, nodes)
        for _ in range(400):
            nodes.came(shape())
            nodes.left(shape())
        # Of 17 GPUs that are expected 8 are wide, and all of the nodes is places for them:
        # 8 x 50 x the root of 8/17. Then 8 x 50 x 1 x 6.
        assert (filling, widths.price_milli(8, nodes)) == (
            pytest.approx(8 * 50 * sqrt(8 / 17)),
            pytest.approx(2400.0, rel=0.01),
        )


class TestWidths:
    @pytest.mark.parametrize("wide", [0.02, 0.1, 1.0])
    def test_a_place_for_a_wide_pod_costs_the_root_of_the_part_that_is_asked_for(
        self, wide: float
    ) -> None:
        nodes = Nodes([node(f"n{at}", *[1000] * 8) for at in range(4)])
        widths = Widths(Mix({shape(): 8.0, shape(8): wide}))
        asked = 8 * wide / (8 + 8 * wide)
        assert widths.price_milli(8, nodes) == pytest.approx(8 * 50 * sqrt(asked))

    @pytest.mark.parametrize("mix", [{shape(): 1.0}, {shape(): 1.0, shape(8): 0.0001}])
    def test_a_mix_that_has_hardly_any_wide_pods_may_be_wrong(
        self, mix: dict[Shape, float]
    ) -> None:
        nodes = Nodes([node(f"n{at}", *[1000] * 8) for at in range(4)])
        widths = Widths(Mix(mix))
        # A hundredth of the GPUs is taken to be asked for by such pods.
        assert widths.price_milli(8, nodes) == pytest.approx(8 * 50 * 0.1)
        assert widths.above(1) == [2, 4, 8]

    def test_where_pods_come_and_go_a_place_that_nobody_asked_for_costs_nothing(self) -> None:
        nodes = Nodes([node("a", *[1000] * 8)])
        for _ in range(200):
            nodes.came(shape())
            nodes.left(shape())
        assert Widths(Mix({shape(): 1.0})).price_milli(8, nodes) == pytest.approx(0, abs=1e-3)

    def test_a_mix_without_gpus_prices_no_place(self) -> None:
        assert Widths(Mix({shape(0): 1.0})).above(0) == []

    def test_the_fewer_places_are_left_the_dearer_they_are_up_to_a_limit(self) -> None:
        nodes = Nodes([node(f"n{at}", *[1000] * 8) for at in range(4)])
        widths = Widths(Mix({shape(): 24.0, shape(8): 1.0}))
        prices = [widths.price_milli(8, nodes)]
        for row in range(4):
            nodes.place(row, shape(), [0])
            prices.append(widths.price_milli(8, nodes))
        # A quarter of 32, 31, 30 and 29 idle GPUs is asked for, of 32, 24, 16 and 8; then of none.
        assert prices == pytest.approx(
            [8 * 50 * sqrt(part) for part in (8 / 32, 7.75 / 24, 7.5 / 16, 7.25 / 8, 1)]
        )


class TestFill:
    def test_a_node_is_worth_the_gpu_it_can_still_give(self) -> None:
        rollouts = Rollouts([[shape(), shape(2), shape(milli=500)]], ("h100",))
        nodes = Nodes([node("a", 1000, 1000), node("b", 1000), node("c", 600), node("d", 100)])
        worth = rollouts.values(nodes.cpu, nodes.memory, nodes.gpus, nodes.model)
        # a: one whole, no two, a share of the other. b: one whole. c: the share. d: nothing.
        assert worth.tolist() == [1500, 1000, 500, 0]

    def test_a_node_without_cpu_gives_nothing(self) -> None:
        rollouts = Rollouts([[shape(cpu=2000)] * 3], ("h100",))
        nodes = Nodes([node("a", 1000, 1000, 1000, cpu=5000)])
        worth = rollouts.values(nodes.cpu, nodes.memory, nodes.gpus, nodes.model)
        assert worth.tolist() == [2000]

    def test_a_core_of_a_pod_without_gpu_counts_for_little(self) -> None:
        rollouts = Rollouts([[shape(0, cpu=4000)]], ("h100",))
        nodes = Nodes([node("a", 1000)])
        worth = rollouts.values(nodes.cpu, nodes.memory, nodes.gpus, nodes.model)
        assert worth.tolist() == [4 * CPU_GAIN_MILLI]

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(st.sampled_from([0, 100, 250, 500, 900, 1000]), min_size=1, max_size=8),
        st.integers(0, 64_000),
        st.integers(0, 2**32),
    )
    def test_lanes_of_integers_are_pods_placed_one_by_one(
        self, gpus: list[int], cpu: int, seed: int
    ) -> None:
        mix = Mix({shape(): 3, shape(2): 2, shape(milli=250): 4, shape(0, cpu=8000): 1})
        pods = sequences(mix, seed=seed)[:4]
        one = Nodes([node("a", *gpus, cpu=cpu)])
        worth = Rollouts(pods, one.models).values(one.cpu, one.memory, one.gpus, one.model)
        assert worth[0] == pytest.approx(np.mean([_by_hand(gpus, cpu, row) for row in pods]))


def _by_hand(gpus: list[int], cpu: int, pods: list[Shape]) -> float:
    nodes, worth = Nodes([node("a", *gpus, cpu=cpu)]), 0.0
    for pod in pods:
        if nodes.fits(pod)[0]:
            nodes.place(0, pod, nodes.devices(0, pod))
            worth += pod.total_milli or pod.cpu_milli * CPU_GAIN_MILLI / 1000
    return worth


class TestMix:
    def test_each_position_is_a_stratified_sample(self) -> None:
        mix = Mix({shape(1): 1.0, shape(2): 1.0})
        rows = sequences(mix)
        assert (len(rows), {len(row) for row in rows}) == (SEQUENCES, {LENGTH})
        ones = sum(pod.gpus == 1 for row in rows for pod in row)
        assert ones == SEQUENCES * LENGTH / 2

    def test_a_mix_of_nothing_is_refused(self) -> None:
        with pytest.raises(ValueError, match="a frequency above 0"):
            Mix({shape(): 0.0})


class TestFragments:
    @pytest.mark.parametrize(
        ("gpus", "cpu", "milli"),
        [
            ((500,), 96_000, 250.0),  # the share can use it, the whole pod cannot
            ((1000,), 96_000, 0.0),
            ((200,), 96_000, 200.0),
            ((1000, 200), 96_000, 200.0),
            ((1000,), 500, 1000.0),  # nobody's CPU
            ((0, -1), 96_000, 0.0),
        ],
    )
    def test_what_is_left_and_cannot_be_used(
        self, gpus: tuple[int, ...], cpu: int, milli: float
    ) -> None:
        fragments = Fragments(Mix({shape(milli=300): 1.0, shape(1): 1.0}), ["h100"])
        states = np.array([cpu]), np.array([gpus]), np.array([0])
        assert fragments.milli(*states).tolist() == [milli]

    def test_a_model_that_a_pod_cannot_run_on_is_no_use_to_it(self) -> None:
        fragments = Fragments(Mix({shape(models="a100"): 3.0, shape(): 1.0}), ["a100", "h100"])
        both = np.array([9000, 9000]), np.array([[1000], [1000]]), np.array([0, 1])
        assert fragments.milli(*both).tolist() == [0.0, 750.0]


class TestRule:
    def test_a_share_joins_a_share(self) -> None:
        nodes = Nodes([node("empty", 1000, 1000), node("begun", 400, 1000)])
        rule = FillRule(nodes, Mix({shape(milli=300): 1.0, shape(2): 1.0}))
        assert rule.rank(shape(milli=300)).best() == 1

    def test_a_single_gpu_leaves_the_whole_machine_for_those_who_need_it(self) -> None:
        nodes = Nodes([node("whole", *[1000] * 8), node("begun", *[1000] * 3, *[0] * 5)])
        rule = FillRule(nodes, Mix({shape(1): 1.0, shape(8, cpu=8000): 1.0}))
        assert rule.rank(shape(1)).best() == 1

    def test_a_pod_that_any_model_serves_leaves_the_scarce_one(self) -> None:
        nodes = Nodes([node("a", 1000, model="a100"), node("h", 1000, model="h100")])
        mix = Mix({shape(models="a100"): 1.0, shape(): 1.0})
        assert FillRule(nodes, mix).rank(shape()).best() == 1

    def test_nothing_fits_is_no_node(self) -> None:
        nodes = Nodes([node("a", 1000)])
        assert FillRule(nodes, Mix({shape(): 1.0})).rank(shape(2)).best() is None

    def test_what_is_kept_is_what_would_be_worked_out_anew(self) -> None:
        mix = Mix({shape(): 3.0, shape(2): 1.0, shape(milli=300): 2.0})
        nodes = Nodes([node(f"n{at}", *[1000] * 4) for at in range(6)])
        rule = FillRule(nodes, mix)
        random = np.random.default_rng(5)
        pods = list(mix.weights)
        for _ in range(12):
            pod = pods[int(random.integers(len(pods)))]
            ranking = rule.rank(pod)
            anew = FillRule(nodes, mix).rank(pod)
            assert ranking.scores.tolist() == anew.scores.tolist()
            row = ranking.best()
            if row is not None:
                nodes.place(row, pod, nodes.devices(row, pod))

    def test_where_pods_leave_as_others_come_no_hole_is_made_that_nobody_can_use(self) -> None:
        # Both nodes have a GPU that is begun. What is left of b's after the pod, 100, is of no use
        # to anybody; what is left of a's, 300, is to the next of these pods.
        nodes = Nodes([node("a", 600), node("b", 400)])
        usual = shape(milli=300)
        rule = FillRule(nodes, Mix({usual: 1.0}))
        # One such pod less finds room on either, and b is the fuller.
        assert rule.rank(usual).best() == 1
        nodes.came(shape(8))
        nodes.left(shape(8))
        assert rule.rank(usual).best() == 0

    def test_who_is_in_a_hurry_has_a_node_that_fits_at_once_and_the_best_soon(self) -> None:
        mix = Mix({shape(): 3.0, shape(2): 1.0, shape(milli=300): 2.0})
        nodes = Nodes([node(f"n{at}", *[1000] * 4) for at in range(40)])
        for row in range(40):
            taken = shape(row % 4)
            nodes.place(row, taken, nodes.devices(row, taken))
        hasty, patient = FillRule(nodes, mix, rows_at_once=8), FillRule(nodes, mix)
        best = patient.rank(shape(2))
        first = hasty.rank(shape(2))
        row = first.best()
        assert row is not None
        assert nodes.free[row] >= 2
        # What is not worked out is taken at its worst, and nothing that does not fit is known.
        assert (first.scores <= best.scores).all()
        assert np.isfinite(first.scores).tolist() == np.isfinite(best.scores).tolist()
        assert np.count_nonzero(first.scores == best.scores) >= 8
        for _ in range(4):
            later = hasty.rank(shape(2))
        assert later.scores.tolist() == best.scores.tolist()

    def test_in_a_hurry_the_nodes_with_least_idle_come_first(self) -> None:
        mix = Mix({shape(): 1.0})
        nodes = Nodes([node(f"n{at}", *[1000] * 4) for at in range(40)])
        for row in range(40):
            taken = shape(row % 4)
            nodes.place(row, taken, nodes.devices(row, taken))
        rule = FillRule(nodes, mix, rows_at_once=10)
        assert rule.rank(shape(cpu=2000)).best() in range(3, 40, 4)  # one GPU is left there


class TestIslands:
    @pytest.mark.parametrize(
        ("free", "given_", "price"),
        [
            pytest.param([0, 1, 2, 3], [0, 1], 0.0, id="a-whole-pair"),
            pytest.param([0, 1, 2], [0], REMAINDER_PRICE_MILLI, id="breaks-a-pair"),
            pytest.param([0, 1, 2], [2], 0.0, id="takes-the-odd-one"),
            pytest.param(
                [0, 1, 2, 3], [1, 2], SPLIT_PRICE_MILLI + 2 * REMAINDER_PRICE_MILLI, id="splits"
            ),
            pytest.param([0, 2], [0, 2], 0.0, id="nothing-better-is-left"),
        ],
    )
    def test_four_gpus_in_two_pairs(self, free: list[int], given_: list[int], price: float) -> None:
        assert island_price_milli((0, 0, 1, 1), free, given_) == price

    def test_unknown_islands_speak_neither_for_nor_against(self) -> None:
        assert island_price_milli((), [0, 1], [0]) == 0
