"""The prediction of the DRA allocator against every choice there is."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.cluster.fields import Taint, Toleration
from scheduler.first_fit import (
    Alternative,
    Device,
    Given,
    MatchAttribute,
    Request,
    Search,
    Steps,
    UnpredictableError,
    first_fit,
)

PRODUCT = "gpu.nvidia.com/productName"


def devices(*products: str, free: Sequence[int] | None = None) -> list[Device]:
    return [
        Device(
            driver="gpu.nvidia.com", pool="node-a", slice="slice-0", index=at, name=f"gpu-{at}",
            attributes={PRODUCT: product}, is_free=free is None or at in free,
        )
        for at, product in enumerate(products)
    ]  # fmt: skip


def exactly(product: str | None = None, *, count: int | None = 1, name: str = "gpu") -> Request:
    def matches(device: Device) -> bool:
        return product is None or device.attributes.get(PRODUCT) == product

    return Request(name=name, alternatives=(Alternative(name="", matches=matches, count=count),))


def names(given_: tuple[Given, ...] | None) -> list[str] | None:
    return None if given_ is None else [one.device.name for one in given_]


def test_the_first_free_devices_are_given() -> None:
    assert names(first_fit(devices("h", "h", "h", free=[1, 2]), [exactly(count=2)])) == [
        "gpu-1",
        "gpu-2",
    ]


def test_the_first_alternative_that_fits_is_taken() -> None:
    request = Request(
        name="gpu",
        alternatives=(
            Alternative(name="b200", matches=lambda d: d.attributes[PRODUCT] == "b"),
            Alternative(name="h100", matches=lambda d: d.attributes[PRODUCT] == "h"),
        ),
    )
    given_ = first_fit(devices("a", "h", "h"), [request])
    assert given_ is not None
    assert [(one.alternative, one.device.name) for one in given_] == [("h100", "gpu-1")]


def test_one_attribute_for_all_skips_a_mixed_beginning() -> None:
    same = MatchAttribute(attribute=PRODUCT)
    assert names(first_fit(devices("a", "h", "h"), [exactly(count=2)], [same])) == [
        "gpu-1",
        "gpu-2",
    ]
    assert first_fit(devices("a", "h"), [exactly(count=2)], [same]) is None


def test_all_devices_means_none_of_them_in_use() -> None:
    every = exactly(count=None)
    assert names(first_fit(devices("h", "h"), [every])) == ["gpu-0", "gpu-1"]
    assert first_fit(devices("h", "h", free=[0]), [every]) is None


def test_a_later_request_sends_the_search_back() -> None:
    # The first request could take the only "a", which the second one needs.
    requests = [exactly(name="any"), exactly("a", name="a")]
    assert names(first_fit(devices("a", "h"), requests)) == ["gpu-1", "gpu-0"]


@st.composite
def _cases(
    draw: st.DrawFn,
) -> tuple[list[Device], list[tuple[tuple[str | None, int], ...]], bool]:
    products = draw(st.lists(st.sampled_from("abc"), min_size=0, max_size=6))
    free = draw(st.sets(st.integers(0, 5)))
    alternative = st.tuples(st.sampled_from([None, "a", "b", "c"]), st.integers(1, 3))
    requests = draw(
        st.lists(st.lists(alternative, min_size=1, max_size=2).map(tuple), min_size=1, max_size=3)
    )
    return devices(*products, free=sorted(free)), requests, draw(st.booleans())


@settings(max_examples=400, deadline=None)
@given(_cases())
def test_it_is_the_first_of_all_choices_in_the_allocators_order(
    case: tuple[list[Device], list[tuple[tuple[str | None, int], ...]], bool],
) -> None:
    pool, wanted, one_product = case
    requests = [
        Request(
            name=f"r{at}",
            alternatives=tuple(
                Alternative(
                    name=str(place),
                    matches=lambda d, p=product: p is None or d.attributes[PRODUCT] == p,
                    count=count,
                )
                for place, (product, count) in enumerate(alternatives)
            ),
        )
        for at, alternatives in enumerate(wanted)
    ]
    constraints = [MatchAttribute(attribute=PRODUCT)] if one_product else []
    assert names(first_fit(pool, requests, constraints)) == _first_of_all(
        pool, wanted, one_product=one_product
    )


def _first_of_all(
    pool: list[Device], wanted: list[tuple[tuple[str | None, int], ...]], *, one_product: bool
) -> list[str] | None:
    """Write down every choice, and sort them as a depth-first search would meet them."""
    found = []
    for places in product(*(range(len(alternatives)) for alternatives in wanted)):
        choices = [
            [
                chosen
                for chosen in combinations(range(len(pool)), count)
                if all(
                    pool[at].is_free and (model is None or pool[at].attributes[PRODUCT] == model)
                    for at in chosen
                )
            ]
            for model, count in (wanted[r][place] for r, place in enumerate(places))
        ]
        for chosen in product(*choices):
            flat = [at for part in chosen for at in part]
            models = {pool[at].attributes[PRODUCT] for at in flat}
            if len(set(flat)) == len(flat) and (not one_product or len(models) <= 1):
                key = [
                    x for place, part in zip(places, chosen, strict=True) for x in (place, *part)
                ]
                found.append((key, [pool[at].name for at in flat]))
    return min(found)[1] if found else None


def test_equal_requests_are_counted_and_not_tried_in_every_order() -> None:
    # Eight requests of one GPU each, on a node with seven free: 13,700 orders lead nowhere.
    looked: list[str] = []

    def matches(device: Device) -> bool:
        looked.append(device.name)
        return True

    requests = [
        Request(name=f"r{at}", alternatives=(Alternative(name="", matches=matches),))
        for at in range(8)
    ]
    assert first_fit(devices(*"hhhhhhhh", free=range(1, 8)), requests) is None
    assert len(looked) == 8 * 8
    given_ = first_fit(devices(*"hhhhhhhh"), requests)
    assert names(given_) == [f"gpu-{at}" for at in range(8)]


def test_a_choice_that_failed_is_not_tried_in_another_order() -> None:
    # Of six "h" any five may go first, but the last request finds no two alike beside them.
    pool = [*devices(*"hhhhhh"), *devices("a", "b")]
    pool = [replace(one, index=at, name=f"gpu-{at}") for at, one in enumerate(pool)]
    same = MatchAttribute(attribute=PRODUCT, requests=frozenset({"pair"}))
    requests = [*(exactly("h", name=f"r{at}") for at in range(5)), exactly(count=2, name="pair")]
    steps = Steps(1000)
    search = Search(pool, requests, [same])
    assert search.first(0b1111_1111, steps) is None
    assert steps.left > 0  # 6 x 5 x 4 x 3 x 2 orders would be more


TAINT = Taint(key="example.com/unhealthy", value="ecc", effect="NoSchedule")


@pytest.mark.parametrize(
    ("toleration", "is_given"),
    [
        pytest.param(None, False, id="none"),
        pytest.param(Toleration(operator="Exists"), True, id="everything"),
        pytest.param(Toleration(key=TAINT.key, operator="Exists"), True, id="the-key"),
        pytest.param(Toleration(key=TAINT.key, value="ecc"), True, id="the-value"),
        pytest.param(Toleration(key=TAINT.key, value="other"), False, id="another-value"),
        pytest.param(
            Toleration(key=TAINT.key, operator="Exists", effect="NoExecute"),
            False,
            id="another-effect",
        ),
    ],
)
def test_a_tainted_device_is_given_to_whoever_tolerates_it(
    toleration: Toleration | None, *, is_given: bool
) -> None:
    first, second = devices("h", "h")
    tolerations = () if toleration is None else (toleration,)

    def asking(count: int | None) -> Request:
        alternative = Alternative(
            name="", matches=lambda _: True, count=count, tolerations=tolerations
        )
        return Request(name="r", alternatives=(alternative,))

    pool = [replace(first, taints=(TAINT,)), second]
    assert names(first_fit(pool, [asking(1)])) == (["gpu-0"] if is_given else ["gpu-1"])
    assert names(first_fit(pool, [asking(None)])) == (["gpu-0", "gpu-1"] if is_given else None)


def test_a_taint_without_effect_keeps_nobody_away() -> None:
    (first,) = devices("h")
    pool = [replace(first, taints=(replace(TAINT, effect="None"),))]
    assert names(first_fit(pool, [exactly()])) == ["gpu-0"]


def test_a_device_that_cannot_be_foretold_matters_only_where_the_search_comes_to_it() -> None:
    first, second = devices("h", "h")
    odd = "it shares counters with other devices"
    after = [first, replace(second, unpredictable=odd)]
    assert names(first_fit(after, [exactly()])) == ["gpu-0"]
    for pool, request in (
        ([replace(first, unpredictable=odd), second], exactly()),
        (after, exactly(count=2)),
        (after, exactly(count=None)),
    ):
        with pytest.raises(UnpredictableError, match="shares counters"):
            first_fit(pool, [request])
