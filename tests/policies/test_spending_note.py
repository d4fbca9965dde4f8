"""What a month has cost outlives the pods of the controller: a ceiling does not begin anew."""

import pytest

from policies.planning.spending import PolicySpending, SpendingBook
from policies.planning.spending_note import NOTE_CHARACTERS_MAX, spending_in, spending_note

MID_MAY = 1_810_000_000.0  # 2027-05-11
LAST_OF_MAY = 1_811_800_000.0  # 2027-05-31 21:46 UTC: it is June east of UTC+2


def spent(usd: float, month: str = "2027-05") -> PolicySpending:
    return PolicySpending(month=month, usd=usd)


def book(**policies: PolicySpending) -> SpendingBook:
    return SpendingBook(policies=policies, at_seconds=MID_MAY)


def test_it_is_read_as_it_was_written_to_the_cent() -> None:
    note = spending_note({"a": spent(12.345), "b": spent(0.0), "c": spent(3.0, "2027-04")})
    assert note == '{"a": ["2027-05", 12.35], "c": ["2027-04", 3.0]}'
    assert spending_in(note) == {"a": spent(12.35), "c": spent(3.0, "2027-04")}
    assert spending_note({"b": spent(0.0)}) == ""


def test_a_note_is_never_too_long_for_an_annotation() -> None:
    many = {f"{number:0253}": spent(number) for number in range(1024)}
    note = spending_note(many)
    assert len(note) < NOTE_CHARACTERS_MAX
    assert min(one.usd for one in spending_in(note).values()) == 768.0


@pytest.mark.parametrize(
    "note",
    [
        "",
        "{",
        "[" * 100_000,
        "[]",
        '{"a": 3}',
        '{"a": ["2027-5", 3]}',
        '{"a": ["2027-05", "3"]}',
        '{"a": ["2027-05", -1]}',
        '{"a": ["2027-05", NaN]}',
        '{"a": ["2027-05", 1e13]}',
        '{"a": ["2027-05", 3]}' + " " * NOTE_CHARACTERS_MAX,
    ],
)
def test_of_anything_else_nothing_is_read(note: str) -> None:
    assert spending_in(note) == {}


@pytest.mark.parametrize(
    ("ours", "theirs", "counts"),
    [
        pytest.param({}, spent(5.0), spent(5.0), id="a start without a state"),
        pytest.param({"a": spent(4.0)}, spent(5.0), spent(5.0), id="theirs is more"),
        pytest.param({"a": spent(6.0)}, spent(5.0), spent(6.0), id="ours is more"),
        pytest.param({"a": spent(6.0)}, spent(9.0, "2027-04"), spent(6.0), id="of a month before"),
        pytest.param({"a": spent(9.0, "2027-04")}, spent(1.0), spent(1.0), id="ours is of before"),
        pytest.param({"a": spent(6.0)}, spent(1.0, "2027-06"), spent(6.0), id="not begun anywhere"),
    ],
)
def test_the_larger_sum_of_the_month_counts(
    ours: dict[str, PolicySpending], theirs: PolicySpending, counts: PolicySpending
) -> None:
    before = book(**ours)
    assert before.at_least({"a": theirs}, MID_MAY).policies == {"a": counts}


def test_a_month_that_has_begun_in_the_east_counts() -> None:
    june = spent(1.0, "2027-06")
    assert book(a=spent(6.0)).at_least({"a": june}, LAST_OF_MAY).policies == {"a": june}


def test_what_was_taken_stays_in_the_month_and_ends_with_it() -> None:
    fresh = SpendingBook().at_least({"a": spent(5.0)}, MID_MAY)
    zones = {"a": "UTC"}
    assert fresh.passed(zones, MID_MAY + 60).policies == {"a": spent(5.0)}
    assert fresh.passed(zones, MID_MAY + 31 * 86_400).policies == {"a": spent(0.0, "2027-06")}
