"""The list as a reader asks for it."""

from dataclasses import replace

from foresail.console.listing import ROWS_MAX, Asked, listed
from foresail.console.records import Level, State, WorkloadRow

CALM = State(level=Level.OK, text="as planned")


def row(name: str, **fields: object) -> WorkloadRow:
    plain = WorkloadRow(
        key=name, namespace="llm", name=name, model="llama", mode="act", demand=1.0,
        planned=1, ready=1, state=CALM, objective_kept=True, usd_per_hour=1.0,
    )  # fmt: skip
    return replace(plain, **fields)  # type: ignore[arg-type]


def names(rows: list[WorkloadRow], asked: Asked) -> list[str]:
    return [one.name for one in listed(rows, asked).rows]


def test_what_needs_somebody_comes_first() -> None:
    bad = State(level=Level.BAD, text="KEDA gets an error")
    late = State(level=Level.WATCH, text="late")
    rows = [row("a"), row("c", state=bad), row("b", state=late)]
    assert names(rows, Asked()) == ["c", "b", "a"]


def test_the_largest_come_first_then_the_smallest_and_the_unknown_always_last() -> None:
    rows = [row("a", demand=5.0), row("b", demand=None), row("c", demand=50.0)]
    asked = Asked().sorted_by("demand")
    assert names(rows, asked) == ["c", "a", "b"]
    assert names(rows, asked.sorted_by("demand")) == ["a", "c", "b"]


def test_names_are_read_from_the_first_on() -> None:
    assert names([row("b"), row("a")], Asked().sorted_by("workload")) == ["a", "b"]


def test_an_unknown_column_changes_nothing() -> None:
    assert Asked().sorted_by("__class__") == Asked()


def test_every_word_must_be_found_in_name_model_mode_or_state() -> None:
    rows = [row("chat"), row("code", model="qwen")]
    assert names(rows, Asked(search="LLM/C qwen")) == ["code"]
    assert names(rows, Asked(search="planned")) == ["chat", "code"]
    assert listed(rows, Asked(search="none")).found == 0


def test_a_page_has_its_rows_and_a_page_beyond_is_the_last() -> None:
    rows = [row(f"{number:04}") for number in range(2 * ROWS_MAX + 1)]
    asked = Asked(column="workload")
    assert names(rows, asked)[0] == "0000"
    beyond = listed(rows, replace(asked, page=99))
    assert [one.name for one in beyond.rows] == [f"{2 * ROWS_MAX:04}"]
    assert (beyond.page, beyond.pages, beyond.found) == (2, 3, 2 * ROWS_MAX + 1)
