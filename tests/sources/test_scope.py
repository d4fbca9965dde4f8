"""A workload's part of the series, asked for without letting its names become a query."""

import pytest

from scaler.errors import SourceMisconfiguredError
from scaler.sources.catalogue import load
from scaler.sources.scope import Scope, matchers, selector

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
    scope = Scope(model="m", namespace="ns", labels={"team": "t"})
    found = matchers(VLLM, scope, namespace_label="kube_ns", labels={"cluster": "c"})
    assert found == {"model_name": "m", "kube_ns": "ns", "team": "t", "cluster": "c"}


def test_a_namespace_is_not_asked_for_where_series_have_none() -> None:
    found = matchers(VLLM, Scope(model="m", namespace="ns"), namespace_label=None, labels={})
    assert found == {"model_name": "m"}


def test_a_pool_is_not_asked_for_by_model() -> None:
    scope = Scope(model="m", namespace="ns")
    assert matchers(LLM_D, scope, namespace_label="namespace", labels={}) == {"namespace": "ns"}


@pytest.mark.parametrize(
    "label", ['x="y",a', "__name__ ", "", "a-b", "model_name", "namespace", "cluster"]
)
def test_a_triggers_label_can_only_narrow(label: str) -> None:
    scope = Scope(model="m", namespace="ns", labels={label: "other"})
    with pytest.raises(SourceMisconfiguredError):
        matchers(VLLM, scope, namespace_label="namespace", labels={"cluster": "c"})
