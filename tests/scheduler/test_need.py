"""A need: how it is written, what is wrong with it, and what it comes to."""

import string
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.catalogue import Bottleneck, Precision, shipped
from scheduler.need import Need, kv_token_bytes
from scheduler.need_annotations import FIELDS, MISSPELT_MAX, NeedError, annotated, misspelt

CATALOGUE = shipped()
GIB = 2**30


def of(**facts: str) -> Need | None:
    """The need of a pod with these facts in its annotations."""
    told = {f"foresail.io/{key.replace('_', '-')}": text for key, text in facts.items()}
    return annotated({"team": "chat", **told}, CATALOGUE)


def outcome(annotations: dict[str, object]) -> Need | str | None:
    """The need of a pod, or what is wrong with it."""
    try:
        return annotated(annotations, CATALOGUE)
    except NeedError as error:
        return str(error)


def test_a_pod_that_states_no_size_has_no_need() -> None:
    assert annotated({}, CATALOGUE) is None
    assert of(gpu_models="h100-sxm", weights="qwen3-32b") is None


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        pytest.param("70B", 70e9, id="as-models-are-named"),
        pytest.param("0.6B", 0.6e9, id="a-part"),
        pytest.param("70e9", 70e9, id="number"),
        pytest.param("70G", 70e9, id="quantity"),
    ],
)
def test_a_count_of_parameters_is_read(text: str, parameters: float) -> None:
    need = of(model_parameters=text)
    assert need is not None
    assert need.parameters == parameters
    assert need.precision is Precision.BF16  # what models are published in
    assert need.weights == 2 * parameters


def test_every_fact_is_read() -> None:
    need = of(
        model_parameters="671B", active_parameters="37B", weights_size="640Gi", kv_per_token="69Ki",  # noqa: S106
        prompt_tokens="2000", output_tokens="500", concurrent_requests="64", precision="fp8",
        tensor_parallel="8", bottleneck="kv", ttft="1500ms", itl="0.05s",
        gpu_models="NVIDIA-H200 | b200", gpu_models_preferred="h200-sxm",
        gpu_models_excluded="Tesla T4", price_source="aws", memory_margin="0.15",
        same_pcie_root="true", attention_heads="128", gpu_vendors="amd | nvidia",
    )  # fmt: skip
    assert need == Need(
        parameters=671e9, active_parameters=37e9, weights_bytes=640 * GIB, kv_token_bytes=69 * 1024,
        prompt_tokens=2000, output_tokens=500, concurrent_requests=64, precision=Precision.FP8,
        tensor_parallel=8, bottleneck=Bottleneck.KV, ttft_seconds=1.5, itl_seconds=0.05,
        only=frozenset({"h200-sxm", "b200"}), preferred=frozenset({"h200-sxm"}),
        excluded=frozenset({"t4"}), price_source="aws", memory_margin=0.15, same_pcie_root=True,
        attention_heads=128, vendors=frozenset({"nvidia", "amd"}),
    )  # fmt: skip


def test_all_faults_are_told_with_annotation_value_and_what_it_takes() -> None:
    with pytest.raises(NeedError) as raised:
        of(model_parameters="70 billion", precision="int3", tensor_parallel="0")
    assert str(raised.value) == (
        "annotation foresail.io/model-parameters has the value '70 billion':"
        " it takes a count such as 70B or 70e9\n"
        "annotation foresail.io/precision has the value 'int3':"
        " it takes fp16, bf16, fp8, fp4, int4, awq or gptq\n"
        "annotation foresail.io/tensor-parallel has the value '0':"
        " it takes a whole number from 1 to 32 that divides the attention heads"
    )


@pytest.mark.parametrize(
    ("told", "why"),
    [
        pytest.param(
            {"tensor_parallel": "3"},
            "annotation foresail.io/tensor-parallel has the value '3': GPUs share the attention"
            " heads evenly, and 3 divides few models' heads\n"
            "it takes 2 or 4, or another divisor of the heads where"
            " annotation foresail.io/attention-heads tells them",
            id="heads-unknown",
        ),
        pytest.param(
            {"tensor_parallel": "8", "attention_heads": "28"},  # Qwen2.5 7B
            "annotation foresail.io/tensor-parallel has the value '8':"
            " it takes a divisor of the 28 attention heads: 1, 2, 4, 7, 14, 28",
            id="heads-known",
        ),
    ],
)
def test_a_width_that_no_engine_starts_with_is_refused(told: dict[str, str], why: str) -> None:
    with pytest.raises(NeedError) as raised:
        of(model_parameters="7B", **told)
    assert str(raised.value) == why


def test_a_width_that_divides_the_heads_is_taken() -> None:
    need = of(model_parameters="7B", tensor_parallel="7", attention_heads="28")
    assert need is not None
    assert need.tensor_parallel == 7


def test_widths_are_the_powers_of_two_that_divide_the_heads() -> None:
    need = Need(parameters=7e9)
    assert need.widths(8) == [1, 2, 4, 8]
    assert need.widths(1) == [1]
    assert replace(need, attention_heads=28).widths(8) == [1, 2, 4]
    assert replace(need, tensor_parallel=4).widths(1) == [4]


def test_a_model_name_that_is_near_another_is_pointed_out() -> None:
    with pytest.raises(NeedError, match=r"none is called 'h20': did you mean .*h200-sxm") as raised:
        of(gpu_memory="20Gi", gpu_models="t4|h20")
    assert "foresail.io/gpu-models has the value 't4|h20': it takes GPU models" in str(raised.value)


@pytest.mark.parametrize("precision", ["int4", "awq", "gptq"])
def test_four_bit_weights_are_a_quarter_and_their_scales(precision: str) -> None:
    # 128 weights of four bits, a scale of 16 and a zero of four: 532 bits.
    need = of(model_parameters="128B", precision=precision)
    assert need is not None
    assert need.weights == pytest.approx(532e9 / 8)


def test_the_cache_of_a_mixture_is_by_what_a_token_passes() -> None:
    need = Need(parameters=235e9, active_parameters=32e9, prompt_tokens=1000, output_tokens=0)
    assert need.kv_request == pytest.approx(1000 * 262_144)


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: str(field.key))
@pytest.mark.parametrize(
    "value", ["", "-1", "1e99", "9" * 400, "\x00", 7, None, ["70B"], {"a": 1}, "NaN", "inf", "٣"]
)
def test_whatever_a_tenant_writes_is_read_or_told(field: object, value: object) -> None:
    key = field.key  # type: ignore[attr-defined]
    told = outcome({"foresail.io/gpu-memory": "20Gi", f"foresail.io/{key}": value})
    if isinstance(told, str):
        assert f"annotation foresail.io/{key} has the value " in told
        assert len(told) < 500
    else:
        assert isinstance(told, Need)


@given(st.dictionaries(st.sampled_from([f.key for f in FIELDS]), st.text(string.printable)))
def test_no_text_breaks_the_reading(told: dict[str, str]) -> None:
    read = outcome({f"foresail.io/{key}": text for key, text in told.items()})
    assert not isinstance(read, str) or "it takes" in read


def test_a_near_miss_is_pointed_out_and_other_annotations_are_not() -> None:
    told = {
        "foresail.io/precison": "fp8",
        "foresail.io/gpu-milli": "500",
        "foresail.io/weights": "qwen3-32b",
        "foresail.io/nv-link": "required",
        "foresail.io/checkpoint-every": "30m",
        "example.com/precison": "fp8",
    }
    assert misspelt(told) == [
        "annotation foresail.io/precison is unknown: did you mean foresail.io/precision?",
        "annotation foresail.io/nv-link is unknown: did you mean foresail.io/nvlink?",
    ]


def test_what_nobody_writes_costs_no_time() -> None:
    told = {f"foresail.io/precisio{at}": "fp8" for at in range(100_000)}
    assert len(misspelt(told)) == MISSPELT_MAX
    with pytest.raises(NeedError, match="it takes GPU models joined by"):
        of(gpu_memory="20Gi", gpu_models="t4|" * 1_000_000)


@pytest.mark.parametrize(
    ("parameters", "kib"),
    [
        # 2 x layers x 8 heads x 128 x 2 bytes: 32, 64, 80 and 126 layers.
        pytest.param(8e9, 128, id="llama-8b"),
        pytest.param(32e9, 256, id="qwen3-32b"),
        pytest.param(70e9, 320, id="llama-70b"),
        pytest.param(405e9, 504, id="llama-405b"),
    ],
)
def test_the_cache_of_known_models_is_met(parameters: float, kib: float) -> None:
    assert kv_token_bytes(parameters) == pytest.approx(kib * 1024)


def test_what_a_replica_needs_is_by_hand() -> None:
    need = Need(
        parameters=8e9,
        precision=Precision.FP8,
        prompt_tokens=900,
        output_tokens=200,
        concurrent_requests=10,
        memory_margin=0.2,
    )
    # 8 GB of weights; ten requests of 900 + 100 tokens at 128 KiB.
    assert need.required == 8e9 + 10 * 1000 * 131_072
    # 9,310,720,000 bytes over two GPUs of which a fifth stays free: 5549.6 MiB.
    assert need.each_mib(2) == 5550


def test_four_bits_carry_their_scales() -> None:
    assert Need(parameters=16e9, precision=Precision.FP4).weights == 9e9


def test_memory_that_was_told_is_no_less_than_the_model_itself() -> None:
    need = Need(memory_bytes=1e9, weights_bytes=10e9, kv_token_bytes=1e6)
    assert need.required == 10e9 + 1e6 * (1024 + 128)
    assert Need(memory_bytes=60 * GIB).required == 60 * GIB


def test_a_need_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="without a model's size"):
        Need(tensor_parallel=2)
