"""The catalogue's figures, its names, and the ranking for a need."""

import pytest

from fleet.catalogue import Bottleneck, Need, Precision, rank, shipped
from fleet.instances import instances


@pytest.mark.parametrize(
    ("name", "generation"),
    [
        pytest.param("NVIDIA H100 80GB HBM3", "h100-sxm", id="nvml"),
        pytest.param("NVIDIA-H100-80GB-HBM3", "h100-sxm", id="gfd"),
        pytest.param("Tesla-T4-SHARED", "t4", id="gfd-time-sliced"),
        pytest.param("l40s", "l40s", id="karpenter"),
        pytest.param("nvidia-h200-141gb", "h200-sxm", id="gke"),
    ],
)
def test_a_generation_is_found_by_every_vocabulary(name: str, generation: str) -> None:
    found = shipped().find(name)
    assert found is not None
    assert found.name == generation


def test_an_unknown_name_is_no_guess() -> None:
    assert shipped().find("NVIDIA H100") is None


def test_no_name_means_two_generations() -> None:
    catalogue = shipped()
    for one in catalogue.generations:
        for name in (one.name, *one.names, *(n for n in (one.karpenter, one.gke) if n)):
            assert [g.name for g in catalogue.generations if g.called(name)] == [one.name], name


def test_every_figure_names_a_source_that_the_file_explains() -> None:
    catalogue = shipped()
    assert {one.source for one in catalogue.generations} <= set(catalogue.sources)


def test_memory_is_what_a_driver_reports_and_not_what_is_sold() -> None:
    h100 = shipped().find("h100-sxm")
    assert h100 is not None
    assert h100.memory_gib == pytest.approx(81559 / 1024)  # 79.6 GiB, not 80 GB


@pytest.mark.parametrize(
    ("bottleneck", "precision", "name", "usd"),
    [
        # AWS list prices over the data sheets: 0.526 $ / .32 TB/s; 7.91 / 4.8; 1.861 / .733.
        pytest.param(Bottleneck.DECODE, None, "t4", 1.64, id="t4-decode"),
        pytest.param(Bottleneck.DECODE, None, "h200-sxm", 1.65, id="h200-decode"),
        pytest.param(Bottleneck.PREFILL, Precision.FP8, "l40s", 2.54, id="l40s-fp8"),
        pytest.param(Bottleneck.PREFILL, Precision.FP4, "b200", 1.58, id="b200-fp4"),
        pytest.param(Bottleneck.KV, None, "t4", 3.51, id="t4-kv"),
    ],
)
def test_the_price_of_a_bottleneck_is_by_hand(
    bottleneck: Bottleneck, precision: Precision | None, name: str, usd: float
) -> None:
    ranked = rank(shipped(), Need(bottleneck=bottleneck, precision=precision))
    (found,) = [one for one in ranked if one.generation.name == name]
    assert found.usd_per_unit == pytest.approx(usd, abs=0.01)


def test_who_cannot_serve_is_last_and_says_why() -> None:
    need = Need(memory_gib=60, precision=Precision.FP8)
    ranked = rank(shipped(), need)
    able = [one for one in ranked if one.excluded is None]
    assert able == ranked[: len(able)]
    why = {one.generation.name: one.excluded for one in ranked}
    assert why["l4"] == "22.4 of 60.0 GiB; 4 hold it"
    assert why["a100-sxm-80"] == "no fp8"
    assert why["a100-sxm-40"] == "no fp8"  # more of them would not help
    assert able[0].generation.name == "h200-sxm"  # 1.65 $ per TB/s before the B200's 1.85


def test_several_gpus_share_the_memory() -> None:
    need = Need(memory_gib=60, precision=Precision.FP8, gpus=4)
    assert rank(shipped(), need)[0].generation.name == "h200-sxm"
    assert {o.generation.name: o.excluded for o in rank(shipped(), need)}["l4"] is None


def test_a_count_that_no_node_has_is_out_and_its_price_is_of_a_machine_that_has_it() -> None:
    ranked = {one.generation.name: one for one in rank(shipped(), Need(gpus=4))}
    assert ranked["gh200-96"].excluded == "1 on a node"
    assert ranked["t4"].usd_per_unit == pytest.approx(0.978 / 0.32)  # g4dn.metal, not xlarge


@pytest.mark.parametrize("precision", [Precision.INT4, Precision.AWQ, Precision.GPTQ])
def test_four_bit_weights_are_multiplied_at_sixteen_bits(precision: Precision) -> None:
    h100, v100 = shipped().find("h100-sxm"), shipped().find("v100-sxm2-32")
    assert h100 is not None
    assert v100 is not None
    assert h100.tflops_at(precision) == 989
    assert v100.tflops_at(precision) == (None if precision is Precision.AWQ else 125)


def test_infinity_fabric_joins_the_gpus_of_a_board() -> None:
    mi300x = shipped().find("mi300x")
    assert mi300x is not None
    assert (mi300x.fabric_gb_s, mi300x.fabric_peers) == (7 * 128, 7)
    assert shipped().island_gpus(mi300x) == 8


def test_a_generation_without_a_price_is_listed_after_those_with_one() -> None:
    ranked = [one for one in rank(shipped(), Need()) if one.excluded is None]
    prices = [one.usd_per_unit for one in ranked]
    assert None in prices
    assert all(price is None for price in prices[prices.index(None) :])


@pytest.mark.parametrize("name", ["ada-lovelace", "Ada Lovelace", 8])
def test_an_architecture_is_one_thing_in_three_vocabularies(name: str | int) -> None:
    found = shipped().architecture(name)
    assert found is not None
    assert found.name == "Ada Lovelace"


def test_every_generation_is_of_an_architecture_that_is_known() -> None:
    catalogue = shipped()
    told = {one.architecture for one in catalogue.generations}
    assert told <= {one.name for one in catalogue.architectures} | {"Blackwell Ultra"}


def test_the_generations_said_to_be_joined_exist() -> None:
    assert shipped().joined <= {one.name for one in shipped().generations}


def test_a_mig_slice_of_a_gpu_is_of_its_generation() -> None:
    found = shipped().find("NVIDIA-A100-SXM4-40GB-MIG-1g.5gb-SHARED")
    assert found is not None
    assert found.name == "a100-sxm-40"


def test_every_machine_type_has_a_generation_of_the_catalogue() -> None:
    known = {one.name for one in shipped().generations}
    assert {one.generation for one in instances().values()} <= known


def test_the_price_of_a_machine_type_is_that_of_its_gpus_in_the_catalogue() -> None:
    listed = {p.instance: p.usd_per_gpu_hour for g in shipped().generations for p in g.prices}
    gpus = {p.instance: p.gpus for g in shipped().generations for p in g.prices}
    machines = {name: one for name, one in instances().items() if name in listed}
    assert {name: gpus[name] for name in machines} == {n: one.gpus for n, one in machines.items()}
    assert len(machines) >= 10
    for name, one in machines.items():
        assert one.usd_per_hour is not None
        assert one.usd_per_hour / one.gpus == pytest.approx(listed[name], abs=0.01), name


def test_a_machine_type_whose_price_nobody_looked_up_has_none() -> None:
    assert instances()["a3-highgpu-8g"].usd_per_hour is None


def test_an_operators_price_ranks_in_place_of_the_list_price() -> None:
    own = shipped().priced({"h100-sxm": 1.0, "gb200": 30.0})

    ranked = {one.generation.name: one.usd_per_unit for one in rank(own, Need())}

    assert ranked["h100-sxm"] == pytest.approx(1.0 / 3.35)
    assert ranked["gb200"] == pytest.approx(30.0 / 8.0)  # no list price
    assert ranked["t4"] == pytest.approx(0.526 / 0.32)
