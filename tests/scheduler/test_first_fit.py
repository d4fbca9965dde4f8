"""The prediction of the DRA allocator against every choice there is."""

from collections.abc import Sequence
from itertools import combinations, product

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.first_fit import Alternative, Device, Given, MatchAttribute, Request, first_fit

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
