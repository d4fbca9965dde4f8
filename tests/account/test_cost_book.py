"""What a model's tokens cost, and a book of costs that survives a restart."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.account.cost_book import CostBook, TokenCost, token_costs
from fleet.account.cost_samples import LABELS, RESERVED_USD, UNPRICED, USD, samples
from fleet.account.cost_state import FORMAT, STATE_BYTES_MAX, CostStateError, decoded, encoded
from fleet.account.gpu_hours import SERIES_MAX, Cost, GpuHours, Series, hourly_costs
from fleet.annotations import PRICE
from fleet.reasons import Reason
from fleet.tokens import MODELS_MAX, Tokens
from tests.fleet.objects import H100, Object, node, pod, seen

POOL = H100 | {"karpenter.sh/nodepool": "big"}
AT_4_USD = {PRICE: "4"}
MINUTE = 60.0


def ready(one: Object) -> Object:
    one["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
    return one


CHAT, CODE = {"model": "chat"}, {"model": "code"}
FLEET = seen(
    node("n1", labels=POOL, gpus=8, annotations=AT_4_USD),
    ready(pod("a", gpus=2, labels=CHAT)),
    pod("b", gpus=1, labels=CHAT),  # its start costs the model too
    node("n2", gpus=4),
    ready(pod("c", "n2", gpus=4, labels=CODE)),
)


def test_tokens_cost_what_the_pods_of_their_model_do() -> None:
    tokens = {"chat": Tokens(generated=2e6, prompt=6e6), "code": Tokens(generated=1e6)}
    book = CostBook().read(FLEET, 0.0).read(FLEET, 6 * MINUTE, tokens=tokens)

    (chat,) = book.models.values()  # the node of the other has no price

    assert chat.usd == pytest.approx(1.2)  # 3 GPUs for $4 a tenth of an hour
    assert chat.usd_per_million_generated == pytest.approx(0.6)
    assert chat.usd_per_million == pytest.approx(0.15)


def test_time_in_which_the_tokens_are_unknown_costs_nothing_here() -> None:
    book = CostBook().read(FLEET, 0.0)
    book = book.read(FLEET, 6 * MINUTE, tokens={"chat": Tokens(generated=1e6)})
    book = book.read(FLEET, 9 * MINUTE, tokens={})
    book = book.read(FLEET, 12 * MINUTE, tokens={"chat": Tokens(generated=1e6)})

    assert book.models["chat"].usd == pytest.approx(1.8)  # 9 of the 12 minutes
    assert book.models["chat"].tokens.generated == 2e6


LOADS = seen(node("n1", labels=POOL, gpus=8, annotations=AT_4_USD), pod("a", gpus=8, labels=CHAT))
SERVES = seen(
    node("n1", labels=POOL, gpus=8, annotations=AT_4_USD), ready(pod("a", gpus=8, labels=CHAT))
)
EMPTY = seen(node("n1", labels=POOL, gpus=8, annotations=AT_4_USD))


def test_each_start_from_zero_costs_the_model_whose_tokens_come_after_it() -> None:
    book, tokens = CostBook(), {"chat": Tokens(generated=1e6)}
    for begin in (0, 60):  # each hour ten minutes of load, twenty that serve, and none
        for minute in range(0, 60, 5):
            fleet = LOADS if minute < 10 else SERVES if minute < 30 else EMPTY
            now = (begin + minute) * MINUTE
            book = book.read(fleet, now, tokens=tokens if 10 < minute <= 30 else {})
            if minute == 10 and begin == 0:
                assert book.models == {}  # it may never be known what it makes

    assert book.models["chat"].usd == pytest.approx(2 * 16)  # 8 GPUs for $4 half an hour
    assert book.models["chat"].tokens.generated == 8e6


def test_a_load_of_which_the_tokens_are_unknown_is_not_one_without_tokens() -> None:
    book = CostBook().read(LOADS, 0.0).read(SERVES, 5 * MINUTE)  # no Prometheus answered
    book = book.read(SERVES, 10 * MINUTE, tokens={"chat": Tokens(generated=1e6)})

    assert book.models["chat"].usd == pytest.approx(32 / 12)


def test_pods_that_are_ready_and_have_no_series_cost_no_tokens() -> None:
    book = CostBook().read(SERVES, 0.0).read(SERVES, 5 * MINUTE, tokens={})
    book = book.read(SERVES, 10 * MINUTE, tokens={"chat": Tokens(generated=1e6)})

    assert book.models["chat"].usd == pytest.approx(32 / 12)


@pytest.mark.parametrize("now", [-60.0, 0.0, 3600.0])
def test_time_in_which_the_dollars_are_unknown_has_no_tokens_here(now: float) -> None:
    """The clock was set back, or nobody read for an hour."""
    book = CostBook().read(FLEET, 0.0).read(FLEET, now, tokens={"chat": Tokens(generated=1.0)})

    assert book.models == {}


def test_a_model_that_generated_nothing_has_no_price_of_a_token() -> None:
    cost = TokenCost(usd=5.0, tokens=Tokens(prompt=2e6))

    assert (cost.usd_per_million_generated, cost.usd_per_million) == (None, 2.5)


@pytest.mark.parametrize(
    ("labels", "units", "usd"),
    [
        pytest.param({"nvidia.com/gpu.replicas": "4"}, {"gpus": 32}, 1.0, id="time-slicing"),
        pytest.param({}, {"nvidia.com/mig-3g.40gb": 4}, 2.0, id="mig"),
    ],
)
def test_a_part_of_a_gpu_costs_its_part(
    labels: dict[str, str], units: dict[str, int], usd: float
) -> None:
    (name,) = units
    shared = node(labels=POOL | labels, annotations=AT_4_USD, **units)
    one = ready(pod("a", labels=CHAT, **{name: 1}))

    costs = token_costs(hourly_costs(seen(shared, one), {}), 3600, {"chat": Tokens()})

    assert costs["chat"].usd == pytest.approx(usd)


def test_models_are_bounded() -> None:
    fleet = seen(
        node("n1", labels=POOL, gpus=MODELS_MAX + 8, annotations=AT_4_USD),
        *(pod(f"p{at}", gpus=1, labels={"model": f"m{at}"}) for at in range(MODELS_MAX + 8)),
    )
    tokens = {f"m{at}": Tokens(generated=1.0) for at in range(MODELS_MAX + 8)}

    book = CostBook().read(fleet, 0.0).read(fleet, MINUTE, tokens=tokens)

    assert len(book.models) == MODELS_MAX


NAMES = st.one_of(st.none(), st.text(max_size=8))
COSTS = st.builds(Cost, **dict.fromkeys(Cost.__slots__, st.floats(0, 1e12)))
SERIES = st.builds(
    Series,
    cluster=st.text(max_size=8),
    pool=NAMES,
    generation=NAMES,
    reason=st.sampled_from(Reason),
    model=NAMES,
)


@given(
    totals=st.dictionaries(SERIES, COSTS, max_size=4),
    hourly=st.dictionaries(SERIES, COSTS, max_size=4),
    at_seconds=st.one_of(st.none(), st.floats(-1e12, 1e12)),
    usd=st.floats(0, 1e12),
)
def test_a_book_reads_as_it_was_written(
    totals: dict[Series, Cost], hourly: dict[Series, Cost], at_seconds: float | None, usd: float
) -> None:
    book = CostBook(
        gpu_hours=GpuHours(
            totals=totals, hourly=hourly, first_seconds=at_seconds, at_seconds=at_seconds
        ),
        models={"chat": TokenCost(usd=usd, tokens=Tokens(generated=1.5, prompt=2.0))},
    )

    assert decoded(encoded(book)) == book


def test_the_largest_book_can_be_written_and_read() -> None:
    name = "é" * 63
    fleet = seen(
        *(
            node(f"n{at}", labels=POOL | {"karpenter.sh/nodepool": f"{at}{name}"}, gpus=2)
            for at in range(SERIES_MAX)
        ),
        *(pod(f"p{at}", f"n{at}", gpus=1, labels={"model": f"{at}{name}"}) for at in range(600)),
    )
    book = CostBook().read(fleet, 0.0).read(fleet, 3600.0)
    content = encoded(book)

    assert len(content) < STATE_BYTES_MAX / 2
    assert decoded(content) == book


def _state(**changed: object) -> bytes:
    never = {"first_seconds": None, "at_seconds": None}
    empty = {"format": FORMAT, **never, "totals": [], "hourly": [], "models": []}
    return json.dumps(empty | changed).encode()


ROW = {
    "cluster": "c", "pool": None, "generation": None, "reason": "serving", "model": None,
    "gpu_hours": 1, "usd": 1, "unpriced_gpu_hours": 0, "reserved_usd": 0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("content", "why"),
    [
        pytest.param(b"", "Invalid JSON", id="empty"),
        pytest.param(b"\xff\xfe", "Invalid JSON", id="not-text"),
        pytest.param(b"{}", "format: Field required", id="something-else"),
        pytest.param(_state(format=2, more=1), "format 2; this program reads 1", id="newer"),
        pytest.param(_state(totals=[ROW | {"usd": -1}]), "totals.0.usd: ", id="below-zero"),
        pytest.param(_state(totals=[ROW | {"usd": 1e308}]), "totals.0.usd: ", id="no-sum-of-it"),
        pytest.param(_state(totals=[ROW | {"reason": "x"}]), "totals.0.reason: ", id="no-reason"),
        pytest.param(_state()[:-9], "Invalid JSON", id="cut-off"),
        pytest.param(_state(totals=[ROW] * (SERIES_MAX + 99)), "totals: ", id="too-many"),
        pytest.param(b" " * (STATE_BYTES_MAX + 1), "over 16777216 bytes", id="too-large"),
    ],
)
def test_bytes_that_are_no_book_are_refused_with_the_reason(content: bytes, why: str) -> None:
    with pytest.raises(CostStateError, match=why):
        decoded(content)


def test_the_bytes_that_were_checked_above_are_a_book_otherwise() -> None:
    assert decoded(_state(totals=[ROW])).gpu_hours.totals


def test_samples_sum_over_models_and_name_pool_generation_and_reason() -> None:
    book = CostBook().read(FLEET, 0.0).read(FLEET, 6 * MINUTE)

    found = {
        (one.name.removeprefix("foresail_"), one.labels): one.value
        for one in samples(book.gpu_hours)
    }

    assert LABELS == ("pool", "generation", "reason")
    h100, unknown = "h100-sxm", ""
    assert found == {
        ("gpu_hours_total", ("big", h100, "serving")): pytest.approx(0.2),
        ("gpu_cost_usd_total", ("big", h100, "serving")): pytest.approx(0.8),
        ("gpu_hours_total", ("big", h100, "veto")): pytest.approx(0.1),
        ("gpu_cost_usd_total", ("big", h100, "veto")): pytest.approx(0.4),
        ("gpu_hours_total", ("big", h100, "fragmentation")): pytest.approx(0.5),
        ("gpu_cost_usd_total", ("big", h100, "fragmentation")): pytest.approx(2.0),
        ("gpu_hours_total", ("", unknown, "serving")): pytest.approx(0.4),
        ("gpu_cost_usd_total", ("", unknown, "serving")): 0.0,
        ("gpu_hours_unpriced_total", ("", unknown, "serving")): pytest.approx(0.4),
    }


def test_no_counter_falls_from_reading_to_reading() -> None:
    reserved = POOL | {"karpenter.sh/capacity-type": "reserved"}
    fleets = [FLEET, seen(node(labels=reserved, gpus=8, annotations=AT_4_USD)), seen(), FLEET]
    book, before, names = CostBook(), {}, set()
    for at, fleet in enumerate(fleets):
        book = book.read(fleet, 60.0 * at)
        now = {(one.name, one.labels): one.value for one in samples(book.gpu_hours)}
        assert all(now[key] >= value for key, value in before.items())
        before = now
        names |= {name for name, _ in now}

    assert {USD, RESERVED_USD, UNPRICED} <= names
