"""A workload's part of the series, asked for without letting its names become a query."""

import re

import pytest

from scaler.errors import SourceMisconfiguredError
from scaler.scope import Scope
from scaler.sources.catalogue import load
from scaler.sources.selector import matchers, selector

VLLM = load("vllm")
LLM_D = load("llm-d")


@pytest.mark.parametrize(
    ("model", "quoted"),
    [
        ("llama-70b", '"llama-70b"'),
        ('x"} or vector(1) #', r'"x\"} or vector(1) #"'),
        ("back\\slash", r'"back\\slash"'),
        ("two\nlines", r'"two\nlines"'),
        ('\\"', r'"\\\""'),
    ],
)
def test_names_are_quoted(model: str, quoted: str) -> None:
    query = selector({"a": "a", "b": "b"}, {"model_name": model})
    assert query == '{__name__=~"a|b",model_name=' + quoted + "}"


def test_a_workload_is_held_to_its_model_its_namespace_and_the_operators_labels() -> None:
    scope = Scope(model="m", namespace="ns", labels=(("team", "t"),))
    found = matchers(VLLM, scope, namespace_label="kube_ns", labels={"cluster": "c"})
    assert found == {"model_name": "m", "kube_ns": "ns", "team": "t", "cluster": "c"}


def test_a_namespace_is_not_asked_for_where_series_have_none() -> None:
    found = matchers(VLLM, Scope(model="m", namespace="ns"), namespace_label=None, labels={})
    assert found == {"model_name": "m"}


def test_a_pool_is_not_asked_for_by_model() -> None:
    scope = Scope(model="m", namespace="ns")
    assert matchers(LLM_D, scope, namespace_label="namespace", labels={}) == {"namespace": "ns"}


@pytest.mark.parametrize(
    "label",
    ['x="y",a', "__name__", "__name__ ", "", "a-b", "model_name", "namespace", "cluster"],
)
def test_a_triggers_label_can_only_narrow(label: str) -> None:
    scope = Scope(model="m", namespace="ns", labels=((label, "other"),))
    with pytest.raises(SourceMisconfiguredError, match=re.escape(repr(label))):
        matchers(VLLM, scope, namespace_label="namespace", labels={"cluster": "c"})


@pytest.mark.parametrize(
    ("label", "value"), [("model_name", "m"), ("namespace", "ns"), ("cluster", "c")]
)
def test_a_trigger_cannot_name_what_the_source_sets_even_with_the_same_value(
    label: str, value: str
) -> None:
    scope = Scope(model="m", namespace="ns", labels=((label, value),))
    with pytest.raises(SourceMisconfiguredError, match=f"{label!r} holds .* set by the source"):
        matchers(VLLM, scope, namespace_label="namespace", labels={"cluster": "c"})


def test_the_model_of_a_pool_is_not_a_triggers_label_either() -> None:
    scope = Scope(model="m", namespace="ns", labels=(("model_name", "other"),))
    with pytest.raises(SourceMisconfiguredError, match="'model_name' holds the model"):
        matchers(LLM_D, scope, namespace_label="namespace", labels={})


def test_a_triggers_label_given_twice_is_refused() -> None:
    scope = Scope(model="m", namespace="ns", labels=(("team", "a"), ("team", "b")))
    with pytest.raises(SourceMisconfiguredError, match="'team' is given twice"):
        matchers(VLLM, scope, namespace_label="namespace", labels={})


@pytest.mark.parametrize("label", ["namespace", "model_name"])
def test_an_operators_label_cannot_stand_for_the_scope(label: str) -> None:
    with pytest.raises(SourceMisconfiguredError, match=f"label {label!r} holds"):
        matchers(
            VLLM, Scope(model="m", namespace="ns"), namespace_label="namespace", labels={label: "x"}
        )


@pytest.mark.parametrize("parts", [{"namespace": ""}, {"model": ""}])
def test_an_empty_name_is_no_scope(parts: dict[str, str]) -> None:
    with pytest.raises(SourceMisconfiguredError, match="selects nothing"):
        Scope(**parts)


def test_a_series_that_lacks_the_models_label_is_asked_for_beside_the_model() -> None:
    query = selector({"a": "a"}, {"ns": "x"}, one_of={"model_name": ('a.b"', "")})
    # A dot is a dot, and a quote stays inside.
    assert query == r'{__name__=~"a",model_name=~"a\\.b\"|",ns="x"}'
