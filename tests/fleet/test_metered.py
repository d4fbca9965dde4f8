"""What meters say of tokens and dollars: their rows to models, and models to pods' labels."""

import pytest

from fleet.langsmith import groups_of
from fleet.metered import Metered, Window, by_label, metered, summed
from fleet.tokens import Tokens


def of(generated: float, prompt: float, usd: float | None = None) -> Metered:
    return Metered(tokens=Tokens(generated=generated, prompt=prompt), usd=usd)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param((1000, 500, 1500, 0.5), of(500, 1000, 0.5), id="numbers"),
        pytest.param(("1000", "500", "1500", "0.5"), of(500, 1000, 0.5), id="texts"),
        pytest.param((100, 500, 1500, 0.5), of(500, 1000, 0.5), id="cached-prompt-in-the-total"),
        pytest.param((None, None, 1500, None), of(0, 1500), id="a-total-alone"),
        pytest.param((1000, 500, 1500, 0), of(500, 1000), id="no-price"),
        pytest.param((0, 0, 0, 0.5), None, id="no-usage-is-not-0-tokens"),
        pytest.param(("NaN", -5, True, 1), None, id="no-numbers"),
        pytest.param((1e300, 5, [], 1e300), of(5, 0), id="absurd"),
    ],
)
def test_tokens_of_a_model_are_known_or_left_out(
    given: tuple[object, ...], expected: Metered | None
) -> None:
    prompt, generated, total, usd = given
    assert metered(prompt=prompt, generated=generated, total=total, usd=usd) == expected


def test_a_model_without_a_name_is_none_and_a_long_name_is_cut() -> None:
    found = summed([(None, of(1, 1)), ("", of(1, 1)), ("x" * 999, of(1, 2)), ("x" * 300, of(4, 8))])
    assert found == {"x" * 256: of(5, 10)}


def test_a_name_with_a_slash_is_the_one_label_that_is_called_so() -> None:
    found = {
        "Qwen/Qwen3-32B": of(1, 2, 3),
        "qwen3-32b": of(10, 20),
        "a/Twice": of(100, 0),
        "gpt-x": of(1000, 0),
        "org/Llama": of(1, 1, 0.5),
        "other/LLAMA": of(2, 2, 0.25),
    }
    assert by_label(found, ["qwen3-32b", "twice", "TWICE", "llama"]) == {
        # 3 dollars are of 3 tokens, and what the other 30 cost is unknown.
        "qwen3-32b": of(11, 22),
        "llama": of(3, 3, 0.75),
        "a/Twice": of(100, 0),
        "gpt-x": of(1000, 0),
    }


def test_halves_of_a_time_share_no_moment() -> None:
    whole = Window(begin_ms=0, end_ms=9)
    assert whole.halves() == (Window(begin_ms=0, end_ms=4), Window(begin_ms=5, end_ms=9))


def test_statistics_of_all_runs_together_are_of_no_model() -> None:
    assert groups_of({"run_count": 3, "prompt_tokens": 5}) is None
    assert groups_of({}) == {}
