"""Plots as text: round ticks, few points, nothing that breaks the page."""

import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest

from foresail.svg import Axes, Layer, Plot, thinned, ticks
from foresail.svg_names import Named, written


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        pytest.param(0, 10, [0, 2, 4, 6, 8, 10], id="tens"),
        pytest.param(0, 0.9, [0, 0.2, 0.4, 0.6, 0.8], id="below-one"),
        pytest.param(90, 100.2, [90, 95, 100], id="not-from-zero"),
        pytest.param(0, 47_000, [0, 10_000, 20_000, 30_000, 40_000], id="thousands"),
    ],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


def test_thinning_keeps_the_mean() -> None:
    values = [float(n % 7) for n in range(1600 * 7)]
    few = thinned(values)
    assert len(few) == 1600
    assert sum(few) / len(few) == pytest.approx(3)


def test_few_values_are_kept_as_they_are() -> None:
    assert thinned([3.0, 1.0]) == [3.0, 1.0]


@pytest.mark.parametrize("shape", ["line", "step", "band", "bar", "dots"])
def test_every_shape_is_well_formed_with_gaps_and_hostile_names(shape: str) -> None:
    layer = Layer(
        label="<script>&", style="ours", shape=shape, xs=[0, 1, 2], ys=[1.0, 2.0, 3.0],
        tops=[2.0, 3.0, 4.0], titles=["<a", "&", '"'],
    )  # fmt: skip
    axes = Axes(x_label="a < b", y_label="&", x_text=str, y_text=str)
    plot = Plot(title='"<', axes=axes, layers=[layer])
    root = ET.fromstring(plot.svg())  # noqa: S314 - our own text
    assert root.tag == "svg"
    assert "<script>" not in plot.legend()


def test_values_that_are_no_numbers_are_left_out() -> None:
    layer = Layer(label="a", style="ours", shape="line", xs=[0, 1, 2], ys=[1.0, float("nan"), 3.0])
    axes = Axes(x_label="", y_label="", x_text=str, y_text=str)
    assert "nan" not in Plot(title="t", axes=axes, layers=[layer]).svg()


def test_names_of_points_that_lie_together_do_not_cover_each_other() -> None:
    points = [Named(100.0, 50.0, name, "ours") for name in ("one", "two", "three")]
    texts = [ET.fromstring(text) for text in written(points, left=64, right=400)]  # noqa: S314
    places = [(text.get("text-anchor"), float(text.get("y", 0))) for text in texts]
    assert [text.text for text in texts] == ["one", "two", "three"]
    assert len(set(places)) == 3
    for side in ("start", "end"):
        heights = sorted(y for anchor, y in places if anchor == side)
        assert all(b - a >= 12 for a, b in pairwise(heights))


def test_a_name_without_room_is_left_out() -> None:
    (text,) = written([Named(390.0, 50.0, "a-rule", "ours")], left=64, right=400)
    assert 'text-anchor="end"' in text
    assert list(written([Named(70.0, 50.0, "x" * 60, "ours")], left=64, right=400)) == []
