"""What a GPU costs, and who says so."""

import pytest

from tests.fleet.objects import H100, node, only

P5 = {"node.kubernetes.io/instance-type": "p5.48xlarge"}


@pytest.mark.parametrize(
    ("labels", "annotations", "prices", "usd"),
    [
        pytest.param(P5, {}, {}, 6.88, id="list"),  # 55.04 $ over 8
        pytest.param(P5 | {"karpenter.sh/capacity-type": "spot"}, {}, {}, None, id="spot"),
        pytest.param(P5, {}, {"h100-sxm": 2.5}, 2.5, id="operators-by-generation"),
        pytest.param(
            P5, {}, {"h100-sxm": 2.5, "p5.48xlarge": 3.0}, 3.0, id="operators-by-machine-type"
        ),
        pytest.param(
            P5,
            {"foresail.io/usd-per-gpu-hour": "1.99"},
            {"h100-sxm": 2.5},
            1.99,
            id="annotation-first",
        ),
        pytest.param(
            P5 | {"karpenter.sh/capacity-type": "spot"},
            {},
            {"h100-sxm": 2.5, "h100-sxm/spot": 1.1},
            1.1,
            id="operators-of-spot",
        ),
        pytest.param(P5, {}, {"h100-sxm/spot": 1.1}, 6.88, id="a-spot-price-of-no-spot-node"),
        pytest.param(P5 | {"karpenter.sh/capacity-type": "reserved"}, {}, {}, None, id="reserved"),
        pytest.param(H100, {}, {}, None, id="own-iron"),
        pytest.param(
            {"node.kubernetes.io/instance-type": "a3-highgpu-8g"}, {}, {}, None, id="not-looked-up"
        ),
    ],
)
def test_a_price_has_a_source_or_is_unknown(
    labels: dict[str, str],
    annotations: dict[str, str],
    prices: dict[str, float],
    usd: float | None,
) -> None:
    found = only(node(labels=labels, annotations=annotations, gpus=8), prices=prices)

    assert found.usd_per_gpu_hour == usd
    assert (found.price_source is None) == (usd is None)
