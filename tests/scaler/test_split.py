"""Replicas of a model over its variants, split by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaler.decision.variants import Variant, reason, split


def variant(  # noqa: PLR0913 - a variant, in short
    name: str,
    dollars: float,
    *,
    worth: float = 1.0,
    held: int = 1,
    ready: int | None = None,
    least: int = 1,
    most: int = 10,
    stuck: int = 0,
) -> Variant:
    """One whose replicas are all ready, unless said otherwise."""
    return Variant(
        name=name, dollars=dollars, worth=worth, held=held, least=least, most=most, stuck=stuck,
        ready=held if ready is None else ready,
    )  # fmt: skip


class TestFilling:
    def test_the_cheapest_is_filled_first_and_the_others_keep_their_minimum(self) -> None:
        assert split(5, [variant("h100", 1), variant("a100", 2)]) == (4, 1)

    def test_what_the_cheapest_cannot_have_goes_to_the_next(self) -> None:
        assert split(8, [variant("h100", 1, most=3), variant("a100", 2)]) == (3, 5)

    def test_replicas_count_by_what_they_serve(self) -> None:
        # 8 needed: 3 of h100 serve 3, and the other 5 take 10 of a100, which serve half.
        assert split(8, [variant("h100", 1, most=3), variant("a100", 2, worth=0.5)]) == (3, 10)

    def test_the_minimum_of_the_dearest_counts_as_served(self) -> None:
        assert split(6, [variant("h100", 1), variant("a100", 2, least=4)]) == (2, 4)

    def test_nobody_has_more_than_the_maximum_where_all_of_it_is_too_little(self) -> None:
        assert split(99, [variant("h100", 1, most=3), variant("a100", 2, most=4)]) == (3, 4)

    def test_without_demand_each_keeps_its_minimum(self) -> None:
        assert split(0, [variant("h100", 1, least=0, held=0), variant("a100", 2, held=0)]) == (0, 1)


class TestDraining:
    def test_the_dearest_is_drained_first(self) -> None:
        held = [variant("h100", 1, held=6), variant("a100", 1.1, held=6)]
        assert split(8, held) == (6, 2)
        assert split(5, held) == (4, 1)

    def test_a_running_replica_goes_only_where_a_cheaper_one_saves_a_fifth(self) -> None:
        def swapped(dollars: float) -> tuple[int, ...]:
            return split(8, [variant("h100", 1, held=2), variant("a100", dollars, held=6, ready=0)])

        assert swapped(1.24) == (2, 6)
        assert swapped(1.26)[0] == 7

    def test_what_is_replaced_stays_until_the_others_are_ready(self) -> None:
        a100 = variant("a100", 2, held=6)
        assert split(8, [variant("h100", 1, held=2), a100]) == (7, 6)
        assert split(8, [variant("h100", 1, held=7, ready=5), a100]) == (7, 3)
        assert split(8, [variant("h100", 1, held=7), a100]) == (7, 1)


class TestOrdersThatDoNotCome:
    def test_they_stay_ordered_and_others_serve_in_their_place(self) -> None:
        h100 = variant("h100", 1, held=6, ready=2, stuck=4, most=6)
        assert split(6, [h100, variant("a100", 2)]) == (6, 4)

    def test_once_they_come_the_others_go(self) -> None:
        h100 = variant("h100", 1, held=6, most=6)
        assert split(7, [h100, variant("a100", 2, held=4)]) == (6, 1)


@st.composite
def variants(draw: st.DrawFn) -> list[Variant]:
    made = []
    for number in range(draw(st.integers(2, 4))):
        least = draw(st.integers(0, 3))
        most = least + draw(st.integers(1, 12))
        held = draw(st.integers(0, 15))
        made.append(
            variant(
                f"v{number}",
                draw(st.sampled_from((1.0, 1.0001, 1.1, 1.24, 1.26, 2.0, 5.0))),
                worth=draw(st.sampled_from((1.0, 0.5, 0.37, 2.1))),
                held=held,
                ready=draw(st.integers(0, held)),
                least=least,
                most=most,
            )
        )
    return made


def after(counts: tuple[int, ...], before: list[Variant]) -> list[Variant]:
    """The same variants, with all that was ordered ready."""
    return [
        variant(
            one.name,
            one.dollars,
            worth=one.worth,
            held=count,
            least=one.least,
            most=one.most,
        )
        for one, count in zip(before, counts, strict=True)
    ]


@given(variants(), st.floats(0, 40))
def test_a_demand_that_stays_moves_replicas_into_place_once_and_never_back(
    given_variants: list[Variant], needed: float
) -> None:
    counts, seen = split(needed, given_variants), []
    for _ in range(6):
        seen.append(counts)
        given_variants = after(counts, given_variants)
        counts = split(needed, given_variants)
    assert seen[3] == seen[4] == seen[5]
    # None that has found its number of replicas loses and regains any.
    for place in range(len(given_variants)):
        own = [counts[place] for counts in seen[1:]]
        assert own == sorted(own, reverse=True)


@given(variants(), st.floats(0, 40))
def test_what_is_needed_is_there_wherever_it_can_be_had(
    given_variants: list[Variant], needed: float
) -> None:
    counts = split(needed, given_variants)
    for one, count in zip(given_variants, counts, strict=True):
        assert one.least <= count <= one.most
    worth = sum(n * one.worth for n, one in zip(counts, given_variants, strict=True))
    could = sum(one.most * one.worth for one in given_variants)
    assert worth >= min(needed, could) - 1e-6


def test_the_split_is_told_the_cheapest_first() -> None:
    both = [variant("a100", 0.71, worth=1.0), variant("h100", 0.52, worth=2.0, most=2)]
    assert reason("llama-70b", 6.0, both, (2, 2)) == (
        "model llama-70b wants 6 replicas of a100: 2 on h100 ($0.52 per M tokens, its most), then "
        "2 on a100 ($0.71 per M tokens)"
    )


def test_a_model_that_wants_more_than_all_can_serve_says_so() -> None:
    both = [variant("a100", 1.0, most=2), variant("h100", 2.0, most=1)]
    assert reason("m", 6.0, both, (2, 1)).endswith("; all of them serve 3.0")


@pytest.mark.parametrize("dollars", [1.0, 1.1, 1.24])
def test_two_of_near_equal_price_never_change_places(dollars: float) -> None:
    for counts in ((6, 2), (2, 6), (4, 4)):
        held = [
            variant("h100", 1.0, held=counts[0]),
            variant("a100", dollars, held=counts[1]),
        ]
        assert split(8, held) == counts
