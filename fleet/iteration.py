"""The time of an engine's iteration from a model's shape and a GPU's data sheet.

    weights  = bytes / (GPUs x bandwidth x 0.78) + layers x 30 us
    prompt   = 2 x parameters / (GPUs x FLOPS x 0.73) + layers x hidden x 2 bytes x 18.5 / bandwidth
    reduces  = 2 a layer where there are several GPUs: 20 us each, and their bytes over the fabric

The second term of a line is what more GPUs do not share: a kernel's beginning and end, and the
passes over a token's hidden state. The four figures are one fit to linear layers as measured on
A40, A100 and H100 with one to eight GPUs (Microsoft's Vidur, five models of 7B to 72B): on a model
that is left out of the fit it stays within 12 % for weights and, but for a 7B model on eight GPUs
(20 % too fast), for prompts; on a GPU that is left out within 20 %. Its tables have all-reduces of
23 to 45 us, as plain NCCL calls; engines' own are taken as twice as fast. Attention is not in it.
"""

from dataclasses import dataclass
from typing import Final

from fleet.catalogue import Generation, Precision

_BANDWIDTH_RATIO: Final = 0.784
_FLOPS_RATIO: Final = 0.725
_LAYER_SECONDS: Final = 2.96e-5
_HIDDEN_PASSES: Final = 18.5
_REDUCE_SECONDS: Final = 2e-5
_FABRIC_RATIO: Final = 0.6
"""Of the fabric's bandwidth in one direction: 52 to 72 % in the same tables."""
_PCIE_GB_S: Final = 64.0
"""Both directions, where a data sheet says nothing of a fabric."""
_ACTIVATION_BYTES: Final = 2
WEIGHT_BYTES: Final = {
    Precision.FP16: 2.0,
    Precision.BF16: 2.0,
    Precision.FP8: 1.0,
    Precision.FP4: 0.5,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """What of a model decides its speed."""

    name: str
    parameters: float
    """Active for a token, in a mixture of experts."""
    parameters_held: float | None = None
    """In memory, where that is more."""
    layers: int
    hidden: int
    """Numbers of a token between two layers."""
    kv_heads: int
    head_size: int

    def kv_bytes(self, bytes_each: float = 2.0) -> float:
        """Of one token: a key and a value for each layer and head."""
        return 2 * self.layers * self.kv_heads * self.head_size * bytes_each

    def weight_bytes(self, precision: Precision) -> float:
        """In memory; a full batch of a mixture of experts reads nearly all of them."""
        return (self.parameters_held or self.parameters) * WEIGHT_BYTES[precision]


MODELS: Final = {
    shape.name: shape
    for shape in (
        ModelShape(
            name="llama-3.1-8b", parameters=8.03e9, layers=32, hidden=4096, kv_heads=8,
            head_size=128,
        ),
        ModelShape(
            name="llama-3.3-70b", parameters=70.6e9, layers=80, hidden=8192, kv_heads=8,
            head_size=128,
        ),
        ModelShape(
            name="qwen3-8b", parameters=8.2e9, layers=36, hidden=4096, kv_heads=8, head_size=128
        ),
        ModelShape(
            name="qwen3-32b", parameters=32.8e9, layers=64, hidden=5120, kv_heads=8, head_size=128
        ),
        ModelShape(
            name="qwen3-30b-a3b", parameters=3.3e9, parameters_held=30.5e9, layers=48, hidden=2048,
            kv_heads=4, head_size=128,
        ),
        ModelShape(
            name="mistral-small-24b", parameters=23.6e9, layers=40, hidden=5120, kv_heads=8,
            head_size=128,
        ),
    )
}  # fmt: skip
"""From the models' published configurations."""


def weights_seconds(
    model: ModelShape, generation: Generation, *, gpus: int, precision: Precision
) -> float:
    """Reading the weights once, for a small batch."""
    bandwidth = gpus * generation.bandwidth_gb_s * 1e9 * _BANDWIDTH_RATIO
    return model.weight_bytes(precision) / bandwidth + model.layers * _LAYER_SECONDS


def kv_token_seconds(model: ModelShape, generation: Generation, *, gpus: int) -> float:
    """Reading one token of the cache."""
    return model.kv_bytes() / (gpus * generation.bandwidth_gb_s * 1e9 * _BANDWIDTH_RATIO)


def prompt_token_seconds(
    model: ModelShape, generation: Generation, *, gpus: int, tflops: float
) -> float:
    """Computing one prompt token in a large batch."""
    arithmetic = 2 * model.parameters / (gpus * tflops * 1e12 * _FLOPS_RATIO)
    return arithmetic + _hidden_bytes(model) * _HIDDEN_PASSES / (generation.bandwidth_gb_s * 1e9)


def reduce_seconds(model: ModelShape, *, gpus: int) -> float:
    """All-reduces of an iteration with little in it."""
    return 2 * model.layers * _REDUCE_SECONDS if gpus > 1 else 0.0


def reduce_token_seconds(model: ModelShape, generation: Generation, *, gpus: int) -> float:
    """All-reduces, for one token more."""
    one_way = (generation.fabric_gb_s or _PCIE_GB_S) / 2 * 1e9 * _FABRIC_RATIO
    return 2 * _hidden_bytes(model) * 2 * (gpus - 1) / gpus / one_way


def _hidden_bytes(model: ModelShape) -> float:
    """Of one token, over all layers."""
    return float(model.layers * model.hidden * _ACTIVATION_BYTES)
