"""Presets are data: found by name, complete, and wrong ones say where."""

import pytest

from fleet.series_names import spellings
from scaler.signals import Signal
from scaler.sources import catalogue

GOOD = """
engine: x
about: x
read_at: "1"
model_label: model
series_labels: []
survives_zero: false
signals: {waiting: {series: [{name: "x:waiting"}]}}
replica_prior:
  {prompt_tokens_per_second: 1, generated_tokens_per_second: 1, concurrent_requests: 1, why: x}
"""


@pytest.mark.parametrize("name", catalogue.shipped())
def test_a_shipped_preset_tells_demand_and_capacity(name: str) -> None:
    preset = catalogue.load(name)
    assert preset.engine == name
    needed = {Signal.WAITING, Signal.RUNNING, Signal.PROMPT_TOKENS, Signal.GENERATED_TOKENS}
    assert needed <= preset.signals.keys()
    assert preset.replica_prior is not None
    assert preset.replica_prior.why


def test_only_what_stands_before_the_replicas_can_speak_without_one() -> None:
    surviving = {name for name in catalogue.shipped() if catalogue.load(name).survives_zero}
    assert surviving == {"llm-d", "dynamo", "litellm", "opentelemetry"}


def test_an_unknown_preset_is_answered_with_the_known() -> None:
    with pytest.raises(catalogue.PresetError, match=r"no engine preset 'vlm'; .*llm-d, .*vllm"):
        catalogue.load("vlm")


@pytest.mark.parametrize("name", ["../presets/vllm", "", "vllm.yaml", "/etc/passwd"])
def test_a_preset_is_a_name_and_not_a_path(name: str) -> None:
    with pytest.raises(catalogue.PresetError, match="no engine preset"):
        catalogue.load(name)


@pytest.mark.parametrize(
    ("good", "bad", "place"),
    [
        ("engine: x", "engin: x", "line 2: engin: Extra inputs"),
        ('"x:waiting"', '"x waiting"', "signals.waiting.series.0.name"),
        ("waiting:", "wating:", "signals.wating"),
        ("series_labels: []", "series_labels: [", "not YAML"),
        ("series_labels: []", "engine: x\nseries_labels: []", "key 'engine' is on line"),
        (
            '[{name: "x:waiting"}]',
            "[{name: x, kind: histogram}, {name: y}]",
            "signals.waiting: a signal is read from histograms or",
        ),
    ],
    ids=[
        "unknown key",
        "no series name",
        "unknown signal",
        "no YAML",
        "a key twice",
        "mixed kinds",
    ],
)
def test_a_fault_in_a_preset_is_named_with_its_place(good: str, bad: str, place: str) -> None:
    catalogue.parse(GOOD, name="mine")
    assert good in GOOD
    with pytest.raises(catalogue.PresetError) as caught:
        catalogue.parse(GOOD.replace(good, bad), name="mine")
    assert "engine preset 'mine'" in str(caught.value)
    assert place in str(caught.value)


@pytest.mark.parametrize(
    ("name", "spelled"),
    [
        ("llm_d_epp_ready_endpoints", {"llm_d_epp_ready_endpoints"}),
        ("vllm:x", {"vllm:x", "vllm_x", "ray_vllm_x", "ray_vllm:x"}),
        (
            "vllm:x_total",
            {
                "vllm:x_total",
                "vllm_x_total",
                "ray_vllm_x_total",
                "ray_vllm:x_total",
                "ray_vllm_x",
                "ray_vllm:x",
            },
        ),
    ],
    ids=["no colon", "gauge", "counter"],
)
def test_spellings_follow_from_the_one_name(name: str, spelled: set[str]) -> None:
    assert set(spellings(name)) == spelled


def test_no_two_series_share_a_spelling() -> None:
    for name in catalogue.shipped():
        preset = catalogue.load(name)
        own = set(preset.spelled.values())
        assert sum(len(spellings(each)) for each in own) == len(preset.spelled)


def test_the_past_is_read_without_buckets_but_with_the_mean_time_between_tokens() -> None:
    preset = catalogue.load("vllm")
    assert preset.spelled
    lean = preset.without_buckets()
    assert preset.signals.keys() - lean.signals.keys() == {Signal.TTFT}
    assert {
        "vllm:inter_token_latency_seconds_count",
        "vllm:inter_token_latency_seconds_sum",
    } <= lean.spelled.keys()
    assert not any(name.endswith("_bucket") for name in lean.spelled)


def test_a_preset_of_latency_sums_has_no_buckets_to_leave_out() -> None:
    sums = catalogue.load("vllm").with_latency_sums()

    assert sums.without_buckets().signals == sums.signals
