"""Tokens by model: whose series count for which label."""

from fleet.tokens import Tokens, tokens_of
from tests.fleet.objects import Object, node, pod, seen


def series(count: object, served: str = "Qwen/Qwen3-32B", pod: str | None = None) -> Object:
    labels = {"model_name": served}
    if pod is not None:
        labels |= {"namespace": "llm", "pod": pod}
    return {"metric": labels, "value": [0, str(count)]}


FLEET = seen(
    node(gpus=8),
    pod("a", gpus=1, labels={"model": "qwen3-32b"}),
    pod("b", gpus=1, labels={"model": "qwen3-32b"}),
    pod("c", gpus=1, labels={"model": "other"}),
)


def test_tokens_count_for_the_label_of_the_pod_that_made_them() -> None:
    generated = [series(100, pod="a"), series(50, pod="b"), series(7, "o", pod="c")]
    prompt = [series(1000, pod="a"), series(500, pod="b"), series(70, "o", pod="c")]

    assert tokens_of((generated, prompt), FLEET) == {
        "qwen3-32b": Tokens(generated=150, prompt=1500),
        "other": Tokens(generated=7, prompt=70),
    }


def test_a_pod_that_is_gone_served_what_the_others_of_that_name_do() -> None:
    generated = [series(100, pod="a"), series(50, pod="gone")]

    assert tokens_of((generated, []), FLEET) == {"qwen3-32b": Tokens(generated=150)}


def test_without_a_pod_the_engines_name_is_the_models() -> None:
    assert tokens_of(([series(100, "qwen3-32b")], []), FLEET) == {
        "qwen3-32b": Tokens(generated=100)
    }


def test_one_name_of_two_labels_is_told_apart_by_the_pods_alone() -> None:
    generated = [series(1, "m", pod="a"), series(2, "m", pod="c"), series(4, "m", pod="gone")]

    assert tokens_of((generated, []), FLEET) == {
        "qwen3-32b": Tokens(generated=1),
        "other": Tokens(generated=2),
        "m": Tokens(generated=4),
    }


def test_a_model_without_a_series_is_unknown_and_one_that_rests_made_none() -> None:
    generated = [series(0, pod="a"), series("NaN", pod="c")]

    assert tokens_of((generated, [series(9, pod="c")]), FLEET) == {"qwen3-32b": Tokens()}
