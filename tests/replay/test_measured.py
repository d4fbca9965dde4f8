"""Profiles from tables of measured layers, worked by hand."""

from pathlib import Path

import pytest

from fleet.iteration import ModelShape
from replay.measured import Measured, Tables, UnmeasuredError

SHAPE = ModelShape(name="tiny", parameters=1e9, layers=10, hidden=1000, kv_heads=8, head_size=128)
ALONE = Measured(shape=SHAPE, gpu="h100", generation="h100-sxm")
TWO = Measured(
    shape=SHAPE, gpu="h100", generation="h100-sxm", tensor_parallel=2,
    network="near",
)  # fmt: skip


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    (tmp_path / "linear_layers.csv").write_text(
        "gpu,model,tensor_parallel,tokens,linear_layers_ms\n"
        "h100,tiny,1,1,5\nh100,tiny,1,64,5.63\nh100,tiny,1,2048,107.4\n"
        "h100,tiny,2,1,3\nh100,tiny,2,64,3\nh100,tiny,2,2048,54.2\n"
    )
    (tmp_path / "all_reduce.csv").write_text(
        "network,workers,devices_per_node,bytes,median_ms\n"
        "near,2,2,2000,0.01\nnear,2,2,128000,0.01\nnear,2,2,4096000,0.1\n"
        "near,2,1,2000,9\n"
    )
    return Tables(tmp_path)


def test_one_gpu_pays_for_its_layers_the_engine_and_no_network(tables: Tables) -> None:
    profile = tables.profile(ALONE)
    assert profile.fixed_seconds == pytest.approx(0.005 + 0.002)
    # (5.63 - 5) ms over 63 sequences = 10 us, and 27 us of sampling.
    assert profile.per_sequence_seconds == pytest.approx(37e-6)
    assert profile.per_prefill_token_seconds == pytest.approx(0.1024 / 2048)
    assert (profile.name, profile.gpus) == ("tiny-1xh100", 1)


def test_two_gpus_pay_for_two_reductions_a_layer_within_their_machine(tables: Tables) -> None:
    profile = tables.profile(TWO)
    # 20 reductions of 1 x 1000 x 2 bytes: 0.2 ms; of 2048 tokens, 4,096,000 bytes: 2 ms.
    assert profile.fixed_seconds == pytest.approx(0.0032 + 0.002)
    assert profile.per_sequence_seconds == pytest.approx(27e-6)
    assert profile.per_prefill_token_seconds == pytest.approx((0.0562 - 0.0032) / 2048)
    assert profile.gpus == 2


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"tensor_parallel": 4}, r"no row gpu=h100 model=tiny tensor_parallel=4 tokens=1"),
        ({"network": "far", "tensor_parallel": 2}, r"no row network=far workers=2"),
    ],
)
def test_what_is_in_no_table_is_said(
    tables: Tables, change: dict[str, str | int], why: str
) -> None:
    fields = {"shape": SHAPE, "gpu": "h100", "generation": "h100-sxm"}
    with pytest.raises(UnmeasuredError, match=why):
        tables.profile(Measured(**fields | change))  # type: ignore[arg-type]


def test_a_folder_without_tables_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnmeasuredError, match=r"linear_layers.csv cannot be read"):
        Tables(tmp_path)
