"""The order of generations for a need, by hand, and why others are out."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fleet.catalogue
from fleet.catalogue import Bottleneck, Catalogue, Precision, shipped
from scheduler.need import Need
from scheduler.ranking import Candidate, Prices, Ranking, prices_of, rank

CATALOGUE = shipped()
GIB = 2.0**30
MODEL_8B = Need(
    parameters=8e9, precision=Precision.FP8, kv_token_bytes=1e5, prompt_tokens=900,
    output_tokens=200, tensor_parallel=1,
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
            "memory: 44.7 of 55.6 GiB on each of 2", id="memory",
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
    ],
)  # fmt: skip
def test_who_is_out_says_why(need: Need, name: str, why: str) -> None:
    one = found(ranked(need), name)
    assert (one.excluded, one.cost) == (why, None)


def test_the_fewest_gpus_that_hold_the_model_are_taken() -> None:
    ranking = ranked(Need(parameters=70e9, precision=Precision.FP8))
    widths = {one.generation.name: one.gpus for one in ranking.feasible}
    assert (widths["b200"], widths["h200-sxm"], widths["h100-sxm"], widths["l4"]) == (1, 1, 2, 4)


def test_the_preferred_come_first_and_those_without_a_price_last() -> None:
    need = Need(memory_bytes=20 * GIB, preferred=frozenset({"l4", "mi300x"}))
    names = [one.generation.name for one in ranked(need).feasible]
    # L4 has a price, MI300X none; of the rest the H200 is cheapest for a TB/s, and T4 before it.
    assert names[:4] == ["l4", "mi300x", "t4", "h200-sxm"]
    unpriced = [one.generation.name for one in ranked(need).feasible if one.cost is None]
    assert [*names[:2], *names[-len(unpriced) + 1 :]] == ["l4", *unpriced]


def test_an_operators_price_counts_before_a_list_price() -> None:
    need = Need(memory_bytes=20 * GIB)
    assert found(ranked(need), "l40s").usd_per_gpu_hour == 1.861
    mine = ranked(need, l40s=0.5, mi300x=1.0)
    assert mine.prices == "operator"
    assert found(mine, "l40s").usd_per_gpu_hour == 0.5
    assert found(mine, "mi300x").cost == pytest.approx(1 / 5.3)
    assert found(mine, "t4").usd_per_gpu_hour == 0.526
    assert found(ranked(need, "list", l40s=0.5), "l40s").usd_per_gpu_hour == 1.861


def test_a_source_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(ValueError, match="'gcp' is no source of prices; there is list, aws"):
        prices_of(CATALOGUE, "gcp")
    assert prices_of(CATALOGUE, "aws").usd_per_gpu_hour["t4"] == 0.526


@pytest.mark.parametrize("bottleneck", Bottleneck)
def test_without_a_model_the_order_is_that_of_foresail_gpus(bottleneck: Bottleneck) -> None:
    need = Need(memory_bytes=10 * GIB, tensor_parallel=1, memory_margin=0, bottleneck=bottleneck)
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
    listed = prices_of(CATALOGUE, None).usd_per_gpu_hour
    before = [one.generation.name for one in rank(CATALOGUE, need, Prices("a", listed)).feasible]
    for name in before:
        dearer = {**listed, name: listed[name] * times} if name in listed else listed
        after = rank(CATALOGUE, need, Prices("b", dearer)).feasible
        assert [o.generation.name for o in after].index(name) >= before.index(name)
