"""The placement benchmark: made-up clusters, a rule that learns its mix, the sweep of constants."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench import _placement_generated as made
from bench import placement_constants
from bench._placement_rules import Fgd, ForesailLearning
from bench._placement_run import fill_up, put, with_departures
from scheduler.history import History
from scheduler.mix import Mix
from scheduler.placement import Node, Nodes, Shape
from scheduler.score.constants import SHIPPED
from scheduler.score.rule import FillRule
from scheduler.score.scarcity import WIDE_PLACES


def shape(gpus: int = 1, *, milli: int = 1000) -> Shape:
    return Shape(cpu_milli=1000, memory_mib=1024, gpus=gpus, gpu_milli=milli)


def cluster(count: int, gpus: int = 8) -> list[Node]:
    return [
        Node(name=f"n{at}", cpu_milli=96_000, memory_mib=999_424, gpus_milli=(1000,) * gpus)
        for at in range(count)
    ]


class TestGenerated:
    @pytest.mark.parametrize("family", made.FAMILIES)
    def test_every_pod_fits_some_empty_node(self, family: str) -> None:
        nodes, pods = made.generated(family, 1)
        empty = Nodes(nodes)
        assert all(empty.fits(pod).any() for pod in set(pods))

    def test_a_seed_is_one_cluster_and_one_trace(self) -> None:
        assert made.generated("wide", 1) == made.generated("wide", 1)
        assert made.generated("wide", 1) != made.generated("wide", 2)

    def test_a_family_is_what_its_name_says(self) -> None:
        _, only = made.generated("shares-only", 1)
        _, bound = made.generated("models", 1)
        _, wide = made.generated("wide", 1)
        assert max(pod.gpus for pod in only) == 1
        assert any(pod.models for pod in bound)
        assert sum(pod.gpus > 1 for pod in wide) > len(wide) / 20


class TestRun:
    def test_on_a_cluster_where_one_pod_is_more_than_the_window_there_is_a_reading(self) -> None:
        mix = Mix({shape(8): 1.0})
        outcome = fill_up(cluster(2), [shape(8)] * 4, mix, 1, ForesailLearning)
        assert (outcome.allocation_100, outcome.allocation_130) == (100.0, 100.0)

    def test_where_pods_leave_no_rule_exceeds_what_they_ask_for(self) -> None:
        pods = [shape(8)] * 3 + [shape()] * 6
        mix = Mix({shape(8): 1.0, shape(): 2.0})
        tight = with_departures(cluster(4), pods, mix, 1, Fgd, load=1.0)
        roomy = with_departures(cluster(4), pods, mix, 1, Fgd, load=0.1)
        assert tight.ceiling_100 is not None
        assert tight.allocation_100 < tight.ceiling_100 <= 100
        assert roomy.multi_gpu_accepted_100 == 100
        assert roomy.allocation_100 == pytest.approx(roomy.ceiling_100)


class TestConstants:
    def test_a_rule_goes_by_the_constants_it_is_given(self) -> None:
        nodes, mix = Nodes(cluster(1)), Mix({shape(): 8.0, shape(8): 1.0})
        dear = replace(SHIPPED, width_price_milli=2 * SHIPPED.width_price_milli)
        shipped = FillRule(nodes, mix).rank(shape()).columns[WIDE_PLACES]
        doubled = FillRule(nodes, mix, constants=dear).rank(shape()).columns[WIDE_PLACES]
        assert doubled.tolist() == (2 * shipped).tolist()
        assert shipped[0] < 0

    def test_the_sweep_has_a_row_for_each_value_and_marks_the_shipped_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(made, "NODES", 6)
        monkeypatch.setattr(made, "PODS", 60)
        out = tmp_path / "rows.json"
        constants = ["width_price_milli", "step_milli"]
        placement_constants.main(
            ["--quick", "--families", "wide", "--constants", *constants, "--json", str(out)]
        )
        rows = json.loads(out.read_text())["rows"]
        assert [(row["constant"], row["value"], row["shipped"]) for row in rows] == [
            (name, getattr(SHIPPED, name) * factor, factor == 1)
            for name in constants
            for factor in (0.5, 1.0, 2.0)
        ]
        assert all(np.isfinite(row["mean"]) for row in rows)


class TestLearning:
    def test_the_mix_that_others_are_told_is_not_looked_at(self) -> None:
        pods = [shape(milli=300), shape(), shape(2)] * 10
        choices = []
        for mix in (Mix({shape(8): 1.0}), Mix({shape(milli=300): 1.0})):
            nodes = Nodes(cluster(6))
            rule = ForesailLearning(nodes, mix)
            choices.append([put(nodes, pod, rule.choose(pod)) for pod in pods])
        assert choices[0] == choices[1]

    def test_what_came_is_what_is_expected(self) -> None:
        nodes = Nodes(cluster(10, gpus=4))
        rule, history = ForesailLearning(nodes, Mix({shape(): 1.0})), History()
        usual = shape(milli=300)
        for at in range(32):
            put(nodes, usual, rule.choose(usual))
            history.saw(usual, at * 60.0)
        told = FillRule(nodes, history.mix(32 * 60.0)).rank(shape(2))
        assert rule.choose(shape(2)) == (told.best(), None)
