"""The mix of pods that is expected: from those that came, or from an operator's file."""

from dataclasses import replace

import pytest

from scheduler.history import HALF_LIFE_SECONDS, MODEL_SETS_MAX, MODELS_MAX, USUAL, History
from scheduler.mix import Mix
from scheduler.mix_file import MixFileError, mix_of
from scheduler.placement import Node, Nodes, Shape
from scheduler.score.scarcity import Models


def shape(gpus: int = 3, cpu_milli: int = 1000) -> Shape:
    return Shape(cpu_milli=cpu_milli, memory_mib=1024, gpus=gpus, gpu_milli=1000)


class TestHistory:
    def test_before_any_pod_the_usual_ones_are_expected(self) -> None:
        assert History().mix(0).weights == USUAL

    def test_a_pod_of_a_half_life_ago_counts_half(self) -> None:
        history = History()
        history.saw(shape(3), 0)
        history.saw(shape(5), HALF_LIFE_SECONDS)
        weights = history.mix(HALF_LIFE_SECONDS).weights
        assert (weights[shape(3)], weights[shape(5)]) == (0.5, 1.0)

    def test_it_goes_on_for_years(self) -> None:
        history = History()
        for week in range(500):
            history.saw(shape(3), week * HALF_LIFE_SECONDS)
        # 1 + 1/2 + 1/4 ...
        assert history.mix(499 * HALF_LIFE_SECONDS).weights[shape(3)] == pytest.approx(2.0)

    def test_pods_that_differ_by_little_are_one_shape(self) -> None:
        history = History()
        history.saw(shape(cpu_milli=900), 0)
        history.saw(shape(cpu_milli=1000), 0)
        assert history.mix(0).weights[shape()] == 2.0

    def test_the_rarest_shapes_are_forgotten_and_not_memory(self) -> None:
        history = History()
        for at in range(5000):
            history.saw(shape(cpu_milli=1000 * (at + 1)), 0)
            history.saw(shape(), 0)
        weights = history.mix(0).weights
        assert len(weights) < 2100
        assert weights[shape()] == 5001.0

    def test_the_rarest_sets_of_models_are_forgotten_and_not_the_sizes_of_their_pods(self) -> None:
        """What the rule costs grows with the sets, and tenants write them."""
        history = History()
        t4 = replace(shape(), models=frozenset({"t4", "l4"}))
        many = replace(shape(), models=frozenset(f"m{at}" for at in range(MODELS_MAX + 1)))
        for at in range(1000):
            history.saw(replace(shape(), models=frozenset({f"m{at}", "t4"})), 0)
            history.saw(t4, 0)
            history.saw(many, 0)
        weights = history.mix(0).weights
        sets = {one.models for one in weights}
        assert len(sets) == MODEL_SETS_MAX + 1
        assert many.models not in sets
        assert weights[t4] == 1000.0
        assert weights[shape()] == 1000.0 + 1000 - (MODEL_SETS_MAX - 1)


class TestModels:
    def test_pods_that_insist_on_a_model_that_no_node_has_make_no_other_one_scarce(self) -> None:
        def price_of_t4(**weights: float) -> float:
            nodes = Nodes(
                Node(name=name, cpu_milli=64_000, memory_mib=10**6, model=name, gpus_milli=(1000,))
                for name in ("t4", "l4")
            )
            mix = Mix(
                {
                    replace(shape(1), models=frozenset(filter(None, [name.strip("_")]))): weight
                    for name, weight in weights.items()
                }
            )
            return float(Models(mix, nodes).price_milli(nodes)[nodes.models.index("t4")])

        # Of two free GPUs, pods that insist on a T4 will ask for one and a half, or a half.
        assert price_of_t4(t4=3, _=1) > 0
        assert price_of_t4(t4=1, _=3) == 0
        assert price_of_t4(t4=1, nobodys=2, _=1) == 0


class TestFile:
    def test_a_file_is_a_mix_and_a_share_in_it_a_whole_gpu(self) -> None:
        mix = mix_of(
            "pods:\n"
            "  - {weight: 6, cpu: 8, memory: 64Gi, gpus: 1}\n"
            "  - {weight: 2, cpu: 500m, memory: 2Gi, gpus: 1, gpuMilli: 250, models: [Tesla T4]}\n"
            "  - {weight: 1, cpu: 8, memory: 64Gi, gpus: 1}\n"
        )
        assert mix.weights == {
            Shape(cpu_milli=8000, memory_mib=65_536, gpus=1, gpu_milli=1000): 7.0,
            Shape(
                cpu_milli=500, memory_mib=2048, gpus=1, gpu_milli=1000, models=frozenset({"t4"})
            ): 2.0,
        }

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("", "line 1: pods: Field required"),
            ("pods: []", "line 1: pods: Tuple should have at least 1 item"),
            ("pods:\n- {cpu: 1, memory: 1Gi,\n   weight: 0}", "line 3: pods.0.weight"),
            ("pods: [{weight: 1, cpu: many, memory: 1Gi}]", "pods.0.cpu: .*'many' is no quantity"),
            ("pods: [{weight: 1, cpu: 1, memory: 1Gi, gpu: 1}]", "pods.0.gpu: Extra inputs"),
            ("pods: [{weight: 1, cpu: 1, memory: 1Gi, gpuMilli: 0}]", "pods.0.gpuMilli"),
            ("pods:\n- cpu: 1\n  cpu: 2", "line 3: key 'cpu' is on line 2 already"),
            ("- pods", "line 1: the file must hold a mapping"),
            ("pods: [", "line 1: not YAML: expected the node content"),
        ],
    )
    def test_what_is_wrong_is_named_with_its_place(self, text: str, why: str) -> None:
        with pytest.raises(MixFileError, match=why):
            mix_of(text)
