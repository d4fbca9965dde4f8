"""Profiles from data sheets against published fits, and models that do not fit."""

import pytest

from fleet.catalogue import Generation, Precision, shipped
from fleet.iteration import MODELS, ModelShape
from replay.derived import UnfitError, derived


def gpu(name: str) -> Generation:
    found = shipped().find(name)
    assert found is not None
    return found


def test_kv_bytes_are_a_key_and_a_value_for_each_layer_and_head() -> None:
    assert MODELS["llama-3.1-8b"].kv_bytes() == 128 * 1024
    assert MODELS["llama-3.3-70b"].kv_bytes() == 320 * 1024


def test_an_8b_on_an_h100_is_within_a_sixth_of_the_published_fit() -> None:
    profile = derived(MODELS["llama-3.1-8b"], gpu("h100-sxm"))
    # 6.97 ms, and 8.7 ms with 64 streams of little context.
    assert profile.fixed_seconds == pytest.approx(6.97e-3, rel=0.16)
    at_64 = profile.fixed_seconds + 64 * profile.per_sequence_seconds
    assert at_64 == pytest.approx(8.7e-3, rel=0.16)


def test_a_70b_on_four_h100_decodes_in_the_range_that_is_seen() -> None:
    profile = derived(MODELS["llama-3.3-70b"], gpu("h100-sxm"), gpus=4)
    # 141.2 GB ÷ (4 × 3,350 GB/s × 0.784) = 13.4 ms, 80 layers of 30 µs, 160 all-reduces of 20 µs.
    assert profile.fixed_seconds == pytest.approx(0.0134 + 0.0024 + 0.0032 + 0.0005, rel=0.01)
    assert profile.gpus == 4


def test_the_kv_cache_is_what_the_weights_leave() -> None:
    profile = derived(MODELS["llama-3.1-8b"], gpu("h100-sxm"))
    # 79.65 GiB x 0.9 - 5 - 14.96 of weights = 51.7 GiB, at 128 KiB a token.
    assert profile.kv_tokens_max == pytest.approx(51.7 * 2**30 / 131072, rel=0.01)


@pytest.mark.parametrize(
    ("model", "name", "precision", "why"),
    [
        pytest.param("llama-3.3-70b", "h100-sxm", Precision.BF16, "the weights take", id="large"),
        pytest.param("qwen3-8b", "a100-sxm-80", Precision.FP8, "no fp8 arithmetic", id="old"),
    ],
)
def test_what_does_not_fit_is_said(model: str, name: str, precision: Precision, why: str) -> None:
    with pytest.raises(UnfitError, match=f"{model} in {precision.value}.*{why}"):
        derived(MODELS[model], gpu(name), precision=precision)


def test_a_mixture_reads_all_its_weights_and_computes_with_the_active_ones() -> None:
    dense = ModelShape(
        name="d", parameters=30.5e9, layers=48, hidden=2048, kv_heads=4, head_size=128
    )
    mixture = derived(MODELS["qwen3-30b-a3b"], gpu("h200-sxm"))
    whole = derived(dense, gpu("h200-sxm"))
    assert mixture.fixed_seconds == whole.fixed_seconds
    # Of the arithmetic; the passes over the hidden state are the same.
    passes = 48 * 2048 * 2 * 18.5 / 4800e9
    assert mixture.per_prefill_token_seconds - passes == pytest.approx(
        (whole.per_prefill_token_seconds - passes) * 3.3 / 30.5, rel=1e-6
    )
