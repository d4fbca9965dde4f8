"""The order of generations for a need, by hand, and why others are out."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fleet.catalogue
from fleet.catalogue import Bottleneck, Catalogue, Precision, shipped
from scheduler.need import Need
from scheduler.ranking import Candidate, Prices, Ranking, prices_of, rank
from scheduler.roofline import exchange_seconds

CATALOGUE = shipped()
GIB = 2.0**30
MODEL_8B = Need(
    parameters=8e9, precision=Precision.FP8, kv_token_bytes=1e5, prompt_tokens=900,
    output_tokens=200, tensor_parallel=1,
    itl_seconds=0.1,
)  # fmt: skip


def ranked(need: Need, source: str | None = None, **usd: float) -> Ranking:
    return rank(CATALOGUE, need, prices_of(CATALOGUE, source, usd))


def found(ranking: Ranking, name: str) -> Candidate:
    (one,) = [one for one in ranking.candidates if one.generation.name == name]
    return one


@pytest.mark.parametrize(
    ("bottleneck", "usd"),
    [
        # L40S, 45,776 MiB of which a tenth is free: 43.2 GB; 8 GB weights; 0.1 GB a request.
        # Decode: a step reads all 43.2 GB in 50.0 ms at 864 GB/s, for 352 requests: 7,040/s.
        pytest.param(Bottleneck.DECODE, 1.861 / 3600 / 7040 * 1e6, id="bandwidth"),
        # Prefill: 733 TFLOPS over 16 GFLOP a token: 45,812/s.
        pytest.param(Bottleneck.PREFILL, 1.861 / 3600 / 45_812 * 1e6, id="arithmetic"),
        # KV: 352 requests in memory, each with a token every 100 ms: 3,520/s.
        pytest.param(Bottleneck.KV, 1.861 / 3600 / 3520 * 1e6, id="memory"),
    ],
)
def test_what_a_million_tokens_cost_is_by_hand(bottleneck: Bottleneck, usd: float) -> None:
    one = found(ranked(replace(MODEL_8B, bottleneck=bottleneck)), "l40s")
    assert one.cost == pytest.approx(usd, rel=1e-3)


def test_a_shorter_objective_leaves_smaller_batches() -> None:
    # 30 ms of 864 GB/s are 25.92 GB, less 8 GB of weights: 179.2 requests in 30 ms, 5,973/s.
    one = found(ranked(replace(MODEL_8B, itl_seconds=0.03)), "l40s")
    assert one.cost == pytest.approx(1.861 / 3600 / 5973 * 1e6, rel=1e-3)


@pytest.mark.parametrize(
    ("need", "name", "why"),
    [
        pytest.param(
            Need(parameters=70e9, precision=Precision.FP8), "a100-sxm-80",
            "no fp8 arithmetic", id="precision",
        ),
        pytest.param(
            Need(memory_bytes=100 * GIB, tensor_parallel=2), "l40s",
            "2 GPUs offer 80.4 of 100.0 GiB; 4 hold it", id="memory",
        ),
        pytest.param(
            Need(memory_bytes=100 * GIB, tensor_parallel=8), "gb200",
            "8 GPUs wanted, a node has at most 4", id="count",
        ),
        pytest.param(
            Need(memory_bytes=100 * GIB, excluded=frozenset({"l40s"})), "l40s",
            "excluded by name", id="excluded",
        ),
        pytest.param(
            Need(memory_bytes=100 * GIB, only=frozenset({"l4"})), "l40s",
            "not among the GPU models named", id="not-named",
        ),
        # 8 GB and 0.1 GB of cache at 300 GB/s.
        pytest.param(
            replace(MODEL_8B, itl_seconds=0.02), "l4",
            "a token takes 27 ms, objective 20 ms", id="itl",
        ),
        # 2 x 8e9 x 900 FLOP at 242 TFLOPS.
        pytest.param(
            replace(MODEL_8B, ttft_seconds=0.05), "l4",
            "a prompt takes 0.1 s, objective 0.05 s", id="ttft",
        ),
        pytest.param(
            Need(memory_bytes=10 * GIB), "mi300x",
            "AMD GPUs come by request only (gpu-vendors)", id="vendor",
        ),
        pytest.param(
            Need(parameters=8e9, precision=Precision.AWQ), "v100-sxm2-32",
            "no awq arithmetic", id="awq-before-turing",
        ),
    ],
)  # fmt: skip
def test_who_is_out_says_why(need: Need, name: str, why: str) -> None:
    one = found(ranked(need), name)
    assert one.excluded is not None
    assert (one.excluded.why, one.cost) == (why, None)


MODEL_70B = Need(parameters=70e9, precision=Precision.FP8)


@pytest.mark.parametrize(
    ("gpus", "usd"),
    [
        # NVML reports 143,771 MiB, a tenth free: 135.7 GB each. 70 GB of weights; 1152 tokens
        # of 320 KiB: 377.5 MB a request. Bandwidth 4.8 TB/s each.
        # 1: 174.0 requests, a step reads all in 28.27 ms: 6,155/s for 7.91 $.
        pytest.param(1, 7.91 / 3600 / 6155 * 1e6, id="narrowest"),
        # 2: 533.4 requests in 28.27 ms, and 2 x 655,360 x 2 bytes a token over 450 GB/s: 3.11 ms.
        pytest.param(2, 15.82 / 3600 / 17_002 * 1e6, id="two"),
        # 4: 1,252.2 requests; the ring sends 1.5 times as much: 10.94 ms. 31,935/s.
        pytest.param(4, 31.64 / 3600 / 31_935 * 1e6, id="four"),
    ],
)
def test_what_a_width_costs_is_by_hand(gpus: int, usd: float) -> None:
    one = found(ranked(replace(MODEL_70B, tensor_parallel=gpus)), "h200-sxm")
    assert one.cost == pytest.approx(usd, rel=2e-3)


def test_the_width_is_the_cheapest_for_a_token_unless_a_wider_one_saves_little() -> None:
    ranking = ranked(MODEL_70B)
    h200, h100 = found(ranking, "h200-sxm"), found(ranking, "h100-sxm")
    assert (h200.gpus, [one.gpus for one in h200.others]) == (2, [1, 4, 8])
    assert h200.cost is not None
    costs = {one.gpus: one.cost for one in h200.others}
    assert costs[1] == pytest.approx(0.357, abs=1e-3)
    # Four H100 save a sixth of what a token costs on two; eight cost more again.
    assert (h100.gpus, [one.gpus for one in h100.others]) == (4, [2, 8])


def test_a_wide_replica_of_a_large_model_is_not_hidden_by_the_narrowest_that_holds_it() -> None:
    need = Need(parameters=671e9, active_parameters=37e9, precision=Precision.FP8)
    one = found(ranked(need), "b200")
    assert one.gpus == 8
    (narrow,) = one.others
    assert narrow.cost is not None
    assert one.cost is not None
    assert narrow.cost > 10 * one.cost


def test_widths_divide_the_heads() -> None:
    need = replace(MODEL_70B, attention_heads=28)
    assert {one.gpus for one in found(ranked(need), "h200-sxm").others} == {1, 4}


def test_where_the_narrowest_is_too_slow_a_wider_one_is_ranked() -> None:
    # 70.4 GB at 4.8 TB/s take 14.7 ms on one, 7.3 ms on two.
    need = replace(MODEL_70B, itl_seconds=0.01)
    assert found(ranked(need), "h200-sxm").gpus >= 2
    assert found(ranked(replace(need, tensor_parallel=1)), "h200-sxm").excluded is not None


def test_what_talks_over_pcie_pays_for_it() -> None:
    need = replace(MODEL_70B, tensor_parallel=2, itl_seconds=0.1)
    l40s, nvl = found(ranked(need), "l40s"), found(ranked(need), "h100-nvl")
    assert (l40s.over_pcie, nvl.over_pcie) == (True, False)  # bridges join pairs
    assert found(ranked(replace(need, tensor_parallel=4)), "h100-nvl").over_pcie
    # Four L40S: 271.9 requests, a step reads 172.8 GB in 50.0 ms; their exchange at 32 GB/s is
    # 2 x 655,360 x 2 x 1.5 bytes each: 33.4 ms. 3,260/s for 4 x 2.623 $.
    four = found(ranked(replace(need, tensor_parallel=4)), "l40s")
    assert four.cost == pytest.approx(4 * 2.623 / 3600 / 3260 * 1e6, rel=5e-3)


def test_infinity_fabric_joins_a_board_and_few_of_it_use_few_links() -> None:
    need = replace(MODEL_70B, vendors=frozenset({"amd"}))
    for gpus, links in ((8, 7), (2, 1)):
        one = found(ranked(replace(need, tensor_parallel=gpus), mi300x=4.0), "mi300x")
        assert not one.over_pcie
        sent = 2 * 655_360 * 2 * 2 * (gpus - 1) / gpus
        seconds = exchange_seconds(one.generation, need, gpus, island_gpus=8)
        assert seconds == pytest.approx(sent / (links * 64e9))


def test_long_batches_of_short_requests_run_out_of_arithmetic() -> None:
    # 20 tokens of 320 KiB each: thousands of requests fit, and 140 GFLOP for each of them does not
    # in 100 ms: 100 ms x 1,979 TFLOPS / 140 GFLOP = 1,413 requests.
    need = replace(
        MODEL_70B, prompt_tokens=10, output_tokens=20, tensor_parallel=1, itl_seconds=0.1
    )
    one = found(ranked(need), "h200-sxm")
    assert one.full_requests == pytest.approx(1413, abs=1)


def test_a_replica_is_priced_by_a_machine_that_has_all_its_gpus() -> None:
    prices = prices_of(CATALOGUE, None)
    # g6e.xlarge has one L40S, g6e.12xlarge four, g6e.48xlarge eight.
    assert [prices.of("l40s", gpus) for gpus in (1, 2, 4, 8)] == [1.861, 2.623, 2.623, 3.77]
    assert prices.of("l40s", 16) is None
    assert prices_of(CATALOGUE, None, {"l40s": 0.5}).of("l40s", 8) == 0.5


def test_amd_gpus_are_ranked_where_they_are_asked_for() -> None:
    by_vendor = ranked(replace(MODEL_70B, vendors=frozenset({"amd"})))
    assert [one.generation.name for one in by_vendor.feasible] == ["mi300x"]
    by_name = ranked(replace(MODEL_70B, only=frozenset({"mi300x", "h200-sxm"})))
    assert {one.generation.name for one in by_name.feasible} == {"mi300x", "h200-sxm"}


def test_generations_without_a_device_class_in_the_cluster_are_out() -> None:
    need = replace(MODEL_70B, vendors=frozenset({"amd", "nvidia"}))
    nvidia = frozenset({"gpu.nvidia.com"})
    one = found(rank(CATALOGUE, need, prices_of(CATALOGUE, None), nvidia), "mi300x")
    assert one.excluded is not None
    assert one.excluded.why == "the cluster has no DeviceClass gpu.amd.com"


def test_the_preferred_come_first_and_those_without_a_price_last() -> None:
    need = Need(memory_bytes=20 * GIB, preferred=frozenset({"l4", "mi300x"}))
    names = [one.generation.name for one in ranked(need).feasible]
    # L4 has a price, MI300X none; of the rest the H200 is cheapest for a TB/s. It takes two T4, on
    # a machine that has them.
    assert names[:4] == ["l4", "mi300x", "h200-sxm", "a10g"]
    unpriced = [one.generation.name for one in ranked(need).feasible if one.cost is None]
    assert [*names[:2], *names[-len(unpriced) + 1 :]] == ["l4", *unpriced]


def test_an_operators_price_counts_before_a_list_price() -> None:
    need = Need(memory_bytes=20 * GIB, vendors=frozenset({"nvidia", "amd"}))
    assert found(ranked(need), "l40s").usd_per_gpu_hour == 1.861
    mine = ranked(need, l40s=0.5, mi300x=1.0)
    assert mine.prices == "operator"
    assert found(mine, "l40s").usd_per_gpu_hour == 0.5
    assert found(mine, "mi300x").cost == pytest.approx(1 / 5.3)
    assert found(mine, "t4").usd_per_gpu_hour == 0.978  # two of them: a machine with eight
    assert found(ranked(need, "list", l40s=0.5), "l40s").usd_per_gpu_hour == 1.861


def test_a_source_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(ValueError, match="'gcp' is no source of prices; there is list, aws"):
        prices_of(CATALOGUE, "gcp")
    assert prices_of(CATALOGUE, "aws").of("t4", 1) == 0.526


@pytest.mark.parametrize("bottleneck", Bottleneck)
def test_without_a_model_the_order_is_that_of_foresail_gpus(bottleneck: Bottleneck) -> None:
    need = Need(
        memory_bytes=10 * GIB,
        tensor_parallel=1,
        memory_margin=0,
        bottleneck=bottleneck,
        vendors=frozenset({"nvidia", "amd"}),
    )
    theirs = fleet.catalogue.rank(
        CATALOGUE, fleet.catalogue.Need(memory_gib=10, bottleneck=bottleneck)
    )
    ranking = ranked(need)
    assert [one.generation.name for one in ranking.feasible] == [
        one.generation.name for one in theirs if one.excluded is None
    ]
    assert [one.cost for one in ranking.feasible] == pytest.approx(
        [one.usd_per_unit for one in theirs if one.excluded is None]
    )


_PRICES = st.dictionaries(
    st.sampled_from([one.name for one in CATALOGUE.generations]), st.floats(0.01, 100)
)
_NEEDS = st.builds(
    Need,
    parameters=st.floats(1e8, 2e12),
    precision=st.sampled_from([None, *Precision]),
    bottleneck=st.sampled_from(list(Bottleneck)),
    tensor_parallel=st.sampled_from([None, 1, 2, 8]),
    itl_seconds=st.floats(0.005, 1),
)


@settings(deadline=None)
@given(_NEEDS, _PRICES, st.randoms())
def test_the_order_is_total_and_not_the_catalogues(
    need: Need, usd: dict[str, float], random: object
) -> None:
    ranking = rank(CATALOGUE, need, Prices("test", usd))
    shuffled = list(CATALOGUE.generations)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    other: Catalogue = CATALOGUE.model_copy(update={"generations": tuple(shuffled)})
    assert rank(other, need, Prices("test", usd)) == ranking
    costs = [one.cost for one in ranking.feasible]
    priced = [cost for cost in costs if cost is not None]
    assert costs == sorted(priced) + [None] * (len(costs) - len(priced))
    assert all(cost > 0 for cost in priced)
    assert len(ranking.candidates) == len(CATALOGUE.generations)


@settings(deadline=None)
@given(_NEEDS, st.floats(1.01, 10))
def test_a_dearer_gpu_never_moves_up(need: Need, times: float) -> None:
    known = prices_of(CATALOGUE, None)
    listed = {
        one.name: usd for one in CATALOGUE.generations if (usd := known.of(one.name, 1)) is not None
    }
    before = [one.generation.name for one in rank(CATALOGUE, need, Prices("a", listed)).feasible]
    for name in before:
        dearer = {**listed, name: listed[name] * times} if name in listed else listed
        after = rank(CATALOGUE, need, Prices("b", dearer)).feasible
        assert [o.generation.name for o in after].index(name) >= before.index(name)
